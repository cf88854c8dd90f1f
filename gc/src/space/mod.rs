//! The two halves of the heap as sets of blocks: who may allocate where, and what has to be swept first.
//!
//! # States of a block
//!
//! ```text
//!   Free ──taken──▶ Owned ──retired──▶ Full ──cycle ends──▶ Unswept ──taken──▶ Sweeping ──┬─ nothing live ──▶ Free
//!                     ▲                                                                  ├─ room ─────────▶ Recyclable
//!                     └──────────────────────── Recyclable ◀────────────────────────────┘─ no room ──────▶ Full
//!   Free ◀──dead── LargeHead, LargeTail ◀──large object── Free
//! ```
//!
//! An `Owned` block belongs to one thread, which bump-allocates in its free runs without any lock. Sweeping is lazy: a
//! thread that needs memory takes an unswept block and sweeps it, and the collector sweeps the rest in the background.
//! When a snapshot is taken no block is unswept.
//!
//! A cycle of the young leaves what is old alone, so only blocks that may hold young objects are swept after it: those that a
//! thread allocated in since they were swept, and those in which the last sweep saw some.

mod blocks;
mod free;
mod sweep;

pub use blocks::{BlockState, BlockTable};
pub use sweep::{Swept, sweep_block};

use crate::stats::Scope;
use crate::sync::mutation;
use crate::unit::{BLOCK, BLOCK_GRANULES, BlockIndex, Granules};
use free::FreeBlocks;
use palimpsest_runtime::Bytes;
use palimpsest_runtime::crash::violated;
use palimpsest_runtime::sys::lock::Mutex;
use std::collections::{TryReserveError, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicUsize, Ordering::Relaxed};

/// A block with less free room than this is left alone until the next cycle: opening its pages costs more than the room
/// is worth.
const WORTH_RECYCLING: Granules = Granules(BLOCK_GRANULES / 16);

/// Blocks of either sort that a new space has room to list. Later the host's allocator may have no more memory for that.
const LISTED: usize = 256;

/// The heap's memory against its limit.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    limit: Bytes,
    /// The last part of the limit, for those who may use it.
    reserve: Bytes,
}

/// How much of the limit an allocation may use.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Claim {
    /// All but the reserve.
    Ordinary,
    /// The reserve too.
    Reserve,
}

impl Budget {
    /// Nothing used.
    pub fn new(limit: Bytes, reserve: Bytes) -> Self {
        Self { used: AtomicUsize::new(0), limit, reserve }
    }

    /// What may be used altogether.
    pub fn limit(&self, claim: Claim) -> Bytes {
        match claim {
            Claim::Ordinary => Bytes(self.limit.0.saturating_sub(self.reserve.0)),
            Claim::Reserve => self.limit,
        }
    }

    /// What blocks and large objects occupy.
    pub fn used(&self) -> Bytes {
        Bytes(self.used.load(Relaxed))
    }

    fn take(&self, bytes: usize, claim: Claim) -> bool {
        let limit = self.limit(claim).0;
        self.used
            .fetch_update(Relaxed, Relaxed, |used| used.checked_add(bytes).filter(|sum| *sum <= limit))
            .is_ok()
    }

    fn give_back(&self, bytes: usize) {
        let before = self.used.fetch_sub(bytes, Relaxed);
        if before < bytes {
            violated(None, format_args!("{bytes} bytes are given back of {before} that are in use"));
        }
    }
}

/// One half of the heap.
#[derive(Debug)]
pub struct Space {
    first: BlockIndex,
    inner: Mutex<Inner>,
    /// Blocks, counted from the first, that were empty at the last snapshot and have been taken since: all their objects are
    /// young. Read without the lock.
    fresh: Vec<AtomicU8>,
    /// As `used_end`, for who may not take the lock.
    seen_end: AtomicU32,
}

#[derive(Debug)]
struct Inner {
    /// Which blocks are `Free`, counted from the space's first.
    free: FreeBlocks,
    /// Free blocks whose pages are open and populated: they cost the thread that takes one nothing.
    ready: VecDeque<BlockIndex>,
    recyclable: Vec<BlockIndex>,
    large: Vec<BlockIndex>,
    /// Blocks from here on and below `used_end` may be unswept.
    sweep_at: u32,
    /// One past the last block that was ever used.
    used_end: u32,
    /// How many sweeps have begun.
    sweeps: u64,
    /// Which blocks may hold young objects, counted from the space's first: a bit a block.
    young: Vec<u64>,
}

impl Inner {
    fn is_young(&self, k: u32) -> bool {
        self.young[k as usize / 64] >> (k % 64) & 1 != 0
    }

