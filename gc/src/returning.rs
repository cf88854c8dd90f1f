//! Giving memory back to the system: what free blocks occupy.
//!
//! After a cycle the collector's thread keeps as much as will be allocated until the next one has ended, in blocks that
//! are ready to be taken, and gives back the rest. Where nothing happens for some time it gives back all of it, and what
//! the tables beside the heap keep for the next cycle. It does so in pieces, and stops when a cycle is wanted.
//!
//! A block that is given back is in no list meanwhile, so no thread takes it. It is opened first: a hole in shared memory
//! leaves the protection of its pages behind, while private memory loses it, and a word that said `Armed` would be wrong.
//! No snapshot is active, as everywhere on this thread between two cycles. Afterwards the block is *clean*: it reads as
//! zero. So does its part of the metadata, a page, which holds nothing but zeroes and is given back too.
//!
//! A heap that goes away gives everything back ([`Core::end`]), since a handle or a weak reference that somebody has forgotten to drop
//! has its state, and would have all its memory.

use crate::core::Core;
use crate::embedder::Embedder;
use crate::space::Space;
use crate::unit::{BLOCK, BLOCK_GRANULES, BlockIndex, GRANULE};
use palimpsest_runtime::barrier::Contents;
use palimpsest_runtime::{Bytes, PageRange};
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

/// Blocks that are given back by one call: 4 MiB, a fraction of a millisecond.
const AT_ONCE: u32 = 64;

impl<E: Embedder> Core<E> {
    /// After a cycle, or while nothing happens: sweeps what is left, then has blocks ready for the threads, and gives back what
    /// is more than they will need. Stops when a cycle is wanted.
    pub(crate) fn tidy(&self) {
        self.finish_sweep();
        let keep = Bytes(self.keep.load(Relaxed));
        let mut gives_back = true;
        while !self.mailbox.is_wanted() {
            // By turns, so that neither waits for the other; and none undoes what the other did.
            let room = keep.0.saturating_sub(self.idle_memory().0);
            let prepared = self.prepare_blocks(room / BLOCK);
            gives_back = gives_back && self.return_some(keep, AT_ONCE);
            if !prepared && !gives_back {
                break;
            }
        }
    }

    /// Nothing has happened for some time: gives back all that nobody uses. `false`: a cycle is wanted.
    pub(crate) fn return_all(&self) -> bool {
        self.finish_sweep();
        while !self.mailbox.is_wanted() {
            if !self.return_some(Bytes(0), AT_ONCE) {
                self.packets.release();
                if let Some(barrier) = &self.barrier {
                    barrier.release_pool();
                }
                return true;
            }
        }
        false
    }

    /// The heap goes away: it has no mutator and gets none, and its collector's thread does nothing more. Takes the barrier away, and
    /// gives the memory of all objects back, and of the tables that grow with them.
    ///
    /// What outlives the heap does not look at these: handles, root ranges, maps and ephemerons have their own in native memory, and
    /// weak references in a table that stays. All that would follow one of them to its object takes a mutator. (A fork that
    /// copies the heap this moment finds that it is going away, and drops the copy.)
    pub(crate) fn end(&self) {
        if let Some(barrier) = &self.barrier {
            barrier.clone().retire();
            barrier.release_pool();
        }
        let half = self.geometry.half;
        for start in [0, half.0] {
            // SAFETY: a whole half, without an object that anybody may look at; no page of it traps any more. If the kernel
            // refuses, the memory is kept until the last of what was made for the heap is dropped.
            let _ = unsafe { self.map.release(self.map.base().add(start), half) };
        }
        self.metadata.release(0, 2 * half.0 / GRANULE);
        self.packets.release();
    }

    /// Memory that free blocks occupy. Takes the spaces' locks, which a child of the host's might find held: for the collector's
    /// thread, which rests while the host forks.
    fn idle_memory(&self) -> Bytes {
        Bytes(self.traced.idle_memory().0 + self.leaf.idle_memory().0)
    }

    /// Gives back at most `most` free blocks of the space that has more to give, down to `keep` for both together. Whether
    /// there were any, and the kernel took them.
    fn return_some(&self, keep: Bytes, most: u32) -> bool {
        if self.options.poison {
            // It would read as zero.
            return false;
        }
        let held = [&self.traced, &self.leaf].map(Space::idle_memory);
        let excess = (held[0].0 + held[1].0).saturating_sub(keep.0) / BLOCK;
        let space = if held[0] >= held[1] { &self.traced } else { &self.leaf };
        if excess == 0 {
            return false;
        }
        let Some(blocks) = space.take_idle(most.min(u32::try_from(excess).unwrap_or(most))) else {
            return false;
        };
        let clean = self.release_blocks(blocks.clone());
        space.put_returned(blocks, clean);
        clean
    }

    /// Gives the memory of blocks back that hold nothing and that nobody can take. `false`: the kernel refuses, and they are as
    /// they were. Called by the collector's thread, without a snapshot.
    pub(crate) fn release_blocks(&self, blocks: Range<u32>) -> bool {
        let [first, end] = [blocks.start, blocks.end].map(BlockIndex);
        if let Some(barrier) = &self.barrier
            && self.geometry.is_traced(first)
        {
            barrier.open(PageRange::new(first.pages().start.0, end.pages().start.0), Contents::Nothing);
        }
        let bytes = Bytes(blocks.len() * BLOCK);
        // SAFETY: whole blocks of one half, without an object, and open.
        let released = unsafe { self.map.release(self.geometry.block_address(first), bytes) }.is_ok();
        if released {
            self.returned.fetch_add(bytes.0 as u64, Relaxed);
            const { assert!(BLOCK_GRANULES.is_multiple_of(palimpsest_runtime::PAGE_SIZE)) };
            self.metadata.release(first.granule(), end.granule());
        }
        released
    }
}
