//! What the snapshots that a worker marks have in common: stop, freeze, fork, let go, watch.

use super::stop_the_world::mark_stopped;
use super::{Marking, begin_marking, resume, stop};
use crate::core::Core;
use crate::embedder::Embedder;
use crate::mark::Tally;
use crate::stats::{CycleRecord, Scope, ms};
use palimpsest_runtime::Error;
use palimpsest_runtime::mutator::StoppedWorld;
use palimpsest_runtime::sys::event::Event;
use palimpsest_runtime::sys::process::Hurry;
use palimpsest_runtime::sys::smaps::Rollup;
use palimpsest_runtime::worker::{self, Order, Record, Verdict, Worker};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// For how long a worker lives before its memory is looked at.
const FIRST_LOOK: Duration = Duration::from_millis(50);

/// A heap that stays as it is, for a worker, while the mutators write to it.
pub(super) trait Frozen<E: Embedder> {
    /// What can be done before the world is stopped.
    fn prepare(&self, _core: &Core<E>, _record: &mut CycleRecord) -> Result<(), Error> {
        Ok(())
    }

    /// Freezes the heap and forks a worker that marks it. On an error nothing is frozen.
    fn fork<'a>(
        &self,
        core: &'a Core<E>,
        world: &StoppedWorld<'_>,
        order: &Order<'a>,
        record: &mut CycleRecord,
    ) -> Result<Worker<'a>, Error>;

    /// What the collector waits for beside its worker.
    fn control<'a>(&'a self, core: &'a Core<E>) -> &'a Event {
        &core.control
    }

    /// Whether a worker at work is to be given up.
    fn is_lost(&self, _core: &Core<E>) -> bool {
        false
    }

    /// The worker is gone: ends what keeps the heap frozen. Whether what the worker saw was the heap of the pause.
    fn thaw(&self, _record: &mut CycleRecord) -> bool {
        true
    }
}

/// Takes a snapshot and has it marked by a worker. Where that cannot be, marks in the stopped world.
pub(super) fn mark<E: Embedder>(
    core: &Core<E>,
    frozen: &impl Frozen<E>,
    cycle: u64,
    record: &mut CycleRecord,
) -> Marking {
    let prepared = frozen.prepare(core, record);
    let hurry = Hurry::new();
    let (world, start) = stop(core, record);
    let paused = Paused { world, start, hurry };
    if let Err(error) = prepared {
        return mark_without(core, paused, record, error);
    }
    begin_marking(core, record);
    fork_and_watch(core, frozen, cycle, paused, record)
}

/// The pause so far.
pub(super) struct Paused<'a> {
    pub(super) world: StoppedWorld<'a>,
    pub(super) start: Instant,
    /// In the pause all threads wait for this one. Whatever else wants its processor, for a time slice of some milliseconds,
    /// waits for the fraction of one that it takes, where we may ask for that.
    pub(super) hurry: Hurry,
}

/// The same, in a world that is stopped, after marking has begun.
pub(super) fn fork_and_watch<E: Embedder>(
    core: &Core<E>,
    frozen: &impl Frozen<E>,
    cycle: u64,
    paused: Paused<'_>,
    record: &mut CycleRecord,
) -> Marking {
    let tables = core.regions();
    let Paused { world, start, hurry } = paused;
    let order = Order {
        tables: &tables,
        record: &core.record,
        cycle,
        nice: hurry.before() + core.options.worker_nice,
    };
    match frozen.fork(core, &world, &order, record) {
        Ok(worker) => {
            let pause = resume(world, record, start);
            drop(hurry);
            worker.begin();
            let marking = Instant::now();
            core.events.tell(|listener| listener.pause_ended(&pause));
            watch(core, frozen, worker, marking, record)
        }
        Err(error) => mark_without(core, Paused { world, start, hurry }, record, error),
    }
}

/// Marks in the stopped world what cannot be marked otherwise.
pub(super) fn mark_without<E: Embedder>(
    core: &Core<E>,
    paused: Paused<'_>,
    record: &mut CycleRecord,
    why: Error,
) -> Marking {
    let Paused { world, start, hurry } = paused;
    // Not all that was written may be known.
    record.scope = Scope::Full;
    begin_marking(core, record);
    let tally = mark_stopped(core, &world, record, Some(why.to_string()));
    let pause = resume(world, record, start);
    drop(hurry);
    core.events.tell(|listener| listener.pause_ended(&pause));
    Marking::Complete(tally)
}

/// Waits for the worker, which began at `start`, and ends the snapshot.
fn watch<E: Embedder>(
    core: &Core<E>,
    frozen: &impl Frozen<E>,
    mut worker: Worker<'_>,
    start: Instant,
    record: &mut CycleRecord,
) -> Marking {
    core.options.chaos.strike(&worker);
    let (id, mut look_at) = (worker.id(), FIRST_LOOK);
    let end = worker.watch(frozen.control(core), core.options.patience, || {
        // Ever more rarely: the kernel walks the worker's page tables for that.
        if start.elapsed() >= look_at {
            look_at = start.elapsed() * 2;
            let private = Rollup::of_process(id).ok().map(|rollup| rollup.private.0 as u64);
            record.worker_private_bytes = record.worker_private_bytes.max(private);
        }
        if core.mailbox.is_shut_down() || frozen.is_lost(core) { Verdict::Abandon } else { Verdict::GoOn }
    });
    let sound = frozen.thaw(record);
    record.mark_ms = ms(start.elapsed());
    match end {
        Ok(()) if !sound => Marking::Failed(worker::Failure::Abandoned),
        Ok(()) => {
            record.worker_cpu_ms = ms(core.record.cpu_time());
            Marking::Complete(reported(&core.record))
        }
        Err(failure) => Marking::Failed(failure),
    }
}

/// The worker's side: enters its figures into the record.
pub(super) fn report(record: &Record, tally: Tally) {
    let figures = [tally.objects, tally.granules, tally.stray, tally.rescanned, tally.remembered];
    for (k, figure) in figures.into_iter().enumerate() {
        // Relaxed: published with the record's completion.
        record.figure(k).store(figure, Relaxed);
    }
}

/// The parent's side of [`report`].
fn reported(record: &Record) -> Tally {
    let [objects, granules, stray, rescanned, remembered] =
        [0, 1, 2, 3, 4].map(|k| record.figure(k).load(Relaxed));
    Tally { objects, granules, stray, rescanned, remembered }
}