    fn set_young(&mut self, k: u32, young: bool) {
        let word = &mut self.young[k as usize / 64];
        *word = (*word & !(1 << (k % 64))) | u64::from(young) << (k % 64);
    }
}

/// What a free block costs the thread that takes it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Readiness {
    /// Nothing: its pages are open and populated.
    Ready,
    /// It may have to be opened.
    Used,
    /// It may have to be populated too.
    Any,
}

/// A block that was taken, and when.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// The block, `Owned` by the caller.
    pub block: BlockIndex,
    /// Whether it held objects when it was taken.
    pub recycled: bool,
    /// How many sweeps had begun when it was taken.
    sweeps: u64,
}

impl Taken {
    /// A block that the caller has to itself and that may hold objects.
    pub fn recycled_now(block: BlockIndex) -> Self {
        Self { block, recycled: true, sweeps: 0 }
    }
}

impl Space {
    /// A space of `blocks` free blocks from `first` on.
    pub fn new(first: BlockIndex, blocks: u32) -> Result<Self, TryReserveError> {
        let (mut recyclable, mut large) = (Vec::new(), Vec::new());
        let (mut young, mut fresh) = (Vec::new(), Vec::new());
        young.try_reserve_exact(blocks.div_ceil(64) as usize)?;
        young.resize(blocks.div_ceil(64) as usize, 0);
        fresh.try_reserve_exact(blocks as usize)?;
        fresh.extend((0..blocks).map(|_| AtomicU8::new(0)));
        recyclable.try_reserve(LISTED)?;
        large.try_reserve(LISTED)?;
        let inner = Inner {
            free: FreeBlocks::new(blocks)?,
            ready: VecDeque::new(),
            recyclable,
            large,
            sweep_at: first.0,
            used_end: first.0,
            sweeps: 0,
            young,
        };
        Ok(Self { first, inner: Mutex::new(inner), fresh, seen_end: AtomicU32::new(first.0) })
    }

    /// A swept block with room among its objects.
    pub fn take_recyclable(&self, table: &BlockTable) -> Option<Taken> {
        let mut inner = self.inner.lock();
        let block = inner.recyclable.pop()?;
        table.change(block, BlockState::Recyclable, BlockState::Owned);
        inner.set_young(block.0 - self.first.0, !mutation!("space: what is allocated in is not young"));
        Some(Taken { block, recycled: true, sweeps: inner.sweeps })
    }

    /// A block with nothing in it, if the budget allows: the cheapest there is, of those that are at least so good.
    pub fn take_free(
        &self,
        at_least: Readiness,
        table: &BlockTable,
        budget: &Budget,
        claim: Claim,
    ) -> Option<Taken> {
        if !budget.take(BLOCK, claim) {
            return None;
        }
        let mut inner = self.inner.lock();
        let unprepared = |inner: &mut Inner| match at_least {
            Readiness::Ready => None,
            Readiness::Used => inner.free.take_lowest_used(),
            Readiness::Any => inner.free.take_lowest_used().or_else(|| inner.free.take_one()),
        };
        let ready = inner.ready.pop_front();
        let Some(block) = ready.or_else(|| Some(BlockIndex(self.first.0 + unprepared(&mut inner)?))) else {
            budget.give_back(BLOCK);
            return None;
        };
        self.note_used(&mut inner, block.0 + 1);
        inner.set_young(block.0 - self.first.0, true);
        self.fresh[(block.0 - self.first.0) as usize].store(1, Relaxed);
        table.change(block, BlockState::Free, BlockState::Owned);
        Some(Taken { block, recycled: false, sweeps: inner.sweeps })
    }

    /// Takes an owned block back when its owner has no more room in it. `true`: a sweep has begun since it was taken, and
    /// missed it. It may hold dead objects, is `Sweeping` by the caller, and goes to [`Space::put_swept`].
    #[must_use]
    pub fn retire(&self, taken: Taken, table: &BlockTable) -> bool {
        // Under the lock: either the sweep that begins next sees the block `Full`, or this sees that it began.
        let inner = self.inner.lock();
        // A block that was empty holds only objects allocated since, which are live until the next cycle.
        let missed = taken.recycled
            && taken.sweeps != inner.sweeps
            && !mutation!("space: what a sweep has missed counts as swept");
        let to = if missed { BlockState::Sweeping } else { BlockState::Full };
        table.change(taken.block, BlockState::Owned, to);
        missed
    }

    /// Free blocks next to each other, at most `most`, to open and populate ahead of their use: any that occupy memory,
    /// and of the others while fewer than `fresh` are ready. They go to [`Space::put_ready`].
    pub fn take_unready(&self, most: u32, fresh: usize) -> Option<Range<u32>> {
        let mut inner = self.inner.lock();
        // Without room in the list they are as good where they are.
        inner.ready.try_reserve(most as usize).ok()?;
        let first = match inner.free.lowest_used() {
            None if inner.ready.len() + most as usize <= fresh => inner.free.lowest()?,
            used => used?,
        };
        let blocks = inner.free.take_from(first, most);
        Some(self.first.0 + first..self.first.0 + first + blocks)
    }

