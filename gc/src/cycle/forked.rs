//! What the snapshots that a worker marks have in common: stop, freeze, fork, let go, watch.

use super::standing::Stage;
use super::stop_the_world::mark_stopped;
use super::{Marking, begin_marking, mark_all, resume, stop};
use crate::core::Core;
use crate::embedder::Embedder;
use crate::mark::{Marker, Source, Tally};
use crate::roots::RootSet;
use crate::stats::{CycleRecord, Scope, ms};
use palimpsest_runtime::Error;
use palimpsest_runtime::mutator::{MutatorState, StoppedWorld};
use palimpsest_runtime::sys::event::Event;
use palimpsest_runtime::sys::process::Hurry;
use palimpsest_runtime::sys::smaps::Rollup;
use palimpsest_runtime::worker::{
    self, Company, MAX_WORKERS, Member, Muster, Order, Record, Verdict, Worker,
};
use std::sync::Arc;
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
    core.standing.enter(Stage::Arming);
    let prepared = frozen.prepare(core, record);
    let hurry = Hurry::new();
    let (world, start) = stop(core, record);
    let paused = Paused { world, start, hurry };
    if let Err(error) = prepared {
        return mark_without(core, paused, record, error);
    }
    mark_paused(core, frozen, cycle, paused, record)
}

/// The pause so far.
pub(super) struct Paused<'a> {
    pub(super) world: StoppedWorld<'a>,
    pub(super) start: Instant,
    /// In the pause all threads wait for this one. Whatever else wants its processor, for a time slice of some milliseconds,
    /// waits for the fraction of one that it takes, where we may ask for that.
    pub(super) hurry: Hurry,
}

/// The same, in a world that is stopped.
pub(super) fn mark_paused<E: Embedder>(
    core: &Core<E>,
    frozen: &impl Frozen<E>,
    cycle: u64,
    paused: Paused<'_>,
    record: &mut CycleRecord,
) -> Marking {
    begin_marking(core, record);
    core.traced.age();
    record.workers_wanted = core.options.workers();
    let tables = core.regions();
    let Paused { world, start, hurry } = paused;
    let order = Order {
        tables: &tables,
        record: &core.record,
        cycle,
        nice: hurry.before() + core.options.worker_nice,
        company: (record.workers_wanted > 1).then(|| Company {
            crew: &core.team.crew,
            workers: record.workers_wanted as usize,
            fates: core.options.chaos.fates(),
        }),
    };
    match frozen.fork(core, &world, &order, record) {
        Ok(worker) => {
            resume(world, record, start);
            drop(hurry);
            worker.begin();
            let marking = Instant::now();
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
    record.workers_wanted = 0;
    begin_marking(core, record);
    core.traced.age();
    let tally = mark_stopped(core, &world, record, Some(why.to_string()));
    resume(world, record, start);
    drop(hurry);
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
    core.standing.enter(Stage::Marking);
    let (id, wanted, mut look_at) = (worker.id(), record.workers_wanted, FIRST_LOOK);
    let end = worker.watch(frozen.control(core), core.options.patience, || {
        // Ever more rarely: the kernel walks the worker's page tables for that.
        if start.elapsed() >= look_at {
            look_at = start.elapsed() * 2;
            let private = Rollup::of_process(id).ok().map(|rollup| rollup.private.0 as u64);
            record.worker_private_bytes = record.worker_private_bytes.max(private);
        }
        let mut numbers = if wanted > 1 { core.team.crew.numbers() } else { [0; MAX_WORKERS] };
        numbers[0] = id;
        core.standing.crew(numbers);
        if core.mailbox.is_shut_down() || frozen.is_lost(core) { Verdict::Abandon } else { Verdict::GoOn }
    });
    let sound = frozen.thaw(record);
    record.mark_ms = ms(start.elapsed());
    enter_workers(core, worker.muster(), record);
    match end {
        Ok(()) if !sound => Marking::Failed(worker::Failure::Abandoned),
        Ok(()) => {
            let siblings = Duration::from_nanos(core.team.siblings_cpu_ns());
            record.worker_cpu_ms = ms(core.record.cpu_time() + siblings);
            let tally = reported(&core.record);
            record.shared_packets = tally.shared;
            Marking::Complete(tally)
        }
        Err(failure) => Marking::Failed(failure),
    }
}

/// Enters what became of the workers, who are gone.
fn enter_workers<E: Embedder>(core: &Core<E>, muster: &Muster, record: &mut CycleRecord) {
    record.workers = muster.workers;
    record.lost_workers = muster.lost;
    record.takeovers = core.team.takeovers() as u32;
    record.fewer_workers = muster.refused.as_ref().map(|why| why.to_string());
    if record.workers_wanted > 1 {
        let workers = (0..record.workers_wanted as usize).map(|member| core.team.tally(member).objects);
        record.worker_objects = workers.collect();
    }
}

/// The worker's side: leads the marking and enters the figures into the record, or helps. Whether it was completed.
///
/// # Safety
/// As for [`RootSet::visit`], in a worker.
pub(super) unsafe fn work<E: Embedder, S: Source>(
    core: &Core<E>,
    source: &S,
    member: &Member<'_>,
    scope: Scope,
    roots: &RootSet,
    threads: &[Arc<MutatorState>],
) -> bool {
    let mut marker = Marker::new(core, source).among(&core.team, member);
    if member.index() > 0 {
        marker.help();
        return true;
    }
    // SAFETY: passed on to the caller.
    let tally = unsafe { mark_all(core, marker, scope, roots, threads) };
    for (k, figure) in tally.figures().into_iter().enumerate() {
        // Relaxed: published with the record's completion.
        core.record.figure(k).store(figure, Relaxed);
    }
    true
}

/// The parent's side of [`work`].
fn reported(record: &Record) -> Tally {
    Tally::from_figures(std::array::from_fn(|k| record.figure(k).load(Relaxed)))
}
