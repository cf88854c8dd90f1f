//! Allocation that is not a bump: the next free run, an object that has blocks for itself, a heap that has no room at once. What is done at
//! its limit is in `shortage.rs`.

use super::place::Place;
use super::{Mutator, clear_pad};
use crate::core::Core;
use crate::cycle::mailbox::Wanted;
use crate::embedder::Embedder;
use crate::error::OutOfMemory;
use crate::events::Reason;
use crate::kind::Kind;
use crate::shortage::Shortage;
use crate::space::{Readiness, Space, Taken};
use crate::unit::{BLOCK, BLOCK_GRANULES, GRANULE, Granules, SMALL_MAX};
use palimpsest_runtime::barrier::{Contents, Use};
use palimpsest_runtime::{Bytes, CHUNK_PAGES, PAGE_SIZE, PageRange};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

/// An object larger than this, in bytes, that does not fit into the current run goes to the overflow run.
const MEDIUM: usize = 1024;

/// A large object of at least so many bytes is zeroed by giving its old memory back to the system, others by hand.
const ZERO_BY_RELEASE: usize = 1 << 20;

/// Blocks that are swept for one allocation while there are free ones: a heap that is mostly live has thousands without
/// room, and sweeping them all is some milliseconds' work.
const SWEEP_AT_ONCE: usize = 16;

/// Whether an allocation may wait, for the world or for a cycle.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) enum Patience {
    Waits,
    Never,
}

impl<E: Embedder> Mutator<E> {
    /// Notes that this thread has taken memory from a space.
    fn count_claim(&mut self) {
        self.claims += 1;
        self.core().claims.fetch_add(1, Relaxed);
    }

    #[cold]
    #[inline(never)]
    pub(super) fn alloc_slow(
        &mut self,
        kind: Kind,
        bytes: usize,
        patience: Patience,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        if bytes > SMALL_MAX {
            return self.alloc_large(kind, bytes, false, patience);
        }
        let patience = self.begin_slowly(patience);
        let (size, leaf) = (Granules::for_bytes(bytes), kind == Kind::LEAF);
        let mut shortage = Shortage::default();
        loop {
            if let Some(at) = self.bump(leaf, size) {
                let core = self.core();
                let granule = (at - core.geometry.base) / GRANULE;
                core.metadata.record(granule, size, kind, core.living().young);
                clear_pad(at, bytes);
                return Ok(core.geometry.address(granule).as_ptr()).map(|p| {
                    // SAFETY: an address in the heap is not null.
                    unsafe { NonNull::new_unchecked(p) }
                });
            }
            if !self.refill(leaf, size, patience) {
                self.make_room_for(&mut shortage, bytes, patience)?;
            }
        }
    }

    /// What an allocation begins with that is not the fast path; whether this one may wait.
    fn begin_slowly(&mut self, patience: Patience) -> Patience {
        self.must_be_in("Mutator::alloc");
        self.heap.look_around("Mutator::alloc");
        let patience = if self.place == Place::Pinned { Patience::Never } else { patience };
        if patience == Patience::Waits {
            self.poll();
        }
        self.stress(patience);
        patience
    }

    fn make_room_for(
        &mut self,
        shortage: &mut Shortage,
        bytes: usize,
        patience: Patience,
    ) -> Result<(), OutOfMemory> {
        match patience {
            Patience::Waits => self.make_room(shortage, Bytes(bytes)),
            Patience::Never => Err(self.out_of_memory(Bytes(bytes))),
        }
    }

    /// Takes memory from this thread's runs.
    fn bump(&mut self, leaf: bool, size: Granules) -> Option<usize> {
        let runs = self.local().runs(leaf);
        let medium = size.bytes() > MEDIUM;
        let run = if runs.main.end - runs.main.cursor >= size.bytes() {
            &mut runs.main
        } else if medium && runs.overflow.end - runs.overflow.cursor >= size.bytes() {
            &mut runs.overflow
        } else {
            return None;
        };
        let at = run.cursor;
        run.cursor += size.bytes();
        // In the stress mode the limit stays at the cursor, so that every allocation comes by here.
        run.limit = run.limit.max(run.cursor).min(run.end);
        Some(at)
    }

