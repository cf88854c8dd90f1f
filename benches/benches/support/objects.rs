//! Typed allocation, as a compiler would emit it: the size is a constant and the object is written at once.

use palimpsest::{Kind, PlainPointers};

/// The mutator of a bench's heap: an object's references are plain addresses.
pub type Mutator = palimpsest::Mutator<PlainPointers>;

/// A new object that holds `value`. `kind` says which of its words are references.
#[inline]
pub fn new<T: Copy>(mutator: &mut Mutator, kind: Kind, value: T) -> *mut T {
    const { assert!(align_of::<T>() <= 16, "objects are 16-byte aligned") };
    // SAFETY: the next statements write the whole object, and this thread has no safepoint before they do.
    let place = unsafe { mutator.alloc_uninit(kind, size_of::<T>()) };
    let place = place.expect("the limit is above what the bench keeps").cast::<T>().as_ptr();
    // SAFETY: fresh memory of this size and alignment, which nobody else knows.
    unsafe { place.write(value) };
    place
}
