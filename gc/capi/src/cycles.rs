//! What a cycle did, as C has it.
//!
//! This struct, and those of `stats`, begin with their own size, which the caller sets: it says how much of it the caller knows.
//! Later versions add fields at the end. So a program and a library of different versions understand each other.

use crate::opaque::null;
use crate::status::{Answer, Status, fail};
use palimpsest::{CycleRecord, Scope};

/// A struct that grows at its end.
///
/// # Safety
/// `repr(C)`, begins with a `usize`, its own size, and all bytes zero are a value of it.
pub(crate) unsafe trait Grows: Copy {
    const NAME: &'static str;
    /// Its size in the first version.
    const FIRST: usize;
}

/// Stores the part of `value` that the caller has room for, and says so by `size`.
///
/// # Safety
/// `place` is NULL, or leads to as many bytes as it says in its first word.
pub(crate) unsafe fn fill<T: Grows>(place: *mut T, value: T) -> Answer {
    if place.is_null() {
        return Err(null(T::NAME));
    }
    // SAFETY: passed on to the caller.
    let size = unsafe { known(place)? };
    let size = size.min(size_of::<T>());
    let (from, to) = (std::ptr::from_ref(&value).cast::<u8>(), place.cast::<u8>());
    // SAFETY: both are as long, and they are different.
    unsafe { to.copy_from_nonoverlapping(from, size) };
    // SAFETY: its first word.
    unsafe { place.cast::<usize>().write(size) };
    Ok(())
}

/// Reads a struct of which the caller may know less, the rest being zero.
///
/// # Safety
/// As for [`fill`].
pub(crate) unsafe fn read<T: Grows>(place: *const T) -> Answer<T> {
    if place.is_null() {
        return Err(null(T::NAME));
    }
    // SAFETY: passed on to the caller.
    let size = unsafe { known(place)? }.min(size_of::<T>());
    // SAFETY: by the trait's contract.
    let mut value: T = unsafe { std::mem::zeroed() };
    // SAFETY: both are as long, and they are different.
    unsafe { std::ptr::from_mut(&mut value).cast::<u8>().copy_from_nonoverlapping(place.cast(), size) };
    Ok(value)
}

/// The size that a struct says it has.
///
/// # Safety
/// As for [`fill`]; not NULL.
unsafe fn known<T: Grows>(place: *const T) -> Answer<usize> {
    if !place.is_aligned() {
        return Err(fail(
            Status::PALIMPSEST_INVALID,
            format_args!("a {} at {place:p} is not aligned", T::NAME),
        ));
    }
    // SAFETY: passed on to the caller.
    let size = unsafe { place.cast::<usize>().read() };
    if size < T::FIRST {
        let (name, first) = (T::NAME, T::FIRST);
        let why = format_args!(
            "the `size` of a {name} is {size}, less than {first}: set it to sizeof({name}) first"
        );
        return Err(fail(Status::PALIMPSEST_INVALID, why));
    }
    Ok(size)
}

/// One cycle. The caller sets `size`.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct palimpsest_cycle {
    /// `sizeof(palimpsest_cycle)`. After the call, how much of it is set.
    pub size: usize,
    /// Its number; the heap's first is 1.
    pub number: u64,
    /// Whether it looked at young objects only.
    pub young: bool,
    /// Whether it marked in the stopped world although the heap is set to do better.
    pub fell_back: bool,
    /// Whether it failed. Nothing was reclaimed then, and nothing lost.
    pub failed: bool,
    /// Whether all was marked in the pause, which was short enough for that.
    pub in_pause: bool,
    /// From the request to stop until the threads ran again, in milliseconds.
    pub pause_ms: f64,
    /// The part of the pause until all threads had stopped.
    pub stop_ms: f64,
    /// From the snapshot until marking was complete, in milliseconds.
    pub mark_ms: f64,
    /// CPU time of the workers, in milliseconds.
    pub worker_cpu_ms: f64,
    /// Objects marked: all that are reachable, or the reachable young ones.
    pub marked_objects: u64,
    /// Bytes they occupy.
    pub marked_bytes: u64,
    /// Memory of the heap in use when the cycle ended, before sweeping.
    pub used_bytes: u64,
    /// Bytes that had been allocated in the heap's life when the snapshot was taken.
    pub allocated_bytes: u64,
    /// References from precise places to what is not an object: the embedder's mistake.
    pub stray_references: u64,
    /// Weak references that were cut.
    pub weak_refs_cleared: u64,
    /// Entries of dead objects that were removed from weak maps.
    pub weak_entries_cleared: u64,
    /// Registrations that were queued for finalization.
    pub finalizers_queued: u64,
    /// When it began, in milliseconds since the heap was made, as `palimpsest_heap_age` counts.
    pub began_ms: f64,
    /// When its pause began.
    pub pause_began_ms: f64,
    /// When it ended, before sweeping.
    pub ended_ms: f64,
}

// SAFETY: `repr(C)`, and numbers alone.
unsafe impl Grows for palimpsest_cycle {
    const NAME: &'static str = "palimpsest_cycle";
    const FIRST: usize = size_of::<Self>();
}

impl From<&CycleRecord> for palimpsest_cycle {
    fn from(record: &CycleRecord) -> Self {
        Self {
            size: size_of::<Self>(),
            number: record.number,
            young: record.scope == Scope::Young,
            fell_back: record.fallback.is_some(),
            failed: record.failure.is_some(),
            in_pause: record.in_pause,
            pause_ms: record.pause_ms,
            stop_ms: record.stop_ms,
            mark_ms: record.mark_ms,
            worker_cpu_ms: record.worker_cpu_ms,
            marked_objects: record.marked_objects,
            marked_bytes: record.marked_bytes,
            used_bytes: record.used_bytes,
            allocated_bytes: record.allocated_bytes,
            stray_references: record.stray_references,
            weak_refs_cleared: record.weak_refs_cleared,
            weak_entries_cleared: record.weak_entries_cleared,
            finalizers_queued: record.finalizers_queued,
            began_ms: record.began_ms,
            pause_began_ms: record.pause_began_ms,
            ended_ms: record.ended_ms,
        }
    }
}