    /// Gets a run with room for an object of this size. `false`: the limit is reached.
    fn refill(&mut self, leaf: bool, size: Granules, patience: Patience) -> bool {
        let slow = self.core().options.stress.is_some();
        if size.bytes() > MEDIUM {
            let Some(taken) = self.acquire_empty(leaf) else { return false };
            self.count_claim();
            let core = self.heap.core().clone();
            let start = core.geometry.block_address(taken.block).as_usize();
            let runs = self.local().runs(leaf);
            // A main run that is used up takes the new block, rather than waste what a second one would leave.
            let run = if runs.main.block().is_none() { &mut runs.main } else { &mut runs.overflow };
            core.count_allocated(run.take_allocated());
            core.retire(run, leaf);
            run.begin(taken, start, start + BLOCK, slow);
            return true;
        }
        let core = self.heap.core().clone();
        let run = &mut self.local().runs(leaf).main;
        core.count_allocated(run.take_allocated());
        if let Some(block) = run.block() {
            let end = (run.end - core.geometry.base) / GRANULE;
            if let Some((start, end)) = next_room(&core, end, block.granule() + BLOCK_GRANULES, size) {
                run.move_to(
                    core.geometry.address(start).as_usize(),
                    core.geometry.address(end).as_usize(),
                    slow,
                );
                return true;
            }
            core.retire(run, leaf);
        }
        loop {
            // There may be thousands of blocks without a hole that is large enough. This thread has no run now.
            if patience == Patience::Waits {
                self.poll();
            }
            let Some(taken) = self.acquire(leaf) else { return false };
            self.count_claim();
            let (start, end) = (taken.block.granule(), taken.block.granule() + BLOCK_GRANULES);
            let room = next_room(&core, start, end, size);
            if room.is_some() {
                core.open_block(taken);
            }
            let run = &mut self.local().runs(leaf).main;
            match room {
                Some((start, end)) => {
                    let at = |granule| core.geometry.address(granule).as_usize();
                    run.begin(taken, at(start), at(end), slow);
                    return true;
                }
                None => {
                    run.begin(taken, 0, 0, slow);
                    core.retire(run, leaf);
                }
            }
        }
    }

    /// A block to allocate in. Its pages may be armed.
    fn acquire(&mut self, leaf: bool) -> Option<Taken> {
        let core = self.core();
        let (space, table, budget) = (core.space(leaf), &core.blocks, &core.budget);
        let free = |at_least| space.take_free(at_least, table, budget, self.claim);
        let recyclable = || space.take_recyclable(table);
        if !leaf && core.prefers_empty_blocks() {
            free(Readiness::Any).or_else(recyclable)
        } else if !leaf && core.has_generations() {
            // Old objects in a block that is allocated in are looked at by the next cycle, whether they were written to or not.
            let ready = || free(Readiness::Ready);
            ready()
                .or_else(|| self.sweep_for(space, SWEEP_AT_ONCE, ready))
                .or_else(|| free(Readiness::Used))
                .or_else(recyclable)
                .or_else(|| free(Readiness::Any))
                .or_else(|| self.sweep_for(space, usize::MAX, || free(Readiness::Any).or_else(recyclable)))
        } else {
            let room = || recyclable().or_else(|| free(Readiness::Used));
            recyclable()
                .or_else(|| self.sweep_for(space, SWEEP_AT_ONCE, room))
                .or_else(|| free(Readiness::Any))
                .or_else(|| self.sweep_for(space, usize::MAX, room))
        }
    }

    /// Sweeps at most `blocks` blocks, until there is what is sought.
    fn sweep_for(&self, space: &Space, blocks: usize, seek: impl Fn() -> Option<Taken>) -> Option<Taken> {
        let core = self.core();
        for _ in 0..blocks {
            core.sweep(space.take_unswept(&core.blocks)?);
            let taken = seek();
            if taken.is_some() {
                return taken;
            }
        }
        None
    }

