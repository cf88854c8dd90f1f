//! The pointer.
//!
//! A `Gc` is the address of an object's start, which is what the collector wants to find; the value is at a fixed distance from it, none
//! or one header ([`Of::OFFSET`]). It is good for its brand `'gc`, that is to say for one call of
//! [`Arena::mutate`](crate::Arena::mutate): nothing is reclaimed during the call, and nothing with the brand gets out of it.
//! Both the brand and the type are invariant, so that no other brand fits.

use crate::context::Mutation;
use crate::shape::Shape;
use crate::traces::Trace;
use crate::types::Of;
use crate::weak::GcWeak;
use palimpsest::{Address, OutOfMemory, Tracer};
use std::borrow::Borrow;
use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

/// An invariant lifetime.
pub(crate) type Brand<'gc> = PhantomData<Cell<&'gc ()>>;

/// A pointer to a value in an arena. It is a word, and a copy of it is the same pointer.
///
/// It keeps its value alive when it is stored in another object of the arena, in the root, or in anything that they own: in a
/// `Vec` in an object, say. Storing it is a plain store. There is no write barrier to remember: use
/// [`Cell`], [`RefCell`](std::cell::RefCell) and whatever builds on them, as outside of an arena.
///
/// Equality, order and hash are those of the values; [`Gc::ptr_eq`] compares pointers.
///
/// It cannot leave [`Arena::mutate`](crate::Arena::mutate), nor be stored in another arena, nor be sent to another thread: none of these
/// compiles. What is to be kept outside is [stashed](Mutation::stash).
#[repr(transparent)]
pub struct Gc<'gc, T> {
    object: NonNull<u8>,
    brand: Brand<'gc>,
    /// Invariant, and bound to its thread.
    value: PhantomData<*mut T>,
}

