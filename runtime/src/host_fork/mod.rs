//! The host forks: its child never shares a heap with it.
//!
//! A child that is made with the C library's `fork` begins with the handlers here ([`watch`] registers them, once, when the
//! first heap is made). It gets nothing of the parent's heaps, whose memory no child inherits:
//!
//! * the places of the heaps and of their tables are reserved, without access, so that nothing else is ever mapped where
//!   stale pointers lead;
//! * descriptors that reach into the parent (a userfaultfd acts on the *parent's* memory) are replaced;
//! * a thread that touches such a place is told what happened (`message`), once, and its fault then goes to whoever was
//!   there before us, who ends the process as ever.
//!
//! A heap can be made so that its children get a copy instead (`copy`). Then the parent's threads wait while that is made.
//!
//! Otherwise the parent does not notice. Its cycle goes on, since a worker is no child of the host's: it is made past the C library, so
//! that these handlers do not run for it.
//!
//! The child's handler makes system calls and stores to memory of its own, nothing else. In particular it does not wait: what
//! it needs of locks, the forking thread has taken before the fork.
//!
//! The handler for `SIGSEGV` is installed in the child rather than ahead of time in its parent: a host that never forks, or
//! only to call `exec`, keeps its own in peace; there are no other threads yet that could install one at the same time; and
//! it comes in front of all that the host had installed by then.
//!
//! `vfork`, `posix_spawn` and most of what `std::process::Command` does call `exec` at once, and none of these handlers. A
//! child made with a raw `clone` has the hole in its memory, and no message.

pub mod copy;
mod message;

use crate::barrier::around_fork;
use crate::error::Error;
use crate::mutator::{Return, attachments_are_known, hold_for_fork, is_pinned};
use crate::sys::inject::{self, Role};
use crate::sys::lock::{HoldAcrossFork, Mutex, RawFutex};
use crate::sys::signal::{self, Fault};
use crate::sys::{clock, futex, generation, inherited, process};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

pub use crate::sys::generation::{Generation, Home};
pub use crate::sys::inherited::Group;
pub use copy::Copied;
pub use message::stop_without_heap;

/// The heaps whose children have a copy. Held for a moment only, so that any thread may wait for it.
static ALL: Mutex<Vec<Weak<dyn Copied>>> = Mutex::new(Vec::new());

/// What a forking thread holds for its child. It is held from before the worlds are stopped until after the fork; whoever waits
/// for it counts as blocked, if there are worlds to be stopped.
#[derive(Default)]
struct Forking {
    held: Vec<Arc<dyn Copied>>,
    /// Heaps that are not copied this time, and whether they rest. They may be the last owners: they are not to be dropped before
    /// the fork is over. Until the thread runs again no cycle of theirs begins, or else none waits for a thread to stop: that
    /// one may wait for something that the forking thread has.
    refused: Vec<(Arc<dyn Copied>, bool)>,
    /// The child has no copy of some heap that it should have one of.
    is_less: bool,
    own: Option<Return>,
}

static FORKING: Mutex<Forking> =
    Mutex::new(Forking { held: Vec::new(), refused: Vec::new(), is_less: false, own: None });

/// How long a world may take to stop at a time.
const LIMIT: Duration = Duration::from_millis(50);

/// The same while others are held, where somebody in it may be waiting for one of those: at first. It doubles from attempt to attempt,
/// up to the limit, since on a busy machine a thread may have to wait for its processor.
const LIMIT_WHILE_HOLDING: Duration = Duration::from_millis(5);

/// For how long the worlds are tried; and for how long a cycle in flight may wait for a thread that does not stop.
const PATIENCE: Duration = Duration::from_secs(2);

thread_local! {
    /// Whether this is a collector's thread. One that forks (in a listener) waits for nobody: others wait for it to rest.
    static COLLECTS: Cell<bool> = const { Cell::new(false) };
}

/// The calling thread is a collector's, from now on.
pub fn this_thread_collects() {
    COLLECTS.set(true);
}

/// Whether the calling thread is a collector's.
pub fn does_this_thread_collect() -> bool {
    COLLECTS.get()
}

/// From now on children get a copy of this heap.
pub fn copy(heap: Weak<dyn Copied>) {
    let mut all = ALL.lock();
    all.retain(|heap| heap.strong_count() > 0);
    all.push(heap);
}

/// Whether forks are watched: [`NEVER`], [`ALWAYS`], or the number of a thread that is about to begin.
static WATCHED: AtomicU32 = AtomicU32::new(NEVER);
const NEVER: u32 = 0;
const ALWAYS: u32 = u32::MAX;

/// Begins to watch for forks, unless that was done before. Whoever makes a heap calls this first.
///
/// # Errors
/// Where the C library has no memory for it.
pub fn watch() -> Result<(), Error> {
    let own = clock::thread_id();
    loop {
        match WATCHED.load(Ordering::Acquire) {
            ALWAYS => return Ok(()),
            // Another thread is at it.
            who if who != NEVER && who != own && clock::thread_exists(who) => {
                futex::nap(Duration::from_micros(50));
            }
            // Nobody is; or a thread was that stayed behind in the parent.
            who => {
                if WATCHED.compare_exchange(who, own, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                    let answer = process::at_fork(prepare, in_parent, in_child);
                    WATCHED.store(if answer.is_ok() { ALWAYS } else { NEVER }, Ordering::Release);
                    return answer.map_err(|errno| Error::denied("pthread_atfork", errno));
                }
            }
        }
    }
}

