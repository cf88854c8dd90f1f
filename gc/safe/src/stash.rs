//! Pointers that are kept outside of their arena.

use crate::context::Mutation;
use crate::gc::Gc;
use crate::rootable::{Root, Rootable};
use palimpsest::{Address, Handle};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A pointer into an arena that is kept outside of it, and keeps its value alive: for what a host program remembers of the arena between
/// calls. It has no brand, may be stored anywhere, and is fetched back with [`Mutation::fetch`] in a later call. It does not keep the
/// arena, and may be dropped after it.
///
/// Stored in the arena itself (in a [`Static`](crate::Static)), it is a root like any other: what it refers to lives at least as long as
/// the object that it is in, and if that is reachable from there, both live as long as the arena.
///
/// ```
/// use palimpsest_safe::{Arena, Gc, Rootable, Stashed};
///
/// # fn main() -> Result<(), palimpsest_safe::Error> {
/// let mut arena = Arena::<Rootable![()]>::new(|_| ())?;
/// let kept: Stashed<Rootable![Gc<'_, u32>]> = arena.mutate(|mc, ()| mc.stash(Gc::new(mc, Gc::new(mc, 5))));
/// arena.collect();
/// assert_eq!(arena.mutate(|mc, ()| **mc.fetch(&kept)), 5);
/// # Ok(())
/// # }
/// ```
pub struct Stashed<R: for<'a> Rootable<'a>> {
    handle: Handle,
    arena: u64,
    /// Invariant: the root of a subtype may be another one.
    value: PhantomData<fn(R) -> R>,
}

impl<'gc> Mutation<'gc> {
    /// Keeps a pointer for later calls.
    ///
    /// # Panics
    /// Where the host's allocator has no memory to note it.
    pub fn stash<R: for<'a> Rootable<'a>>(&self, value: Gc<'gc, Root<'gc, R>>) -> Stashed<R> {
        let handle = self.context().heap().handle(value.address());
        Stashed { handle, arena: self.context().id, value: PhantomData }
    }

    /// The pointer that was kept.
    ///
    /// # Panics
    /// If it is another arena's. [`Mutation::try_fetch`] does not.
    pub fn fetch<R: for<'a> Rootable<'a>>(&self, stashed: &Stashed<R>) -> Gc<'gc, Root<'gc, R>> {
        self.try_fetch(stashed)
            .expect("a stashed pointer was fetched in another arena than the one that it is of")
    }

    /// The pointer that was kept, or nothing if it is another arena's.
    pub fn try_fetch<R: for<'a> Rootable<'a>>(&self, stashed: &Stashed<R>) -> Option<Gc<'gc, Root<'gc, R>>> {
        let object = NonNull::new(stashed.handle.get().as_ptr::<u8>())?;
        // SAFETY: `stash` had a pointer to a value of this type, up to the brand, of this arena, and the handle keeps it alive.
        (stashed.arena == self.context().id).then(|| unsafe { Gc::from_object(object) })
    }
}

impl<R: for<'a> Rootable<'a>> fmt::Debug for Stashed<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object: Address = self.handle.get();
        write!(f, "Stashed({object})")
    }
}
