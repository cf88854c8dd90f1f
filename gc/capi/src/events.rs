//! What the collector tells functions of C's while it works.

use crate::cycles::{self, palimpsest_cycle, read};
use crate::status::Answer;
use palimpsest::events::{CycleBegin, Listener, Pause, Reason};
use palimpsest::{CycleRecord, Ladder, OutOfMemory, Scope};
use std::ffi::{CString, c_char, c_void};
use std::ptr::null;

/// Why a cycle is asked for.
pub type palimpsest_reason = u32;

/// So much was allocated that it is time.
pub const PALIMPSEST_REASON_ALLOCATION: palimpsest_reason = 0;
/// An allocation found the heap at its limit, and waits.
pub const PALIMPSEST_REASON_LIMIT: palimpsest_reason = 1;
/// The program called `palimpsest_collect` or `palimpsest_collect_young`.
pub const PALIMPSEST_REASON_EXPLICIT: palimpsest_reason = 2;
/// The stress mode.
pub const PALIMPSEST_REASON_STRESS: palimpsest_reason = 3;
/// One that came with a later version.
pub const PALIMPSEST_REASON_OTHER: palimpsest_reason = 255;

/// A pause that has ended, with its parts in milliseconds. They do not add up to the whole.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct palimpsest_pause {
    /// `sizeof(palimpsest_pause)`, as the library has it.
    pub size: usize,
    /// The cycle's number.
    pub cycle: u64,
    /// All of it, from the request to stop until the threads were let go.
    pub pause_ms: f64,
    /// Until all threads had stopped.
    pub stop_ms: f64,
    /// Arming pages.
    pub arm_ms: f64,
    /// Forking the worker.
    pub fork_ms: f64,
    /// Marking, as far as that was done in the pause.
    pub mark_ms: f64,
    /// When it began, since the heap was made, as `palimpsest_heap_age` counts.
    pub began_ms: f64,
}

/// Functions that are called when the collector does something; NULL for what is not of interest. The caller sets `size`, and all
/// fields it does not use to zero: `palimpsest_events events = {.size = sizeof events};`.
///
/// All but `heap_made` and `out_of_memory` are called on the collector's thread, one after another, not in the pause and not while
/// anything is marked. There they do not write to the heap, attach, or wait for a cycle; a function that takes long delays the
/// next cycle. They may ask for statistics. Strings and structs are theirs until they return.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct palimpsest_events {
    /// `sizeof(palimpsest_events)`.
    pub size: usize,
    /// What each function is called with.
    pub data: *mut c_void,
    /// The heap has been made, on this rung; `degraded` says why it is not the best, or is NULL. On the thread that makes it.
    pub heap_made:
        Option<unsafe extern "C" fn(rung: *const c_char, degraded: *const c_char, data: *mut c_void)>,
    /// A cycle begins.
    pub cycle_began:
        Option<unsafe extern "C" fn(cycle: u64, reason: palimpsest_reason, young: bool, data: *mut c_void)>,
    /// A cycle had this pause. Told when its marking is over.
    pub pause_ended: Option<unsafe extern "C" fn(pause: *const palimpsest_pause, data: *mut c_void)>,
    /// A cycle marked in the stopped world, although the heap is set to do better.
    pub fell_back: Option<unsafe extern "C" fn(cycle: u64, why: *const c_char, data: *mut c_void)>,
    /// A cycle failed: nothing is reclaimed, and nothing lost.
    pub worker_failed: Option<unsafe extern "C" fn(cycle: u64, why: *const c_char, data: *mut c_void)>,
    /// A cycle has ended; `line` says in a line what it did.
    pub cycle_ended:
        Option<unsafe extern "C" fn(cycle: *const palimpsest_cycle, line: *const c_char, data: *mut c_void)>,
    /// An allocation found no room, after all had been tried, and is about to return NULL. On the thread that allocates, which
    /// may use its mutator, also to allocate with the reserve, but does not detach. Not told of `palimpsest_alloc_no_safepoint`.
    pub out_of_memory:
        Option<unsafe extern "C" fn(requested: usize, used: usize, limit: usize, data: *mut c_void)>,
}

