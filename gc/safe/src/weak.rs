//! Weak pointers.
//!
//! A slot of the collector's table of weak references belongs to an object, and is free when that dies. So a weak pointer is a pointer to
//! a small object without references, which has the number of its slot. Copies of the pointer share it.

use crate::context::Mutation;
use crate::gc::{Brand, Gc};
use crate::shape::Shape;
use crate::traces::Trace;
use palimpsest::{Address, Kind, OutOfMemory, Tracer, WeakSlot};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A pointer to a value in an arena that does not keep it alive: for caches, observers and ways back. Like a [`Gc`] it is a word that can be
/// copied, stored in objects, and nothing else.
///
/// When its value is found unreachable, the pointer leads nowhere. That is before the value is dropped: none that is dropped, or
/// about to be, is ever seen again.
#[repr(transparent)]
pub struct GcWeak<'gc, T> {
    object: NonNull<u8>,
    brand: Brand<'gc>,
    value: PhantomData<*mut T>,
}

/// Bytes of the object with the number.
const BYTES: usize = size_of::<u32>();

impl<'gc, T> GcWeak<'gc, T> {
    pub(crate) fn new(mc: &Mutation<'gc>, target: Gc<'gc, T>) -> Result<Self, OutOfMemory> {
        mc.context().count(BYTES);
        let made = mc.context().with_mutator(|mutator| {
            // SAFETY: a leaf has no word that is traced.
            let object = unsafe { mutator.alloc_no_safepoint(Kind::LEAF, BYTES) }?;
            let slot = WeakSlot::new(mutator, Address::from_ptr(object.as_ptr()), target.address())?;
            // SAFETY: a new object of this size.
            unsafe { object.cast::<u32>().write(slot.number()) };
            Ok(Self { object, brand: PhantomData, value: PhantomData })
        });
        made.map_err(|why| mc.context().note_shortage(why))
    }

    /// The value, unless it was found unreachable.
    pub fn upgrade(self, mc: &Mutation<'gc>) -> Option<Gc<'gc, T>> {
        // SAFETY: written by `new`, and alive since there is a pointer with the current brand.
        let number = unsafe { self.object.cast::<u32>().read() };
        let target = mc.context().with_mutator(|mutator| WeakSlot::from_number(number).get(mutator))?;
        let object = NonNull::new(target.as_ptr::<u8>())?;
        // SAFETY: the slot was made for an object with a `T`, belongs to this one, and says that the target is alive. It stays so
        // until the next safepoint, which is not in this call of `mutate`.
        Some(unsafe { Gc::from_object(object) })
    }

    /// Whether the value was found unreachable.
    pub fn is_dead(self, mc: &Mutation<'gc>) -> bool {
        self.upgrade(mc).is_none()
    }

    /// Whether these are copies of one weak pointer. Two that were made one by one of the same value are not.
    pub fn ptr_eq(this: Self, other: Self) -> bool {
        this.object == other.object
    }
}

// SAFETY: a pointer to the object with the number is one word, and never null, which is its only niche.
unsafe impl<T> Trace for GcWeak<'_, T> {
    const SHAPE: Shape = Shape::REFERENCE;
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        tracer.object(Address::from_ptr(self.object.as_ptr()));
    }
}

impl<T> Copy for GcWeak<'_, T> {}

impl<T> Clone for GcWeak<'_, T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> fmt::Debug for GcWeak<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(GcWeak)")
    }
}
