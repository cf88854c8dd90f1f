//! Objects whose references a function of C's finds: native trace functions.
//!
//! What is here but [`palimpsest_define_traced`] runs in a forked worker, or on the collector's thread with the world stopped. It
//! allocates nothing, locks nothing, and says no errors.

use crate::heap::palimpsest_heap;
use crate::kinds::{define, palimpsest_kind};
use crate::opaque::{lend, null, out};
use crate::status::{Answer, Status, entry, fail, palimpsest_status};
use palimpsest::{Address, Frozen, Layout, Tracer};
use std::ffi::c_void;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicUsize};

/// An object as it was when the snapshot was taken.
pub struct palimpsest_frozen(());

/// Whom a trace function tells of references.
pub struct palimpsest_tracer(());

/// Finds the references of an object, and tells the tracer each.
///
/// It runs in a forked worker, on memory as it was at the fork, or with the world stopped: native memory that attached threads write
/// to between safepoints is frozen, and may be walked without a lock. The object itself is read by `palimpsest_frozen_load`, never
/// through its address. The function allocates nothing, takes no lock, writes nothing but its local variables, does no I/O, and
/// calls nothing else of this interface than the functions for a frozen object and a tracer.
///
/// An object that refers to others through native memory is registered by `palimpsest_external_register`: no page tells of what
/// is written there.
pub type palimpsest_trace_function = Option<
    unsafe extern "C" fn(object: *const palimpsest_frozen, tracer: *mut palimpsest_tracer, data: *mut c_void),
>;

/// The same, where there is one.
type Function =
    unsafe extern "C" fn(object: *const palimpsest_frozen, tracer: *mut palimpsest_tracer, data: *mut c_void);

/// A function, or nothing, and what it is called with.
#[derive(Debug, Default)]
struct Place {
    function: AtomicPtr<()>,
    data: AtomicPtr<c_void>,
}

impl Place {
    fn set(&self, function: Function, data: *mut c_void) {
        self.data.store(data, Relaxed);
        // Release: whoever sees the function sees what it is called with.
        self.function.store(function as *mut (), Release);
    }

    fn get(&self) -> Option<(Function, *mut c_void)> {
        let function = self.function.load(Acquire);
        // SAFETY: stored by `set`, if it is not null.
        let function =
            (!function.is_null()).then(|| unsafe { std::mem::transmute::<*mut (), Function>(function) });
        function.map(|function| (function, self.data.load(Relaxed)))
    }
}

/// Trace functions that a heap can have.
const MOST: usize = 64;

/// The trace functions of a heap, by number. None is ever taken away. Neither adding nor looking one up takes a lock or waits: a thread
/// may be in the middle of the former when the process forks.
#[derive(Debug)]
pub(crate) struct Traces {
    places: [Place; MOST],
    used: AtomicUsize,
}

impl Clone for Traces {
    fn clone(&self) -> Self {
        let new = Self::new();
        for (to, from) in new.places.iter().zip(&self.places) {
            if let Some((function, data)) = from.get() {
                to.set(function, data);
            }
        }
        new.used.store(self.used.load(Relaxed), Relaxed);
        new
    }
}

impl Traces {
    pub(crate) fn new() -> Self {
        Self { places: std::array::from_fn(|_| Place::default()), used: AtomicUsize::new(0) }
    }

    /// Adds a function, and tells its number.
    pub(crate) fn add(&self, function: palimpsest_trace_function, data: *mut c_void) -> Answer<u16> {
        let function = function.ok_or_else(|| null("function"))?;
        let free = self.used.fetch_update(Relaxed, Relaxed, |used| (used < MOST).then_some(used + 1));
        let at = free.map_err(|_| {
            fail(
                Status::PALIMPSEST_TOO_MANY,
                format_args!("a heap can have {MOST} trace functions; let one serve several types"),
            )
        })?;
        self.places[at].set(function, data);
        Ok(at as u16)
    }