// SAFETY: `repr(C)`; all zero are sizes, null pointers and no functions.
unsafe impl cycles::Grows for palimpsest_events {
    const NAME: &'static str = "palimpsest_events";
    const FIRST: usize = size_of::<Self>();
}

/// Functions of C's as a listener.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Listening(palimpsest_events);

// SAFETY: the pointer is the user's, who is told on which threads the functions are called.
unsafe impl Send for Listening {}
// SAFETY: likewise.
unsafe impl Sync for Listening {}

impl Listening {
    /// # Safety
    /// As for [`read`].
    pub(crate) unsafe fn read(events: *const palimpsest_events) -> Answer<Self> {
        // SAFETY: passed on to the caller.
        unsafe { read(events) }.map(Self)
    }

    /// An allocation of C's found no room. Told by this interface rather than by the collector, in the middle of whose allocation the
    /// function could not use the mutator.
    pub(crate) fn out_of_memory(&self, error: &OutOfMemory) {
        if let Some(f) = self.0.out_of_memory {
            // SAFETY: the user's function, with what the user gave for it.
            unsafe { f(error.requested.0, error.used.0, error.limit.0, self.0.data) };
        }
    }
}

/// A text, for C. What comes here has no NUL in it; if it had, it would end there.
fn c_string(text: &str) -> CString {
    let text = text.split('\0').next().unwrap_or_default();
    CString::new(text).unwrap_or_default()
}

impl Listener for Listening {
    fn heap_made(&self, ladder: &Ladder) {
        if let Some(f) = self.0.heap_made {
            let rung = c_string(&ladder.chosen().to_string());
            let degraded = ladder.degraded().map(|why| c_string(&why));
            let degraded = degraded.as_ref().map_or(null(), |why| why.as_ptr());
            // SAFETY: the user's function, with what the user gave for it; so below.
            unsafe { f(rung.as_ptr(), degraded, self.0.data) };
        }
    }

    fn cycle_began(&self, cycle: &CycleBegin) {
        let Some(f) = self.0.cycle_began else { return };
        let reason = match cycle.reason {
            Reason::Allocation => PALIMPSEST_REASON_ALLOCATION,
            Reason::Limit => PALIMPSEST_REASON_LIMIT,
            Reason::Explicit => PALIMPSEST_REASON_EXPLICIT,
            Reason::Stress => PALIMPSEST_REASON_STRESS,
            _ => PALIMPSEST_REASON_OTHER,
        };
        // SAFETY: see above.
        unsafe { f(cycle.number, reason, cycle.scope == Scope::Young, self.0.data) };
    }

    fn pause_ended(&self, pause: &Pause) {
        let Some(f) = self.0.pause_ended else { return };
        let pause = palimpsest_pause {
            size: size_of::<palimpsest_pause>(),
            cycle: pause.cycle,
            pause_ms: pause.pause_ms,
            stop_ms: pause.stop_ms,
            arm_ms: pause.arm_ms,
            fork_ms: pause.fork_ms,
            mark_ms: pause.mark_ms,
            began_ms: pause.began_ms,
        };
        // SAFETY: see above.
        unsafe { f(&pause, self.0.data) };
    }

    fn fell_back(&self, cycle: u64, why: &str) {
        let Some(f) = self.0.fell_back else { return };
        // SAFETY: see above.
        unsafe { f(cycle, c_string(why).as_ptr(), self.0.data) };
    }

    fn worker_failed(&self, cycle: u64, why: &str) {
        let Some(f) = self.0.worker_failed else { return };
        // SAFETY: see above.
        unsafe { f(cycle, c_string(why).as_ptr(), self.0.data) };
    }

    fn cycle_ended(&self, record: &CycleRecord) {
        let Some(f) = self.0.cycle_ended else { return };
        let line = c_string(&record.to_string());
        // SAFETY: see above.
        unsafe { f(&palimpsest_cycle::from(record), line.as_ptr(), self.0.data) };
    }
}
