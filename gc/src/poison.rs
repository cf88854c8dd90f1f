//! What freed memory is filled with when poisoning is on, so that a use after free is seen: by the program, which finds a
//! word that is nothing of its own; in a debugger; and by the verification, which says so.
//!
//! Freed are the granules between the objects of a swept block, all of a block in which nothing is left, and the pages of a
//! large object. With poisoning on, memory of free blocks is not given back to the system, since it would read as zero.

use crate::core::Core;
use crate::embedder::Embedder;
use crate::space::Taken;
use crate::unit::{BLOCK_GRANULES, BlockIndex, GRANULE, Granules};
use palimpsest_runtime::barrier::Contents;
use palimpsest_runtime::{Address, Bytes, PAGE_SIZE, PageRange};
use std::ops::Range;

const BYTE: u8 = 0xdb;

/// A word of freed memory, where [`HeapBuilder::poison`](crate::HeapBuilder::poison) is on.
///
/// It is odd, so no address of an object, and as an address outside what a process can have.
pub const POISON: u64 = u64::from_ne_bytes([BYTE; 8]);

impl<E: Embedder> Core<E> {
    /// Fills a swept block's free memory.
    #[cold]
    pub(crate) fn poison(&self, block: BlockIndex) {
        self.open_block(Taken::recycled_now(block));
        let (mut at, end) = (block.granule(), block.granule() + BLOCK_GRANULES);
        while at < end {
            let next = self.metadata.skip_zero(at, end);
            // SAFETY: these granules are free, their block is this thread's while it sweeps, and its pages are open: the
            // collector's own thread, which blocks SIGBUS, does not trap here.
            unsafe { self.geometry.address(at).as_ptr::<u8>().write_bytes(BYTE, (next - at) * GRANULE) };
            at = if next < end { next + self.metadata.size(next).0 } else { end };
        }
    }

    /// Fills the pages of a dead large object, whose blocks nobody can take so far. Called by the collector's thread, without a
    /// snapshot.
    #[cold]
    pub(crate) fn poison_large(&self, blocks: Range<u32>, size: Granules) {
        let head = BlockIndex(blocks.start);
        let bytes = size.bytes().next_multiple_of(PAGE_SIZE);
        if let Some(barrier) = &self.barrier
            && self.geometry.is_traced(head)
        {
            let first = head.pages().start.0;
            barrier.open(PageRange::new(first, first + (bytes / PAGE_SIZE) as u32), Contents::Nothing);
        }
        // SAFETY: the object's own pages, open; it is dead.
        unsafe { self.geometry.block_address(head).as_ptr::<u8>().write_bytes(BYTE, bytes) };
    }

    /// Whether freed memory is at this address of the heap, as far as poison shows it.
    pub(crate) fn is_poisoned(&self, at: Address) -> bool {
        let word = Address::new(at.as_usize() & !7);
        // SAFETY: memory of the heap, which is mapped readable.
        self.options.poison
            && self.geometry.has(word, Bytes(8))
            && unsafe { word.as_ptr::<u64>().read_volatile() } == POISON
    }
}