impl<'gc, T: Trace + 'gc> Gc<'gc, T> {
    /// Moves a value into the arena. No collection happens here.
    ///
    /// # Panics
    /// Where there is no room for it. [`Gc::try_new`] does not.
    #[inline]
    pub fn new(mc: &Mutation<'gc>, value: T) -> Self {
        match mc.context().room_for::<T>() {
            // SAFETY: room for a `T`, in which nothing is yet.
            Ok(object) => unsafe { Self::put(object, value) },
            Err(why) => no_room::<T>(&why),
        }
    }

    /// Moves a value into the arena, or gives it back if there is no room.
    ///
    /// Nothing is collected before the call of [`Arena::mutate`](crate::Arena::mutate) returns; the next one begins with a collection
    /// then. So a program that goes on after this error returns first, and tries again.
    ///
    /// # Errors
    /// Where the heap's limit leaves no room, or the host's allocator has no memory to register the value.
    #[inline]
    pub fn try_new(mc: &Mutation<'gc>, value: T) -> Result<Self, (OutOfMemory, T)> {
        match mc.context().room_for::<T>() {
            // SAFETY: as above.
            Ok(object) => Ok(unsafe { Self::put(object, value) }),
            Err(why) => Err((why, value)),
        }
    }

    /// # Safety
    /// `object` is from `room_for::<T>`, and this is the first use of it.
    #[inline(always)]
    unsafe fn put(object: NonNull<u8>, value: T) -> Self {
        // SAFETY: passed on to the caller; the offset leaves room for the value and is aligned for it.
        unsafe {
            object.add(Of::<T>::OFFSET).cast::<T>().write(value);
            Self::from_object(object)
        }
    }

    /// The value, for as long as the pointer is good, rather than for as long as it is borrowed.
    #[allow(
        clippy::should_implement_trait,
        reason = "the trait is implemented too, and cannot say for how long"
    )]
    #[inline(always)]
    pub fn as_ref(this: Self) -> &'gc T {
        // SAFETY: a value of this type is there, from `new` until it is found unreachable; and what there is a pointer with
        // the current brand to was reachable when the call of `mutate` began, or was made in it, or was found alive through a weak
        // pointer. Nobody has a mutable reference to it: none are given out.
        unsafe { this.value().as_ref() }
    }

    /// Where the value is. It does not move. The collector does not know of the pointer that this returns.
    pub fn as_ptr(this: Self) -> *const T {
        this.value().as_ptr()
    }

    /// A pointer that does not keep the value alive. Takes two words of the heap, which live as long as the weak pointer.
    ///
    /// # Panics
    /// Where there is no room for it. [`Gc::try_downgrade`] does not.
    pub fn downgrade(this: Self, mc: &Mutation<'gc>) -> GcWeak<'gc, T> {
        Self::try_downgrade(this, mc).unwrap_or_else(|why| no_room::<GcWeak<'gc, T>>(&why))
    }

    /// A pointer that does not keep the value alive.
    ///
    /// # Errors
    /// Where there is no room for it.
    pub fn try_downgrade(this: Self, mc: &Mutation<'gc>) -> Result<GcWeak<'gc, T>, OutOfMemory> {
        GcWeak::new(mc, this)
    }

    #[inline(always)]
    fn value(self) -> NonNull<T> {
        // SAFETY: within the object.
        unsafe { self.object.add(Of::<T>::OFFSET) }.cast()
    }
}

impl<'gc, T> Gc<'gc, T> {
    /// Whether both point to the same object.
    pub fn ptr_eq(this: Self, other: Self) -> bool {
        this.object == other.object
    }

    /// Where the object starts, as the collector knows it.
    #[inline]
    pub(crate) fn address(self) -> Address {
        Address::from_ptr(self.object.as_ptr())
    }

    /// # Safety
    /// A `T` is in this object of the arena that `'gc` is the brand of, and is alive.
    #[inline(always)]
    pub(crate) unsafe fn from_object(object: NonNull<u8>) -> Self {
        Self { object, brand: PhantomData, value: PhantomData }
    }
}

#[cold]
#[inline(never)]
fn no_room<T>(why: &OutOfMemory) -> ! {
    panic!(
        "no room for a {} in the arena: {why}. Within one call of `mutate` nothing is collected: do less in each call, raise the \
         limit (`Arena::builder`), or use `Gc::try_new` and come back in another call",
        std::any::type_name::<T>()
    )
}

// SAFETY: a pointer is one word, and never null, which is its only niche.
unsafe impl<T> Trace for Gc<'_, T> {
    const SHAPE: Shape = Shape::REFERENCE;
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        tracer.object(self.address());
    }
}

impl<T> Copy for Gc<'_, T> {}

impl<T> Clone for Gc<'_, T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<'gc, T: Trace + 'gc> Deref for Gc<'gc, T> {
    type Target = T;
    #[inline(always)]
    fn deref(&self) -> &T {
        Gc::as_ref(*self)
    }
}

impl<'gc, T: Trace + 'gc> AsRef<T> for Gc<'gc, T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<'gc, T: Trace + 'gc> Borrow<T> for Gc<'gc, T> {
    fn borrow(&self) -> &T {
        self
    }
}

impl<'gc, T: Trace + fmt::Debug + 'gc> fmt::Debug for Gc<'gc, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<'gc, T: Trace + fmt::Display + 'gc> fmt::Display for Gc<'gc, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> fmt::Pointer for Gc<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object.fmt(f)
    }
}

impl<'gc, T: Trace + PartialEq + 'gc> PartialEq for Gc<'gc, T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<'gc, T: Trace + Eq + 'gc> Eq for Gc<'gc, T> {}

impl<'gc, T: Trace + PartialOrd + 'gc> PartialOrd for Gc<'gc, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (**self).partial_cmp(&**other)
    }
}

impl<'gc, T: Trace + Ord + 'gc> Ord for Gc<'gc, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl<'gc, T: Trace + Hash + 'gc> Hash for Gc<'gc, T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
