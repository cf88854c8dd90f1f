//! Finalizers: the program is told of objects that it cannot reach any more, and gets them back.

use crate::codec::Codec;
use crate::mutator::{palimpsest_mutator, running};
use crate::opaque::{out, out_or_none, store};
use crate::status::{entry, no_memory, palimpsest_status};
use palimpsest::{Address, Finalizer, Mutator, OutOfMemory};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::time::Duration;

/// A registration for finalization. It need not be freed.
pub type palimpsest_finalizer = u64;

/// `timeout_ms` for no end.
pub const PALIMPSEST_FOR_EVER: u64 = u64::MAX;

/// Registers an object, which is alive, for finalization: when a cycle finds it reachable from nowhere, it is queued, with the
/// token, for `palimpsest_finalizer_take`. The token means nothing to the collector. The registration is stored in `finalizer`,
/// unless that is NULL.
///
/// What a cycle finds is queued in the order of registration; there is no order between an object and what it refers to. A queued
/// object lives, with all that it refers to, until it is taken; then it is an object like any other.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_finalizer_register(
    mutator: *mut palimpsest_mutator,
    object: *mut c_void,
    token: u64,
    finalizer: *mut palimpsest_finalizer,
) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    unsafe { register(mutator, object, token, finalizer, Mutator::register_finalizer) }
}

/// The same for an object that has references in native memory, which its trace function finds. No page tells of what is written
/// there, so every cycle of the young traces the object, for as long as it is registered.
///
/// It is registered before the first safepoint at which it has such a reference; and, if it is kept when it has been taken from the
/// queue, again before the next one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_external_register(
    mutator: *mut palimpsest_mutator,
    object: *mut c_void,
    token: u64,
    finalizer: *mut palimpsest_finalizer,
) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    unsafe { register(mutator, object, token, finalizer, Mutator::register_external) }
}

/// Registers an object.
///
/// # Safety
/// See the crate.
unsafe fn register(
    mutator: *mut palimpsest_mutator,
    object: *mut c_void,
    token: u64,
    finalizer: *mut palimpsest_finalizer,
    how: impl FnOnce(&mut Mutator<Codec>, Address, u64) -> Result<Finalizer, OutOfMemory>,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, place) = unsafe { (running(mutator)?, out_or_none(finalizer, "finalizer")?) };
        let object = attached.object(object, "object")?;
        let registered = attached.with(|mutator| how(mutator, object, token));
        let registered = registered.map_err(|_| no_memory("a registration for finalization"))?;
        store(place, registered.number());
        Ok(())
    })
}

/// Takes a registration back. Stores whether it was still there in `removed`, unless that is NULL: not, once the object is queued.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_finalizer_unregister(
    mutator: *mut palimpsest_mutator,
    finalizer: palimpsest_finalizer,
    removed: *mut bool,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let removed = unsafe { out_or_none(removed, "removed")? };
        // SAFETY: what C passes; see the crate.
        let attached = unsafe { running(mutator)? };
        let was = attached.with(|mutator| mutator.unregister_finalizer(Finalizer::from_number(finalizer)));
        store(removed, was);
        Ok(())
    })
}

/// Takes the next object that is to be finalized from the queue, with the token that it was registered with; NULL if there is
/// none. It stays alive if it is reachable from a root at this thread's next safepoint. `token` may be NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_finalizer_take(
    mutator: *mut palimpsest_mutator,
    object: *mut *mut c_void,
    token: *mut u64,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, place) = unsafe { (running(mutator)?, out(object, "object")?) };
        // SAFETY: likewise.
        let token = unsafe { out_or_none(token, "token")? };
        let taken = attached.with(|mutator| mutator.take_finalizable());
        place.write(taken.map_or(null_mut(), |(object, _): (Address, u64)| object.as_ptr()));
        if let (Some(place), Some((_, token))) = (token, taken) {
            place.write(token);
        }
        Ok(())
    })
}

/// Waits until something is to be finalized, or so many milliseconds have passed, and stores whether something is. For a thread
/// that does nothing else: the collector does not wait for it. A safepoint.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_finalizer_wait(
    mutator: *mut palimpsest_mutator,
    timeout_ms: u64,
    any: *mut bool,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, place) = unsafe { (running(mutator)?, out(any, "any")?) };
        let timeout = (timeout_ms != PALIMPSEST_FOR_EVER).then(|| Duration::from_millis(timeout_ms));
        place.write(attached.with(|mutator| mutator.wait_finalizable(timeout)));
        Ok(())
    })
}

/// Queues all that is registered, reachable or not, in the order of registration: for languages that run finalizers at exit. Stores
/// how many are in the queue then in `queued`, unless that is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_finalizers_queue_all(
    mutator: *mut palimpsest_mutator,
    queued: *mut usize,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let queued = unsafe { out_or_none(queued, "queued")? };
        // SAFETY: what C passes; see the crate.
        let attached = unsafe { running(mutator)? };
        let all = attached.with(|mutator| mutator.queue_all_finalizers());
        store(queued, all);
        Ok(())
    })
}
