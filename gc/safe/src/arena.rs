//! The arena: a heap, its thread, and its root.
//!
//! The root is an object like any other, which a handle of the collector keeps alive. What an [`Arena`] promises rests on two things. The
//! *brand*: the function that is given to [`Arena::mutate`] is one for every lifetime, so nothing with that lifetime in its type can be
//! in what it returns or captures. And *no safepoint*: whatever the function does, no cycle begins before it returns.

use crate::builder::ArenaBuilder;
use crate::context::{Context, Mutation};
use crate::error::Error;
use crate::gc::Gc;
use crate::rootable::{Root, Rootable};
use crate::traces::Trace;
use crate::types::Of;
use palimpsest::{Bytes, CycleRecord, Footprint, Handle, Histogram, Ladder, Mutator, Stats};
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

/// A heap of its own with a root, for one thread.
///
/// The type says what the root is, with the brand left open: `Arena<Rootable![Globals<'_>]>`. All work with objects is done in
/// functions that are given to [`Arena::mutate`].
///
/// Between the calls the thread may do what it likes, wait or end: the collector does not wait for it. **A call of `mutate`
/// is what a cycle waits for**, and no memory is reclaimed in it: do much in many calls rather than in one.
///
/// # Panics in a call
/// leave the arena as usable as a panic leaves a `RefCell`: every value is whole, and what was stored is stored.
///
/// # Dropping
/// An arena that is dropped drops all values in it, each once, and then gives its memory back, whatever is stashed: first those that were
/// found unreachable, then the others in the order in which they were made. A value that panics does not keep the others from it. An arena that is leaked (`mem::forget`) holds up nobody.
///
/// # Forks
/// After a `fork` of the host the child has no heap: it may drop the arena, which drops no values there, and is ended with a
/// message if it uses it. With `host-fork=copy` ([`palimpsest::HostFork`]) the child has an arena of its own, and both drop what they have; where
/// the copy was refused it is as without. Fork between two calls of `mutate`.
pub struct Arena<R: for<'a> Rootable<'a>> {
    // Dropped first: values are dropped while the heap has its roots.
    context: Box<Context>,
    root: Handle,
    /// Invariant: the root of a subtype may be another one.
    value: PhantomData<fn(R) -> R>,
}

