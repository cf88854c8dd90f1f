//! What each block is used for, in memory the workers share.

use crate::error::Error;
use crate::unit::{BLOCK, BlockIndex, Granules};
use palimpsest_runtime::mapping::{Region, Shared};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// See the module [`space`](super).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum BlockState {
    /// Holds no object.
    Free,
    /// A thread allocates in it.
    Owned,
    /// In use, with no room worth having.
    Full,
    /// In use, with room.
    Recyclable,
    /// May hold dead objects of the last cycle.
    Unswept,
    /// Somebody is sweeping it.
    Sweeping,
    /// The first block of a large object.
    LargeHead,
    /// A further block of a large object.
    LargeTail,
}

/// The state of every block of the heap.
#[derive(Debug)]
pub struct BlockTable {
    states: Shared<AtomicU8>,
    /// For a `LargeHead` its size in granules; for a `LargeTail` its head's block.
    large: Shared<AtomicU64>,
}

impl BlockTable {
    /// A table of free blocks.
    pub fn new(blocks: u32) -> Result<Self, Error> {
        Ok(Self {
            states: Shared::new("palimpsest-blocks", blocks as usize)?,
            large: Shared::new("palimpsest-large", blocks as usize)?,
        })
    }

    /// A block's state.
    #[inline]
    pub fn get(&self, block: BlockIndex) -> BlockState {
        // Acquire: whoever sees a state sees what was recorded before it was set.
        match self.states[block.0 as usize].load(Ordering::Acquire) {
            0 => BlockState::Free,
            1 => BlockState::Owned,
            2 => BlockState::Full,
            3 => BlockState::Recyclable,
            4 => BlockState::Unswept,
            5 => BlockState::Sweeping,
            6 => BlockState::LargeHead,
            _ => BlockState::LargeTail,
        }
    }

    /// Where the tables are, for workers.
    pub fn regions(&self) -> [Region<'_>; 2] {
        [self.states.region(), self.large.region()]
    }

    /// Sets a block's state.
    pub fn set(&self, block: BlockIndex, state: BlockState) {
        self.states[block.0 as usize].store(state as u8, Ordering::Release);
    }

    /// Makes blocks from `head` on those of one large object.
    pub(super) fn set_large(&self, head: BlockIndex, size: Granules) {
        let blocks = size.bytes().div_ceil(BLOCK) as u32;
        self.large[head.0 as usize].store(size.0 as u64, Ordering::Relaxed);
        for tail in head.0 + 1..head.0 + blocks {
            self.large[tail as usize].store(head.0.into(), Ordering::Relaxed);
            self.set(BlockIndex(tail), BlockState::LargeTail);
        }
        self.set(head, BlockState::LargeHead);
    }

    /// The size of the large object that starts in this block.
    #[inline]
    pub fn large_size(&self, head: BlockIndex) -> Granules {
        Granules(self.large[head.0 as usize].load(Ordering::Relaxed) as usize)
    }

    /// The first block of the large object this block belongs to.
    #[inline]
    pub fn large_head(&self, block: BlockIndex) -> Option<BlockIndex> {
        match self.get(block) {
            BlockState::LargeHead => Some(block),
            BlockState::LargeTail => {
                Some(BlockIndex(self.large[block.0 as usize].load(Ordering::Relaxed) as u32))
            }
            _ => None,
        }
    }
}
