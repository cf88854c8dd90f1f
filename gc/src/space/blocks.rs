//! What each block is used for, in memory the workers share.

use crate::error::Error;
use crate::sync::{AtomicU8, AtomicU64, Ordering};
use crate::unit::{BLOCK, BLOCK_GRANULES, BlockIndex, Granules};
use palimpsest_runtime::Address;
use palimpsest_runtime::crash::violated;
use palimpsest_runtime::mapping::{Region, Shared};

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

impl BlockState {
    /// The state that is stored so, if one is. Async-signal-safe.
    pub fn from_raw(raw: u8) -> Option<Self> {
        Some(match raw {
            0 => BlockState::Free,
            1 => BlockState::Owned,
            2 => BlockState::Full,
            3 => BlockState::Recyclable,
            4 => BlockState::Unswept,
            5 => BlockState::Sweeping,
            6 => BlockState::LargeHead,
            7 => BlockState::LargeTail,
            _ => return None,
        })
    }
}

/// The state of every block of the heap.
#[derive(Debug)]
pub struct BlockTable {
    /// Where the first block is, for reports.
    base: Address,
    states: Shared<AtomicU8>,
    /// For a `LargeHead` its size in granules; for a `LargeTail` its head's block.
    large: Shared<AtomicU64>,
}

impl BlockTable {
    /// A table of free blocks, of which the first is at `base`.
    pub fn new(base: Address, blocks: u32) -> Result<Self, Error> {
        Ok(Self {
            base,
            states: Shared::new("palimpsest-blocks", blocks as usize)?,
            large: Shared::new("palimpsest-large", blocks as usize)?,
        })
    }

    /// A block's state.
    #[inline]
    pub fn get(&self, block: BlockIndex) -> BlockState {
        // Acquire: whoever sees a state sees what was recorded before it was set.
        let raw = self.states[block.0 as usize].load(Ordering::Acquire);
        BlockState::from_raw(raw).unwrap_or_else(|| self.report(block, "is in no state that there is"))
    }

    /// What is stored of a block's state, whether it is one or not. Async-signal-safe.
    pub fn raw(&self, block: BlockIndex) -> u8 {
        self.states[block.0 as usize].load(Ordering::Relaxed)
    }

    /// What is stored with the states of large objects, whatever it is. Async-signal-safe.
    pub fn large_number(&self, block: BlockIndex) -> u64 {
        self.large[block.0 as usize].load(Ordering::Relaxed)
    }

    /// Ends the process: this is wrong with a block.
    #[cold]
    #[inline(never)]
    pub(super) fn report(&self, block: BlockIndex, what: &str) -> ! {
        let (number, raw) = (block.0, self.raw(block));
        let at = self.base.add(block.0 as usize * BLOCK);
        violated(Some(at), format_args!("block {number} {what} (its state is {raw})"))
    }

    /// Sets the state of a block that has to be in this one: whoever took it relies on nobody else having done so.
    pub(super) fn change(&self, block: BlockIndex, from: BlockState, to: BlockState) {
        if self.raw(block) != from as u8 {
            let what = match from {
                BlockState::Free => "was taken as a free one and is not",
                BlockState::Owned => "was given up by a thread that does not own it",
                BlockState::Recyclable => "was taken to recycle and is not listed for that",
                BlockState::Sweeping => "was swept and is not being swept",
                _ => "is not in the state that it should be in",
            };
            self.report(block, what);
        }
        self.set(block, to);
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
        let size = Granules(self.large[head.0 as usize].load(Ordering::Relaxed) as usize);
        if size.0 > (self.states.len() - head.0 as usize) * BLOCK_GRANULES {
            self.report(head, "is of a large object that does not fit the heap");
        }
        size
    }

    /// The first block of the large object this block belongs to.
    #[inline]
    pub fn large_head(&self, block: BlockIndex) -> Option<BlockIndex> {
        match self.get(block) {
            BlockState::LargeHead => Some(block),
            BlockState::LargeTail => {
                let head = self.large[block.0 as usize].load(Ordering::Relaxed);
                if head >= block.0.into() {
                    self.report(block, "continues a large object that begins behind it");
                }
                Some(BlockIndex(head as u32))
            }
            _ => None,
        }
    }
}