    /// Takes blocks back that are ready.
    pub fn put_ready(&self, blocks: Range<u32>) {
        let mut inner = self.inner.lock();
        self.note_used(&mut inner, blocks.end);
        for block in blocks {
            // Threads that swept may have used up the room.
            if inner.ready.try_reserve(1).is_ok() {
                inner.ready.push_back(BlockIndex(block));
            } else {
                inner.free.put(block - self.first.0, 1, false);
            }
        }
    }

    /// Memory that free blocks occupy.
    pub fn idle_memory(&self) -> Bytes {
        let inner = self.inner.lock();
        Bytes((inner.free.used() as usize + inner.ready.len()) * BLOCK)
    }

    /// Free blocks next to each other that occupy memory, at most `most`, to give back to the system. The highest first: they
    /// are the last that would be taken. They go to [`Space::put_returned`].
    pub fn take_idle(&self, most: u32) -> Option<Range<u32>> {
        let mut inner = self.inner.lock();
        if let Some(blocks) = inner.free.take_highest_used(most) {
            return Some(self.first.0 + blocks.start..self.first.0 + blocks.end);
        }
        let last = inner.ready.pop_back()?;
        let mut first = last;
        while last.0 - first.0 + 1 < most && inner.ready.back().is_some_and(|block| block.0 + 1 == first.0) {
            first.0 -= 1;
            inner.ready.pop_back();
        }
        Some(first.0..last.0 + 1)
    }

    /// Takes blocks back, `clean` if their memory was given back and reads as zero.
    pub fn put_returned(&self, blocks: Range<u32>, clean: bool) {
        self.inner.lock().free.put(blocks.start - self.first.0, blocks.len() as u32, clean);
    }

    /// A block to sweep. It is `Sweeping` by the caller, who passes it to [`Space::put_swept`].
    pub fn take_unswept(&self, table: &BlockTable) -> Option<BlockIndex> {
        let mut inner = self.inner.lock();
        while inner.sweep_at < inner.used_end {
            let block = BlockIndex(inner.sweep_at);
            inner.sweep_at += 1;
            if table.get(block) == BlockState::Unswept {
                table.set(block, BlockState::Sweeping);
                return Some(block);
            }
        }
        None
    }

    /// Whether the block was empty at the last snapshot and has been taken since.
    pub fn is_fresh(&self, block: BlockIndex) -> bool {
        self.fresh[(block.0 - self.first.0) as usize].load(Relaxed) != 0
    }

    /// At a snapshot: what is in use holds older objects from now on.
    pub fn age(&self) {
        let used = self.inner.lock().used_end - self.first.0;
        for fresh in &self.fresh[..used as usize] {
            fresh.store(0, Relaxed);
        }
    }

    /// Takes a swept block back, for whoever needs it.
    ///
    /// `is_open`: its pages are, so that it is ready if nothing is left in it.
    pub fn put_swept(
        &self,
        block: BlockIndex,
        swept: Swept,
        is_open: bool,
        table: &BlockTable,
        budget: &Budget,
    ) {
        let mut inner = self.inner.lock();
        inner.set_young(
            block.0 - self.first.0,
            swept.young && !mutation!("space: what a sweep has seen is not young"),
        );
        if swept.is_empty() {
            table.change(block, BlockState::Sweeping, BlockState::Free);
            if is_open && inner.ready.try_reserve(1).is_ok() {
                inner.ready.push_back(block);
            } else {
                inner.free.put(block.0 - self.first.0, 1, false);
            }
            budget.give_back(BLOCK);
        } else if swept.is_worth_recycling() && inner.recyclable.try_reserve(1).is_ok() {
            table.change(block, BlockState::Sweeping, BlockState::Recyclable);
            inner.recyclable.push(block);
        } else {
            table.change(block, BlockState::Sweeping, BlockState::Full);
        }
    }