impl<R: for<'a> Rootable<'a>> Arena<R>
where
    for<'a> Root<'a, R>: Trace,
{
    /// Makes an arena and its root.
    ///
    /// # Errors
    /// Where the heap cannot be made or has no room for the root.
    pub fn new(root: impl for<'gc> FnOnce(&'gc Mutation<'gc>) -> Root<'gc, R>) -> Result<Self, Error> {
        Self::builder().build(root)
    }

    /// The same for a root that may not come about.
    ///
    /// # Errors
    /// As [`Arena::new`], and those of the function.
    pub fn try_new<E: From<Error>>(
        root: impl for<'gc> FnOnce(&'gc Mutation<'gc>) -> Result<Root<'gc, R>, E>,
    ) -> Result<Self, E> {
        Self::builder().try_build(root)
    }

    /// Begins to make an arena with options.
    pub fn builder() -> ArenaBuilder<R> {
        ArenaBuilder::new()
    }

    pub(crate) fn make<E: From<Error>>(
        mutator: Mutator<crate::Types>,
        root: impl for<'gc> FnOnce(&'gc Mutation<'gc>) -> Result<Root<'gc, R>, E>,
    ) -> Result<Self, E> {
        let context = Box::new(Context::new(mutator));
        let root = {
            let _inside = context.enter();
            let mc = context.branded();
            let root = Gc::try_new(mc, root(mc)?).map_err(|(why, _)| Error::from(why))?;
            context.heap().try_handle(root.address()).map_err(Error::from)?
        };
        Ok(Self { context, root, value: PhantomData })
    }

    /// Calls `f` with the right to make objects, and the root. What it returns holds no pointer into the arena.
    ///
    /// Nothing is collected meanwhile, and a cycle that is due waits for the end. When `f` has returned, some of the values that were
    /// found unreachable are dropped: 256, or an eighth of those that wait if that is more. Before it is called, the arena is collected
    /// if seven eighths of its limit are in use, or an allocation failed in the call before.
    ///
    /// # Panics
    /// If `f` does; and when it has returned, if the `Drop` of a value does that is dropped afterwards, or was dropped before. A panic
    /// never keeps `f` from being called.
    #[inline]
    pub fn mutate<T>(&mut self, f: impl for<'gc> FnOnce(&'gc Mutation<'gc>, &'gc Root<'gc, R>) -> T) -> T {
        let inside = self.context.enter();
        // SAFETY: the root is alive, was made for this type up to the brand, and nobody has a mutable reference to it: that takes
        // `mutate_root`, in another call.
        let result = f(self.context.branded(), unsafe { self.root().as_ref() });
        inside.finish();
        result
    }

    /// The same with a mutable reference to the root, which thus needs no cells.
    ///
    /// # Panics
    /// As [`Arena::mutate`].
    #[inline]
    pub fn mutate_root<T>(
        &mut self,
        f: impl for<'gc> FnOnce(&'gc Mutation<'gc>, &'gc mut Root<'gc, R>) -> T,
    ) -> T {
        let inside = self.context.enter();
        // SAFETY: as above; and there is no other reference to the root, in this call or from outside, nor a `Gc` to it.
        let result = f(self.context.branded(), unsafe { self.root().as_mut() });
        inside.finish();
        result
    }

    /// Where the root is, with a brand.
    #[inline(always)]
    fn root<'gc>(&self) -> NonNull<Root<'gc, R>> {
        // SAFETY: the object of the root is not at address 0, and is as large as this.
        unsafe { NonNull::new_unchecked(self.root.get().as_ptr::<u8>()).add(Of::<Root<'gc, R>>::OFFSET) }
            .cast()
    }
}

impl<R: for<'a> Rootable<'a>> Arena<R> {
    /// Makes a full cycle, waits for its end, and drops all values that were found unreachable. What a value refers to that waited to be
    /// dropped when the cycle began is found by the next one.
    ///
    /// # Panics
    /// If the `Drop` of a value does. The others are dropped later.
    pub fn collect(&mut self) -> CycleRecord {
        self.context.collect(Mutator::collect)
    }

    /// The same for a cycle that looks at young objects, and at what was written to since the last one; where the heap can make
    /// such.
    ///
    /// # Panics
    /// As [`Arena::collect`].
    pub fn collect_young(&mut self) -> CycleRecord {
        self.context.collect(Mutator::collect_young)
    }

    /// What the collector has done and what the heap occupies.
    pub fn stats(&self) -> Stats {
        self.context.heap().stats()
    }

    /// All pauses so far: for how long a call of [`Arena::mutate`] may have waited at its beginning.
    pub fn pauses(&self) -> Histogram {
        self.context.heap().pauses()
    }

    /// What the whole process occupies.
    ///
    /// # Errors
    /// Where the kernel does not tell.
    pub fn footprint(&self) -> Result<Footprint, Error> {
        Ok(self.context.heap().footprint()?)
    }

    /// How the heap is kept while it is marked, and why not better.
    pub fn ladder(&self) -> &Ladder {
        self.context.heap().ladder()
    }

    /// The most that the heap may use.
    pub fn limit(&self) -> Bytes {
        self.context.heap().limit()
    }

    /// The options that the heap was made with.
    pub fn options(&self) -> String {
        self.context.heap().options()
    }

    /// Values that were found unreachable and wait to be dropped.
    pub fn waiting_drops(&self) -> usize {
        self.context.heap().finalizable()
    }
}

impl<R: for<'a> Rootable<'a>> fmt::Debug for Arena<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arena({:?})", self.context)
    }
}
