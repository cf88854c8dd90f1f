//! From one snapshot to the next, as far as the bytes of the metadata are concerned: the colours turn, and what has none of the
//! living is swept.
//!
//! ```text
//!   ┌ the pause: threads' blocks are retired; the colours turn ┐ ─▶ marking paints ─▶ sweeping begins ─▶ ... ─▶ the next pause
//!   └──────────────────────────────────────────────────────────┘    threads record ...    ... and sweep
//! ```
//!
//! A sweep frees what has neither colour of [`Living`]. That is right only while each object that is alive has one, so between the
//! turn and the end of marking nobody may sweep:
//!
//! * what the cycle before left unswept is swept before the pause, and there is nothing to take from a space until the next sweep
//!   begins, which is after marking;
//! * a block that a thread owns is passed by when a sweep begins, and swept when the thread retires it (see
//!   [`Space::retire`]). Those that a sweep has missed are retired in the pause at the latest, *before* the colours turn; one that is
//!   taken afterwards has missed nothing before the sweep of its own cycle.
//!
//! New objects have the young colour, of which each thread has a copy ([`Local`](crate::local::Local)); it is set in the pause with
//! the heap's own. A thread that kept the old one would allocate what the next sweep frees.
//!
//! The heap is a [`Sweeps`] here, so that a model can be one.

use crate::local::{LocalPtr, Run};
use crate::metadata::{Living, Metadata};
use crate::space::{BlockTable, Budget, Space, Swept, sweep_block};
use crate::stats::Scope;
use crate::sync::{AtomicU16, Ordering::Relaxed, mutation};
use crate::unit::BlockIndex;

/// The colours of the living, of a heap. They change in a stopped world only.
#[derive(Debug)]
pub(crate) struct Colours(AtomicU16);

impl Colours {
    pub(crate) const fn new(living: Living) -> Self {
        Self(AtomicU16::new(living.pack()))
    }

    /// As they are. Relaxed: whoever runs has seen the end of the last pause.
    #[inline]
    pub(crate) fn living(&self) -> Living {
        Living::unpack(self.0.load(Relaxed))
    }

    /// Turns to fresh ones: what is alive has to be found by the marking of this scope, and these threads allocate what it passes
    /// by.
    ///
    /// # Safety
    /// The world is stopped, and these are the states of attached threads.
    pub(crate) unsafe fn turn(&self, scope: Scope, threads: &[LocalPtr]) {
        let living = match scope {
            Scope::Full => self.living().renew(),
            Scope::Young => self.living().age(),
        };
        // SAFETY: passed on to the caller.
        unsafe { self.set(living, threads) };
    }

    /// Sets them.
    ///
    /// # Safety
    /// As for [`Colours::turn`].
    pub(crate) unsafe fn set(&self, living: Living, threads: &[LocalPtr]) {
        self.0.store(living.pack(), Relaxed);
        if mutation!("colours: threads keep the old one") {
            return;
        }
        for thread in threads {
            // SAFETY: passed on to the caller.
            unsafe { thread.get() }.set_colour(living.young);
        }
    }
}

/// A heap whose blocks are swept.
pub(crate) trait Sweeps {
    fn metadata(&self) -> &Metadata;

    fn colours(&self) -> &Colours;

    fn blocks(&self) -> &BlockTable;

    fn budget(&self) -> &Budget;

    /// The spaces, the one whose blocks are swept first in front.
    fn spaces(&self) -> [&Space; 2];

    /// The space that the block belongs to.
    fn space_of(&self, block: BlockIndex) -> &Space;

    /// The metadata says what is free in the block, whose memory can be prepared for that. Whether its pages are open.
    fn prepare_swept(&self, block: BlockIndex) -> bool;
}

/// Sweeps a block that is `Sweeping` by the caller and passes it back to its space.
pub(crate) fn sweep(heap: &impl Sweeps, block: BlockIndex) -> Swept {
    let mut living = heap.colours().living();
    if mutation!("sweep: with the colours of before") {
        // There are four of each.
        living = living.renew().renew().renew();
    }
    let swept = sweep_block(heap.metadata(), block, living);
    let is_open = heap.prepare_swept(block);
    heap.space_of(block).put_swept(block, swept, is_open, heap.blocks(), heap.budget());
    swept
}

/// Sweeps all that is unswept. How many blocks those were.
pub(crate) fn finish(heap: &impl Sweeps) -> u64 {
    let mut blocks = 0;
    for space in heap.spaces() {
        while let Some(block) = space.take_unswept(heap.blocks()) {
            sweep(heap, block);
            blocks += 1;
        }
    }
    blocks
}

/// Takes a thread's block away from it, if it has one, for this space, and sweeps it if it has missed a sweep.
pub(crate) fn retire(heap: &impl Sweeps, run: &mut Run, space: &Space) {
    let Some(taken) = run.give_up() else { return };
    if space.retire(taken, heap.blocks()) {
        sweep(heap, taken.block);
    }
}