    /// Takes blocks for a large object. `record` enters it into the metadata before any sweep can look at it. Also whether
    /// the blocks read as zero; such ones are sought first if `prefer_clean`.
    pub fn take_large(
        &self,
        size: Granules,
        prefer_clean: bool,
        table: &BlockTable,
        (budget, claim): (&Budget, Claim),
        record: impl FnOnce(BlockIndex),
    ) -> Option<(BlockIndex, bool)> {
        let blocks = u32::try_from(size.bytes().div_ceil(BLOCK)).ok()?;
        if !budget.take(large_bytes(size), claim) {
            return None;
        }
        let mut inner = self.inner.lock();
        // Blocks that are ready may be what interrupts a long enough run, short of memory that was never used.
        while let Some(block) = inner.ready.pop_front() {
            inner.free.put(block.0 - self.first.0, 1, false);
        }
        let has_room = inner.large.try_reserve(1).is_ok();
        let clean = (has_room && prefer_clean).then(|| inner.free.take_run(blocks, true)).flatten();
        let Some(k) = clean.or_else(|| has_room.then(|| inner.free.take_run(blocks, false)).flatten()) else {
            budget.give_back(large_bytes(size));
            return None;
        };
        let head = BlockIndex(self.first.0 + k);
        let pristine = inner.free.are_clean(k, blocks);
        for fresh in &self.fresh[k as usize..(k + blocks) as usize] {
            fresh.store(1, Relaxed);
        }
        for block in head.0..head.0 + blocks {
            if table.get(BlockIndex(block)) != BlockState::Free {
                table.report(BlockIndex(block), "was taken for a large object and is not free");
            }
        }
        record(head);
        table.set_large(head, size);
        inner.large.push(head);
        self.note_used(&mut inner, head.0 + blocks);
        Some((head, pristine))
    }

    /// Drops large objects for which `is_dead` holds: `release` is told each one's blocks and size and gives their memory back,
    /// if the kernel does as it is told; then the blocks are free. Whether they read as zero is what it answers.
    pub fn sweep_large(
        &self,
        table: &BlockTable,
        budget: &Budget,
        mut is_dead: impl FnMut(BlockIndex) -> bool,
        mut release: impl FnMut(Range<u32>, Granules) -> bool,
    ) {
        // Those from here on were looked at. What comes meanwhile is at the end, and alive.
        let mut unseen = self.inner.lock().large.len();
        while unseen > 0 {
            unseen -= 1;
            let head = {
                let mut inner = self.inner.lock();
                let head = inner.large[unseen];
                if !is_dead(head) {
                    continue;
                }
                inner.large.swap_remove(unseen)
            };
            if table.get(head) != BlockState::LargeHead {
                table.report(head, "is listed as that of a large object and is not");
            }
            let size = table.large_size(head);
            let blocks = head.0..head.0 + size.bytes().div_ceil(BLOCK) as u32;
            let clean = release(blocks.clone(), size);
            let mut inner = self.inner.lock();
            for block in blocks.clone() {
                table.set(BlockIndex(block), BlockState::Free);
            }
            inner.free.put(head.0 - self.first.0, blocks.len() as u32, clean);
            budget.give_back(large_bytes(size));
        }
    }

    /// After a successful cycle: every block that is used and that no thread owns has to be swept, if the cycle was of the
    /// young one that may hold young objects.
    pub fn begin_sweep(&self, table: &BlockTable, scope: Scope) {
        let mut inner = self.inner.lock();
        let mut recyclable = std::mem::take(&mut inner.recyclable);
        let is_to_sweep =
            |inner: &Inner, block: BlockIndex| scope == Scope::Full || inner.is_young(block.0 - self.first.0);
        recyclable.retain(|block| !is_to_sweep(&inner, *block));
        inner.recyclable = recyclable;
        inner.sweeps += 1;
        for block in (self.first.0..inner.used_end).map(BlockIndex) {
            let is_swept = match table.get(block) {
                BlockState::Full | BlockState::Recyclable => true,
                BlockState::Owned => mutation!("space: what a thread owns is swept too"),
                _ => false,
            };
            if is_swept && is_to_sweep(&inner, block) {
                table.set(block, BlockState::Unswept);
            }
        }
        inner.sweep_at = self.first.0;
    }

    fn note_used(&self, inner: &mut Inner, end: u32) {
        inner.used_end = inner.used_end.max(end);
        self.seen_end.store(inner.used_end, Relaxed);
    }

    /// One past the last block that was ever used, or a moment ago was; without a lock.
    pub fn seen_end(&self) -> BlockIndex {
        BlockIndex(self.seen_end.load(Relaxed))
    }

    /// One past the last block that was ever used.
    pub fn used_end(&self) -> BlockIndex {
        BlockIndex(self.inner.lock().used_end)
    }

    /// All blocks that were ever used.
    pub fn used_blocks(&self) -> impl Iterator<Item = BlockIndex> + use<> {
        (self.first.0..self.inner.lock().used_end).map(BlockIndex)
    }
}

/// What a large object takes from the budget: its pages. No other page of its blocks is written to.
fn large_bytes(size: Granules) -> usize {
    size.bytes().next_multiple_of(palimpsest_runtime::PAGE_SIZE)
}
