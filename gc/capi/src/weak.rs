//! Weak references: in native memory, and as slots that belong to objects.

use crate::heap::Of;
use crate::mutator::{palimpsest_mutator, running};
use crate::opaque::{ANYBODY, Shell, close, lend, opaque, open, out};
use crate::status::{entry, no_memory, palimpsest_status};
use palimpsest::{Address, WeakRef, WeakSlot};
use std::ffi::c_void;
use std::ptr::null_mut;

/// A weak reference in native memory: it leads to an object as long as something else keeps that alive.
pub struct palimpsest_weak(Shell<(WeakRef, Of)>);
opaque!(palimpsest_weak, (WeakRef, Of), b"weak");

/// Makes a weak reference to an object, which is alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_weak_new(
    mutator: *mut palimpsest_mutator,
    object: *mut c_void,
    weak: *mut *mut palimpsest_weak,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, place) = unsafe { (running(mutator)?, out(weak, "weak")?) };
        let object = attached.object(object, "object")?;
        let made = attached.with(|mutator| WeakRef::new(mutator, object));
        let made = made.map_err(|_| no_memory("a weak reference"))?;
        place.write(open((made, Of::new(&attached.heap)), ANYBODY)?.as_ptr());
        Ok(())
    })
}

/// Stores the object in `object`; NULL if it is dead, or queued for finalization. It stays alive if it is reachable from a root
/// at this thread's next safepoint.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_weak_get(
    mutator: *mut palimpsest_mutator,
    weak: *const palimpsest_weak,
    object: *mut *mut c_void,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, (weak, heap), place) =
            unsafe { (running(mutator)?, lend(weak)?, out(object, "object")?) };
        heap.must_be(&attached.heap)?;
        place.write(attached.with(|mutator| weak.get(mutator)).map_or(null_mut(), Address::as_ptr));
        Ok(())
    })
}

/// Makes this a reference to another object, which is alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_weak_set(
    mutator: *mut palimpsest_mutator,
    weak: *mut palimpsest_weak,
    object: *mut c_void,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, (weak, heap)) = unsafe { (running(mutator)?, lend(weak)?) };
        heap.must_be(&attached.heap)?;
        let object = attached.object(object, "object")?;
        attached.with(|mutator| weak.set(mutator, object));
        Ok(())
    })
}

/// Frees a weak reference, on any thread. NULL is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_weak_free(weak: *mut palimpsest_weak) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    entry(|| unsafe { close(weak) }.map(drop))
}

/// Makes a weak reference from one object to another, both of which are alive, and stores its number, which `owner` keeps in a
/// word that is not traced. It is freed with its owner: a number is good for as long as the object that it was made for is alive.
/// For a language's own weak-reference objects.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_weak_slot_new(
    mutator: *mut palimpsest_mutator,
    owner: *mut c_void,
    object: *mut c_void,
    number: *mut u32,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, place) = unsafe { (running(mutator)?, out(number, "number")?) };
        let (owner, object) = (attached.object(owner, "owner")?, attached.object(object, "object")?);
        let slot = attached.with(|mutator| WeakSlot::new(mutator, owner, object));
        place.write(slot.map_err(|_| no_memory("a weak reference"))?.number());
        Ok(())
    })
}

/// As `palimpsest_weak_get`, for the slot of this number, whose owner is alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_weak_slot_get(
    mutator: *mut palimpsest_mutator,
    number: u32,
    object: *mut *mut c_void,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, place) = unsafe { (running(mutator)?, out(object, "object")?) };
        let found = attached.with(|mutator| WeakSlot::from_number(number).get(mutator));
        place.write(found.map_or(null_mut(), Address::as_ptr));
        Ok(())
    })
}

/// As `palimpsest_weak_set`, for the slot of this number, whose owner is alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_weak_slot_set(
    mutator: *mut palimpsest_mutator,
    number: u32,
    object: *mut c_void,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let attached = unsafe { running(mutator)? };
        let object = attached.object(object, "object")?;
        attached.with(|mutator| WeakSlot::from_number(number).set(mutator, object));
        Ok(())
    })
}