/// In the parent, before. First stops the worlds of heaps that are copied. Then takes locks that the child needs, each of which
/// is held elsewhere for a moment only, and never while somebody waits for a world.
extern "C" fn prepare() {
    if !COLLECTS.get() {
        let has_copies = ALL.lock().iter().any(|heap| heap.strong_count() > 0);
        if has_copies && attachments_are_known() {
            let is_held = |registry: &_| {
                // SAFETY: held by this thread, in `hold_all`.
                unsafe { FORKING.held() }.held.iter().any(|heap| std::ptr::eq(heap.registry(), registry))
            };
            let own = hold_for_fork(hold_all, is_held);
            // SAFETY: as above.
            unsafe { FORKING.held() }.own = Some(own);
        } else {
            // Nobody holds it for long: the thread goes on running, and `fork` is no safepoint.
            FORKING.hold();
            // SAFETY: held.
            unsafe { FORKING.held() }.is_less = has_copies;
        }
        // SAFETY: held above.
        unsafe { FORKING.held() }.held.iter().for_each(|heap| heap.hold_locks());
    }
    ALL.hold();
    inherited::hold_changes();
    if !COLLECTS.get() {
        // SAFETY: held above.
        unsafe { FORKING.held() }.held.iter().for_each(|heap| heap.inherit());
    }
    signal::before_fork();
    around_fork::prepare();
}

/// Brings all heaps of which there are copies to rest, stops their worlds, and copies them. What cannot be is left out.
fn hold_all() {
    FORKING.hold();
    // SAFETY: held.
    let forking = unsafe { FORKING.held() };
    let all: Vec<_> = ALL.lock().iter().filter_map(Weak::upgrade).collect();
    let (resting, gone): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|heap| !is_pinned(heap.registry()) && heap.rest(PATIENCE));
    gone.iter().for_each(|heap| heap.registry().give_way());
    forking.refused = gone.into_iter().map(|heap| (heap, false)).collect();
    let stopped = stop_all(&resting);
    for heap in resting {
        if stopped && heap.copy() {
            forking.held.push(heap);
            continue;
        }
        if stopped {
            // SAFETY: stopped by this thread.
            unsafe { heap.start() };
        }
        forking.refused.push((heap, true));
    }
    forking.is_less = !forking.refused.is_empty();
}

/// Stops the worlds of these heaps; whether that could be done. Otherwise all go on.
fn stop_all(heaps: &[Arc<dyn Copied>]) -> bool {
    let start = Instant::now();
    let mut while_holding = LIMIT_WHILE_HOLDING;
    while start.elapsed() < PATIENCE {
        let limits = std::iter::once(LIMIT).chain(std::iter::repeat(while_holding));
        let stopped = heaps.iter().zip(limits).take_while(|(heap, limit)| heap.stop(*limit)).count();
        if stopped == heaps.len() {
            return true;
        }
        // Somebody does not stop. Perhaps he waits for a world that is held here: all go on, for a moment.
        for heap in &heaps[..stopped] {
            // SAFETY: stopped by this thread.
            unsafe { heap.start() };
        }
        futex::nap(Duration::from_millis(1));
        while_holding = LIMIT.min(while_holding * 2);
    }
    false
}

/// In the parent, after.
extern "C" fn in_parent() {
    around_fork::in_parent();
    signal::after_fork();
    if !COLLECTS.get() {
        // SAFETY: held by `prepare`.
        unsafe { FORKING.held() }.held.iter().for_each(|heap| heap.disinherit());
    }
    // SAFETY: held by `prepare`.
    unsafe {
        inherited::let_changes_go();
        ALL.let_go();
    }
    if COLLECTS.get() {
        return;
    }
    // SAFETY: held by `prepare`; so is each heap.
    let forking = unsafe {
        let forking = std::mem::take(FORKING.held());
        if let Some(own) = &forking.own {
            own.now();
        }
        for heap in forking.held.iter().rev() {
            heap.go_on();
        }
        FORKING.let_go();
        forking
    };
    for (heap, rests) in &forking.refused {
        if *rests {
            heap.work();
        } else {
            heap.registry().stop_again();
        }
    }
    // The last owner of a heap may have let go of it meanwhile: it is dropped here, under no lock.
    drop(forking);
}

/// In the child. Async-signal-safe.
extern "C" fn in_child() {
    WATCHED.store(ALWAYS, Ordering::Relaxed);
    generation::begin();
    crate::crash::in_child();
    inject::become_one(Role::Child);
    around_fork::in_child();
    let is_less = if COLLECTS.get() {
        // Somebody else may have been at work on a fork of his own. What he had is leaked.
        // SAFETY: there is no other thread in this process.
        unsafe { RawFutex::begin_anew(&FORKING, Forking::default()) };
        true
    } else {
        adopt_all()
    };
    message::NOT_COPIED.store(is_less, Ordering::Relaxed);
    if inherited::disown() {
        // A child without the handler has no message. Its fault ends it all the same.
        let _ = signal::install_in_child(Fault::Segv, message::on_fault);
    }
    signal::after_fork();
    // SAFETY: held by `prepare`, of whose thread this is the image.
    unsafe {
        inherited::let_changes_go();
        ALL.let_go();
        if !COLLECTS.get() {
            FORKING.let_go();
        }
    }
    // This thread collects for nobody here.
    COLLECTS.set(false);
}

/// In the child: makes the copies this process's. Whether some are missing. Async-signal-safe.
fn adopt_all() -> bool {
    // SAFETY: held by `prepare`, of whose thread this is the image; so is each heap. The lists are leaked, with what they own:
    // nothing is freed here.
    unsafe {
        let forking = std::mem::ManuallyDrop::new(std::mem::take(FORKING.held()));
        let mut is_less = forking.is_less;
        for heap in &forking.held {
            is_less |= !heap.begin_anew();
        }
        if let Some(own) = &forking.own {
            own.now();
        }
        is_less
    }
}