    /// An empty block, with its pages open.
    fn acquire_empty(&mut self, leaf: bool) -> Option<Taken> {
        let core = self.core();
        let space = core.space(leaf);
        let taken = loop {
            if let Some(taken) = space.take_free(Readiness::Any, &core.blocks, &core.budget, self.claim) {
                break taken;
            }
            core.sweep(space.take_unswept(&core.blocks)?);
        };
        core.open_block(taken);
        Some(taken)
    }

    /// An object that has blocks for itself.
    #[cold]
    #[inline(never)]
    pub(super) fn alloc_large(
        &mut self,
        kind: Kind,
        bytes: usize,
        zeroed: bool,
        patience: Patience,
    ) -> Result<NonNull<u8>, OutOfMemory> {
        let patience = self.begin_slowly(patience);
        let leaf = kind == Kind::LEAF;
        let core = self.heap.core().clone();
        // Sizes that would overflow the arithmetic below are far beyond any limit.
        if bytes > core.budget.limit(self.claim).0 {
            return Err(self.out_of_memory(Bytes(bytes)));
        }
        let size = Granules::for_bytes(bytes);
        let mut shortage = Shortage::default();
        loop {
            let record = |head: crate::unit::BlockIndex| {
                core.metadata.record_large(head.granule(), kind, core.living().young);
            };
            let budget = (&core.budget, self.claim);
            let prefer_clean = zeroed && bytes >= ZERO_BY_RELEASE;
            let taken = core.space(leaf).take_large(size, prefer_clean, &core.blocks, budget, record);
            if let Some((head, pristine)) = taken {
                self.count_claim();
                let at = core.geometry.block_address(head);
                let len = bytes.next_multiple_of(PAGE_SIZE);
                if !leaf && let Some(barrier) = &core.barrier {
                    let first = head.pages().start.0;
                    // Free blocks were free when the snapshot was taken.
                    let pages = PageRange::new(first, first + (len / PAGE_SIZE) as u32);
                    barrier.open(pages, Contents::Nothing);
                    (head.0..pages.end.0.div_ceil(CHUNK_PAGES))
                        .for_each(|chunk| barrier.label(chunk, Use::Large));
                }
                if zeroed && !pristine {
                    // SAFETY: the new object's own pages, open, with nothing in them that anyone needs.
                    let released =
                        bytes >= ZERO_BY_RELEASE && unsafe { core.map.release(at, Bytes(len)) }.is_ok();
                    if !released {
                        // SAFETY: as above.
                        unsafe { at.as_ptr::<u8>().write_bytes(0, len) };
                    }
                }
                core.count_allocated(bytes);
                // SAFETY: an address in the heap is not null.
                return Ok(unsafe { NonNull::new_unchecked(at.as_ptr()) });
            }
            // What is dead among small objects may make up the run that is missing.
            core.finish_sweep();
            self.make_room_for(&mut shortage, bytes, patience)?;
        }
    }

    /// In the stress mode: asks for a cycle every so many allocations, one at a time, and goes on while it is at work.
    fn stress(&mut self, patience: Patience) {
        let Some(every) = self.core().options.stress else { return };
        if self.core().stress_left.fetch_sub(1, Relaxed) != 1 {
            return;
        }
        self.core().stress_left.store(every as usize, Relaxed);
        if let Some(last) = self.stress.take().filter(|_| patience == Patience::Waits) {
            self.wait(last);
        }
        self.stress = Some(self.core().mailbox.request(Wanted::Any, Reason::Stress));
    }
}

/// The first free run at or after `from` (where no object begins before and reaches into) that has room for `size`.
fn next_room<E: Embedder>(core: &Core<E>, from: usize, end: usize, size: Granules) -> Option<(usize, usize)> {
    let mut at = from;
    while at < end {
        let next = core.metadata.skip_zero(at, end);
        if next - at >= size.0 {
            return Some((at, next));
        }
        if next == end {
            return None;
        }
        at = next + core.metadata.size(next).0;
    }
    None
}