    /// Calls a function. If there is none of this number, every word of the object may be a reference.
    pub(crate) fn trace(&self, id: u16, object: &Frozen<'_>, tracer: &mut Tracer<'_>) {
        if let Some((function, data)) = self.places.get(usize::from(id)).and_then(Place::get) {
            let (object, tracer) = (std::ptr::from_ref(object).cast(), std::ptr::from_mut(tracer).cast());
            // SAFETY: the user's function, with what the user gave for it.
            unsafe { function(object, tracer, data) };
            return;
        }
        let mut words = [0; 64];
        for first in (0..object.bytes() / 8).step_by(words.len()) {
            object.load(first, &mut words);
            words.iter().for_each(|word| tracer.conservative(*word));
            if !tracer.goes_on() {
                return;
            }
        }
    }
}

/// Defines a kind of objects whose references `function` finds, called with `data`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_define_traced(
    heap: *const palimpsest_heap,
    function: palimpsest_trace_function,
    data: *mut c_void,
    kind: *mut palimpsest_kind,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (heap, kind) = unsafe { (lend(heap)?, out(kind, "kind")?) };
        heap.must_be_here()?;
        let id = heap.heap.embedder().traces.add(function, data)?;
        kind.write(define(heap, Layout::native(id), 0)?);
        Ok(())
    })
}

/// The object that a pointer of a trace function's leads to.
///
/// # Safety
/// It is what the trace function was called with, or NULL.
unsafe fn frozen<'a>(object: *const palimpsest_frozen) -> Option<&'a Frozen<'a>> {
    // SAFETY: passed on to the caller.
    unsafe { object.cast::<Frozen<'a>>().as_ref() }
}

/// The tracer that a pointer of a trace function's leads to.
///
/// # Safety
/// As for [`frozen`].
unsafe fn told<'a>(tracer: *mut palimpsest_tracer) -> Option<&'a mut Tracer<'a>> {
    // SAFETY: passed on to the caller.
    unsafe { tracer.cast::<Tracer<'a>>().as_mut() }
}

/// Where the object starts in the program. Not an address to load from.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_frozen_address(object: *const palimpsest_frozen) -> usize {
    // SAFETY: what C passes; see the crate.
    unsafe { frozen(object) }.map_or(0, |object| object.address().as_usize())
}

/// What the object occupies, in bytes: its size, rounded up to 16.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_frozen_bytes(object: *const palimpsest_frozen) -> usize {
    // SAFETY: what C passes; see the crate.
    unsafe { frozen(object) }.map_or(0, Frozen::bytes)
}

/// Loads `words` words of the object, from word `first` on, into `into`. Those beyond its end are 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_frozen_load(
    object: *const palimpsest_frozen,
    first: usize,
    into: *mut u64,
    words: usize,
) {
    // SAFETY: what C passes; see the crate.
    let Some(object) = (unsafe { frozen(object) }) else { return };
    if into.is_null() {
        return;
    }
    // What is there may be anything, so it is written before there is a slice of it.
    // SAFETY: as long as the caller says.
    unsafe { into.write_bytes(0, words) };
    // SAFETY: likewise.
    object.load(first, unsafe { std::slice::from_raw_parts_mut(into, words) });
}

/// A reference to the object that starts here; NULL is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_trace_object(tracer: *mut palimpsest_tracer, object: usize) {
    // SAFETY: what C passes; see the crate.
    if let Some(tracer) = unsafe { told(tracer) }
        && object != 0
    {
        tracer.object(Address::new(object));
    }
}

/// A word that the codec tells to be a reference, or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_trace_word(tracer: *mut palimpsest_tracer, word: u64) {
    // SAFETY: what C passes; see the crate.
    if let Some(tracer) = unsafe { told(tracer) } {
        tracer.word(word);
    }
}

/// A word that may be a reference, also to a place within an object, or anything else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_trace_conservative(tracer: *mut palimpsest_tracer, word: u64) {
    // SAFETY: what C passes; see the crate.
    if let Some(tracer) = unsafe { told(tracer) } {
        tracer.conservative(word);
    }
}

/// Whether to go on. If not, the marking is given up, and the function returns: to be asked every thousand references or so where
/// there may be many.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_trace_goes_on(tracer: *mut palimpsest_tracer) -> bool {
    // SAFETY: what C passes; see the crate.
    unsafe { told(tracer) }.is_some_and(|tracer| tracer.goes_on())
}
