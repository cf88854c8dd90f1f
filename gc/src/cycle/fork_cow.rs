//! A snapshot that the kernel's copy-on-write keeps: the heap is private memory, and the worker inherits it.
//!
//! Needs nothing but `fork`. Its price is the pause, in which the kernel copies the page tables of all that the worker
//! inherits, and a copy by the kernel for every page that is written while the worker lives. So the worker inherits little:
//! neither the leaf space nor free blocks.

use super::forked::{self, Frozen};
use super::{Keeper, Marking};
use crate::core::Core;
use crate::embedder::Embedder;
use crate::space::BlockState;
use crate::stats::{CycleRecord, ms};
use crate::unit::BlockIndex;
use palimpsest_runtime::mutator::StoppedWorld;
use palimpsest_runtime::worker::{self, Order, Worker};
use palimpsest_runtime::{CHUNK_PAGES, Error, PageRange};
use std::time::Instant;

/// Runs of blocks that are passed on one by one, at most: each is two system calls in the pause.
const RUNS: usize = 64;

/// Free blocks next to each other that are worth leaving out: two mebibytes, what one page table covers.
const GAP: u32 = 32;

/// The kernel keeps the snapshot.
pub(super) struct ForkCow;

impl<E: Embedder> Keeper<E> for ForkCow {
    fn mark(&self, core: &Core<E>, cycle: u64, record: &mut CycleRecord) -> Marking {
        forked::mark(core, self, cycle, record)
    }
}

impl<E: Embedder> Frozen<E> for ForkCow {
    fn fork<'a>(
        &self,
        core: &'a Core<E>,
        world: &StoppedWorld<'_>,
        order: &Order<'a>,
        record: &mut CycleRecord,
    ) -> Result<Worker<'a>, Error> {
        let forking = Instant::now();
        let end = core.traced.used_end().0;
        let pages = used_runs(end, |block| core.blocks.get(BlockIndex(block)) != BlockState::Free);
        record.inherited_pages = pages.iter().map(|run| u64::from(run.len())).sum();
        let (scope, roots) = (record.scope, core.roots.lock());
        // SAFETY: the world is stopped. Marking allocates nothing and locks nothing, and looks only at objects that are
        // not the colour of new ones: they lie in blocks that were not free. The roots, whose lock is held here, are as
        // they were at the fork.
        let worker = unsafe {
            worker::fork_inheriting(order, &core.map, &pages, |view, member| {
                forked::work(core, view, member, scope, &roots, world.threads())
            })
        };
        record.fork_ms = ms(forking.elapsed());
        worker
    }
}

/// The blocks below `end` that are used, as runs of pages. Gaps between them are left out where they are long, and the longer
/// the gaps have to be the more there are.
fn used_runs(end: u32, is_used: impl Fn(u32) -> bool) -> Vec<PageRange> {
    let mut least = GAP;
    loop {
        let runs = runs_between_gaps(end, least, &is_used);
        if runs.len() <= RUNS {
            return runs
                .into_iter()
                .map(|(from, to)| PageRange::new(from * CHUNK_PAGES, to * CHUNK_PAGES))
                .collect();
        }
        least *= 2;
    }
}

/// Runs of blocks with no gap of `least` free ones inside.
fn runs_between_gaps(end: u32, least: u32, is_used: impl Fn(u32) -> bool) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for block in (0..end).filter(|block| is_used(*block)) {
        match runs.last_mut() {
            Some((_, to)) if block - *to < least => *to = block + 1,
            _ => runs.push((block, block + 1)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_gaps_are_left_out_and_short_ones_are_not() {
        let used = |block: u32| matches!(block, 0..3 | 10..20 | 100..101);
        assert_eq!(runs_between_gaps(200, GAP, used), [(0, 20), (100, 101)]);
        let pages = used_runs(200, used);
        assert_eq!(pages, [PageRange::new(0, 20 * CHUNK_PAGES), PageRange::new(1600, 1616)]);
        assert!(used_runs(200, |_| false).is_empty());
    }

    #[test]
    fn there_are_never_too_many_runs() {
        let pages = used_runs(100_000, |block| block.is_multiple_of(40));
        assert_eq!(pages.len(), 1, "equal gaps go together");
        let pages = used_runs(100_000, |block| block.is_multiple_of(2_000));
        assert_eq!(pages.len(), 50);
    }
}
