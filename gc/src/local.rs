//! A thread's own allocation state: free runs to bump through, without a lock.
//!
//! For each space a thread has a *run* for objects of every size, and an *overflow* run for those of medium size that did
//! not fit: those take a whole empty block rather than skip one small hole after another (Immix).

use crate::metadata::Colour;
use crate::space::Taken;
use crate::unit::BlockIndex;

/// Free memory between two addresses of a block.
#[derive(Debug)]
pub(crate) struct Run {
    /// Where the next object goes.
    pub(crate) cursor: usize,
    /// The fast path allocates below this. Equal to `cursor` where every allocation is to take the slow path.
    pub(crate) limit: usize,
    /// Where the run really ends. Not below `limit`.
    pub(crate) end: usize,
    /// Where the thread began in this run, for counting what it allocated.
    start: usize,
    /// The block the run is in.
    block: Option<Taken>,
}

impl Run {
    const fn empty() -> Self {
        Self { cursor: 0, limit: 0, end: 0, start: 0, block: None }
    }

    /// The block the run is in.
    pub(crate) fn block(&self) -> Option<BlockIndex> {
        self.block.map(|taken| taken.block)
    }

    /// Begins a run in a block that was taken.
    pub(crate) fn begin(&mut self, taken: Taken, start: usize, end: usize, slow: bool) {
        debug_assert!(start <= end);
        *self = Self { cursor: start, limit: if slow { start } else { end }, end, start, block: Some(taken) };
    }

    /// From here on every allocation takes the slow path, until [`Run::open`].
    pub(crate) fn close(&mut self) {
        self.limit = self.cursor;
    }

    /// Lets the fast path allocate again.
    pub(crate) fn open(&mut self) {
        self.limit = self.end;
    }

    /// Moves on to another run of the same block.
    pub(crate) fn move_to(&mut self, start: usize, end: usize, slow: bool) {
        if let Some(taken) = self.block {
            self.begin(taken, start, end, slow);
        }
    }

    /// Bytes allocated in this run that were not counted so far.
    pub(crate) fn take_allocated(&mut self) -> usize {
        std::mem::replace(&mut self.start, self.cursor).abs_diff(self.cursor)
    }

    /// Ends the run and returns its block.
    pub(crate) fn give_up(&mut self) -> Option<Taken> {
        std::mem::replace(self, Self::empty()).block
    }
}

/// One space's runs of one thread.
#[derive(Debug)]
pub(crate) struct Runs {
    pub(crate) main: Run,
    pub(crate) overflow: Run,
}

/// A thread's allocation state.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) traced: Runs,
    pub(crate) leaf: Runs,
    colour: Colour,
}

impl Local {
    pub(crate) fn new(colour: Colour) -> Self {
        let runs = || Runs { main: Run::empty(), overflow: Run::empty() };
        Self { traced: runs(), leaf: runs(), colour }
    }

    /// The colour that new objects get.
    #[inline(always)]
    pub(crate) fn colour(&self) -> Colour {
        self.colour
    }

    /// Where it is.
    pub(crate) fn colour_address(&self) -> *const u8 {
        (&raw const self.colour).cast()
    }

    pub(crate) fn set_colour(&mut self, colour: Colour) {
        self.colour = colour;
    }

    /// One space's runs.
    #[inline(always)]
    pub(crate) fn runs(&mut self, leaf: bool) -> &mut Runs {
        if leaf { &mut self.leaf } else { &mut self.traced }
    }

    /// All runs, each with whether it is in the leaf space.
    pub(crate) fn all_runs(&mut self) -> [(&mut Run, bool); 4] {
        let (t, l) = (&mut self.traced, &mut self.leaf);
        [(&mut t.main, false), (&mut t.overflow, false), (&mut l.main, true), (&mut l.overflow, true)]
    }

    /// Bytes allocated that were not counted so far.
    pub(crate) fn take_allocated(&mut self) -> usize {
        self.all_runs().map(|(run, _)| run.take_allocated()).iter().sum()
    }
}

/// Where a thread's state is. The thread owns it; the collector looks at it while the thread is stopped.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct LocalPtr(*mut Local);

// SAFETY: other threads use the pointer in a stopped world only.
unsafe impl Send for LocalPtr {}

impl LocalPtr {
    pub(crate) fn new(local: *mut Local) -> Self {
        Self(local)
    }

    /// The state.
    ///
    /// # Safety
    /// The caller is the owning thread, or the world is stopped; no other reference to the state is in use; and the
    /// owner has not detached.
    #[allow(clippy::mut_from_ref, reason = "the pointer, not this handle to it, says who may write")]
    pub(crate) unsafe fn get(&self) -> &mut Local {
        // SAFETY: passed on to the caller.
        unsafe { &mut *self.0 }
    }
}
