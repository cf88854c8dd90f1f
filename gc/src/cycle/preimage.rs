//! Marking a snapshot that the write barrier keeps, in a forked worker, while the mutators run.

use super::stop_the_world::{self, mark_stopped};
use super::{Marking, begin_marking, enter_pause, mark_all, retire_all};
use crate::core::Core;
use crate::embedder::Embedder;
use crate::mark::Tally;
use crate::space::BlockState;
use crate::stats::{CycleRecord, ms};
use crate::unit::BlockIndex;
use palimpsest_runtime::Error;
use palimpsest_runtime::barrier::{Barrier, Choice};
use palimpsest_runtime::sys::process::Hurry;
use palimpsest_runtime::worker::{self, Order, Record, Verdict, Worker};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// Rounds of arming before the pause, at most.
const ROUNDS: u32 = 12;

/// So few pages in a round are left to the pause.
const FEW_PAGES: u32 = 32;

/// Takes a snapshot and has it marked.
pub(super) fn mark<E: Embedder>(
    core: &Core<E>,
    barrier: &Barrier,
    cycle: u64,
    record: &mut CycleRecord,
) -> Marking {
    if let Err(error) = arm_ahead(core, barrier, record) {
        return stop_the_world::mark(core, record, Some(error.to_string()));
    }
    // In the pause all threads wait for this one. Whatever else wants its processor, for a time slice of some milliseconds,
    // waits for the fraction of one that it takes, where we may ask for that.
    let hurry = Hurry::new();
    let start = Instant::now();
    let world = core.registry.stop_world();
    record.stop_ms = ms(start.elapsed());
    retire_all(core, &world);

    let arming = Instant::now();
    let armed = barrier.arm_round(|chunk| match core.blocks.get(BlockIndex(chunk)) {
        BlockState::Free => Choice::Nothing,
        _ => Choice::All,
    });
    record.arm_ms = ms(arming.elapsed());

    let forking = Instant::now();
    let forked = armed.and_then(|pages| {
        record.armed_in_pause = pages;
        begin_marking(core);
        barrier.begin_snapshot();
        let roots = core.roots.lock();
        let order =
            Order { barrier, record: &core.record, cycle, nice: hurry.before() + core.options.worker_nice };
        // SAFETY: the world is stopped and the snapshot has begun. Marking allocates nothing and locks nothing; the
        // roots, whose lock is held here, are as they were at the fork.
        unsafe {
            worker::fork(&order, |view| {
                report(&core.record, mark_all(core, view, &roots, world.threads()));
                true
            })
        }
    });
    record.fork_ms = ms(forking.elapsed());
    match forked {
        Ok(worker) => {
            enter_pause(record, start);
            drop(world);
            drop(hurry);
            worker.begin();
            watch(core, barrier, worker, record)
        }
        Err(error) => {
            barrier.end_snapshot();
            let tally = mark_stopped(core, &world, record, Some(error.to_string()));
            enter_pause(record, start);
            drop(world);
            Marking::Complete(tally)
        }
    }
}

/// Arms what is dirty, and then what was written meanwhile, until there is little left for the pause.
fn arm_ahead<E: Embedder>(core: &Core<E>, barrier: &Barrier, record: &mut CycleRecord) -> Result<(), Error> {
    while record.rounds < ROUNDS {
        let armed = barrier.arm_round(|chunk| match core.blocks.get(BlockIndex(chunk)) {
            BlockState::Free => Choice::Nothing,
            // Its owner would trap on the pages it is about to fill.
            BlockState::Owned | BlockState::Sweeping => Choice::Later,
            _ => Choice::All,
        })?;
        record.rounds += 1;
        record.armed_pages += u64::from(armed);
        if armed < FEW_PAGES {
            break;
        }
    }
    Ok(())
}

/// Waits for the worker and ends the snapshot.
fn watch<E: Embedder>(
    core: &Core<E>,
    barrier: &Barrier,
    mut worker: Worker<'_>,
    record: &mut CycleRecord,
) -> Marking {
    let start = Instant::now();
    core.options.chaos.strike(&worker);
    let mut exhausted: Option<Instant> = None;
    let end = worker.watch(barrier.control(), core.options.patience, || {
        let stalled = |since: &mut Option<Instant>, limit: Duration| {
            since.get_or_insert_with(Instant::now).elapsed() >= limit
        };
        if barrier.is_broken()
            || core.mailbox.is_shut_down()
            || (barrier.is_exhausted() && stalled(&mut exhausted, core.options.stall_limit))
        {
            Verdict::Abandon
        } else {
            Verdict::GoOn
        }
    });
    record.preimages = barrier.end_snapshot();
    record.mark_ms = ms(start.elapsed());
    // A barrier that broke after the last look let writes through that the worker may have seen.
    match end {
        Ok(()) if barrier.is_broken() => Marking::Failed(worker::Failure::Abandoned),
        Ok(()) => {
            record.worker_cpu_ms = ms(core.record.cpu_time());
            Marking::Complete(reported(&core.record))
        }
        Err(failure) => Marking::Failed(failure),
    }
}

/// The worker's side: enters its figures into the record.
fn report(record: &Record, tally: Tally) {
    let figures = [tally.objects, tally.granules, tally.stray, tally.rescanned];
    for (k, figure) in figures.into_iter().enumerate() {
        // Relaxed: published with the record's completion.
        record.figure(k).store(figure, Relaxed);
    }
}

/// The parent's side of [`report`].
fn reported(record: &Record) -> Tally {
    let [objects, granules, stray, rescanned] = [0, 1, 2, 3].map(|k| record.figure(k).load(Relaxed));
    Tally { objects, granules, stray, rescanned }
}
