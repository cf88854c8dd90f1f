//! Arenas with options.

use crate::arena::Arena;
use crate::context::Mutation;
use crate::error::Error;
use crate::rootable::{Root, Rootable};
use crate::traces::Trace;
use crate::types::Types;
use palimpsest::{Heap, HeapBuilder, StackScan};
use std::fmt;
use std::marker::PhantomData;

/// An arena in the making.
///
/// ```
/// use palimpsest_safe::{Arena, Gc, Rootable};
///
/// # fn main() -> Result<(), palimpsest_safe::Error> {
/// let mut arena = Arena::<Rootable![Gc<'_, u64>]>::builder()
///     .limit(64 << 20)
///     .options("cycle-every=8M")?
///     .configure(|heap| heap.on_cycle(|cycle| eprintln!("{cycle}")))
///     .build(|mc| Gc::new(mc, 1))?;
/// arena.collect();
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until `build`"]
pub struct ArenaBuilder<R: for<'a> Rootable<'a>> {
    heap: HeapBuilder<Types>,
    /// Invariant: the root of a subtype may be another one.
    root: PhantomData<fn(R) -> R>,
}

impl<R: for<'a> Rootable<'a>> ArenaBuilder<R>
where
    for<'a> Root<'a, R>: Trace,
{
    pub(crate) fn new() -> Self {
        Self { heap: Heap::builder(Types::new()), root: PhantomData }
    }

    /// The most memory that objects may occupy, in bytes. Memory that they own outside of the heap, in a `Vec`, does not count.
    pub fn limit(self, bytes: usize) -> Self {
        self.configure(|heap| heap.limit(bytes))
    }

    /// Options in the form that a program has them from its user ([`palimpsest::options`]).
    ///
    /// # Errors
    /// Where one is unknown or does not take its value.
    pub fn options(self, text: &str) -> Result<Self, Error> {
        Ok(Self { heap: self.heap.options(text)?, ..self })
    }

    /// Whatever else can be said about a heap: listeners, the rung of the ladder, what children have of it.
    pub fn configure(self, configure: impl FnOnce(HeapBuilder<Types>) -> HeapBuilder<Types>) -> Self {
        Self { heap: configure(self.heap), ..self }
    }

    /// Makes the arena and its root, on the calling thread, where it stays.
    ///
    /// # Errors
    /// Where the heap cannot be made or has no room for the root.
    pub fn build(
        self,
        root: impl for<'gc> FnOnce(&'gc Mutation<'gc>) -> Root<'gc, R>,
    ) -> Result<Arena<R>, Error> {
        self.try_build(|mc| Ok(root(mc)))
    }

    /// The same for a root that may not come about.
    ///
    /// # Errors
    /// As [`ArenaBuilder::build`], and those of the function.
    pub fn try_build<E: From<Error>>(
        self,
        root: impl for<'gc> FnOnce(&'gc Mutation<'gc>) -> Result<Root<'gc, R>, E>,
    ) -> Result<Arena<R>, E> {
        let heap = self.heap.build().map_err(Error::from)?;
        let mutator = heap.attach(StackScan::None).map_err(Error::from)?;
        Arena::make(mutator, root)
    }
}

impl<R: for<'a> Rootable<'a>> fmt::Debug for ArenaBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArenaBuilder").field("heap", &self.heap).finish()
    }
}
