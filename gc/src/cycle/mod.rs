//! The collector's thread, and what it does from one cycle's beginning to its end.
//!
//! ```text
//!   wait ─▶ finish sweeping ─▶ arm in rounds ─▶ ┌ stop; arm the rest; turn the colour; fork ┐ ─▶ watch the worker
//!     ▲                                         └──────────────── the pause ───────────────┘           │
//!     └── sweep in the background ◀── free large objects ◀── clear weak tables ◀── end the snapshot ◀──┘
//! ```
//!
//! A cycle that cannot have a worker (the barrier is lost, the kernel refuses to arm or to fork, or two workers in a row failed)
//! marks in the stopped world instead; its record says so. A worker that fails costs its cycle: nothing is swept, and the
//! next one, a full one, starts over with fresh colours.
//!
//! A cycle is full, or of the young ([`Scope`]): which one is for [`policy`] to say.

mod fork_cow;
mod forked;
mod idle;
pub(crate) mod mailbox;
mod minor;
pub(crate) mod policy;
mod preimage;
pub(crate) mod standing;
mod stop_the_world;

use crate::core::Core;
use crate::embedder::Embedder;
use crate::events::{CycleBegin, Pause, Sweep};
use crate::mark::{Marker, Source, Tally};
use crate::roots::RootSet;
use crate::stats::{CycleRecord, Scope, ms};
use crate::verify;
use crate::weak;
use fork_cow::ForkCow;
use idle::Idle;
use mailbox::Next;
use minor::InPause;
use palimpsest_runtime::ladder::Snapshot;
use palimpsest_runtime::mutator::{MutatorState, StoppedWorld};
use palimpsest_runtime::sys::process::StopOnUnwind;
use palimpsest_runtime::sys::signal;
use palimpsest_runtime::worker::Failure;
use palimpsest_runtime::{Bytes, CHUNK_PAGES, PageRange};
use policy::{Plan, Policy};
use preimage::Preimage;
use standing::Stage;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use stop_the_world::StopTheWorld;

/// Workers that may fail in a row before the collector does without.
const FAILURES_IN_A_ROW: u32 = 2;

/// A way to keep the heap as it is while it is marked: a sibling for each [`Snapshot`].
trait Keeper<E: Embedder> {
    /// Stops the world, takes the snapshot, and has all that is reachable in it marked.
    ///
    /// Afterwards: every object that was reachable in the stopped world has the mark colour; or marking failed, and then
    /// nothing may be reclaimed; and a keeper that could not do what it is for has said so in the record. Where it does not
    /// know all pages that were written since the last snapshot it makes the cycle a full one, in the record too.
    fn mark(&self, core: &Core<E>, cycle: u64, record: &mut CycleRecord) -> Marking;
}

/// How a cycle's marking went.
enum Marking {
    Complete(Tally),
    Failed(Failure),
}

/// The collector of one heap.
pub(crate) struct Collector<E> {
    core: Arc<Core<E>>,
    /// Workers that failed since one succeeded, and why the last one did.
    failed: u32,
    last_failure: Option<Failure>,
    policy: Policy,
    /// What had been allocated when the last cycle ended, in bytes.
    allocated: u64,
}

impl<E: Embedder> Collector<E> {
    pub(crate) fn new(core: Arc<Core<E>>) -> Self {
        let policy = Policy::new(&core.options, core.remembers());
        let allocated = core.allocated.load(Ordering::Relaxed);
        // In a child with a copy of the heap after a cycle that failed: perhaps it was the second, and no colour is left.
        let failed = if core.settled.load(Ordering::Acquire) { 0 } else { FAILURES_IN_A_ROW };
        Self { core, failed, last_failure: None, policy, allocated }
    }

    /// The collector thread's life: until the heap is shut down.
    pub(crate) fn run(mut self) {
        // The host's handlers have no business in this thread, nor in the workers it forks.
        signal::block_all();
        palimpsest_runtime::host_fork::this_thread_collects();
        // A collector that panics has found its own state to be wrong, and all threads would wait for it for ever.
        let _stop = StopOnUnwind;
        let core = self.core.clone();
        let mut idle = Idle::default();
        loop {
            match core.mailbox.next(idle.patience(&core)) {
                Next::Cycle { number, wanted, reason } => {
                    let plan = self.policy.plan(wanted);
                    let begin = CycleBegin { number, reason, scope: plan.scope };
                    core.events.tell(|listener| listener.cycle_began(&begin));
                    let complete = self.cycle(number, plan);
                    core.mailbox.ended();
                    if complete {
                        sweep(&core, number);
                    }
                    core.tidy();
                    idle.begin_anew(&core);
                }
                Next::LookAround => idle.look_around(&core),
                Next::End => break,
            }
        }
    }

    /// One cycle. Whether it ended well.
    fn cycle(&mut self, number: u64, plan: Plan) -> bool {
        let core = self.core.clone();
        let began = Instant::now();
        core.standing.begin(number, plan.scope);
        core.finish_sweep();
        core.packets.reset();
        core.team.begin();
        let mut record = CycleRecord::new(number, plan.scope, core.rung.snapshot);
        record.began_ms = core.age_ms(began);
        let marking = self.keeper(&core, plan).mark(&core, number, &mut record);
        // What is written from the snapshot on is noticed by the next cycle.
        record.remembered_pages = core.remembered.count();
        core.remembered.clear();
        record.finalizers_taken = core.weak.waiting.take_lately();
        // As the mutators saw it, with the time it took to wake them.
        let pause_ms = record.pause_ms.max(ms(core.registry.longest_wait()));
        record.wake_ms = pause_ms - std::mem::replace(&mut record.pause_ms, pause_ms);
        record.used_bytes = core.used().0 as u64;
        match marking {
            Marking::Complete(tally) => {
                self.failed = 0;
                finish(&core, &mut record, tally);
            }
            Marking::Failed(why) => {
                self.failed += 1;
                self.last_failure = Some(why);
                core.end_weak();
                record.failure = Some(why.to_string());
                if let Failure::Finding(_) = why {
                    // A worker may be out of its mind. This ends the process if it was right.
                    let sound = if core.options.verify {
                        verify::or_abort(&core, &mut record);
                        "the heap was verified, and is sound"
                    } else {
                        verify::metadata_or_abort(&core, &mut record);
                        "the heap's metadata was looked at, and is sound"
                    };
                    record.failure = Some(format!("{why}; but {sound}"));
                }
            }
        }
        let headroom = self.policy.learn(&core.options, &record);
        if self.policy.opens_pages() {
            core.open_all();
        }
        let allocated = core.allocated.load(Ordering::Relaxed);
        let recent = Bytes((allocated - std::mem::replace(&mut self.allocated, allocated)) as usize);
        let keep = core.options.keep(self.policy.live(), headroom, recent);
        core.keep.store(keep.0, Ordering::Relaxed);
        core.next_cycle_at.store(allocated + headroom.0 as u64, Ordering::Relaxed);
        if record.failure.is_some() && core.mailbox.is_shut_down() {
            // Given up because the heap goes away: nobody's trouble.
            return false;
        }
        if core.options.verify {
            verify::or_abort(&core, &mut record);
        }
        if cfg!(debug_assertions) {
            core.check_guards();
        }
        core.standing.enter(Stage::Resting);
        record.ended_ms = core.age_ms(Instant::now());
        core.ledger.enter(&record);
        // Not before: a listener may take its time, or wait for a lock that a thread holds while it waits for the cycle.
        for pause in &record.pauses {
            core.events.tell(|listener| listener.pause_ended(pause));
        }
        if let Some(why) = &record.fallback {
            core.events.tell(|listener| listener.fell_back(number, why));
        }
        if let Some(why) = &record.failure {
            core.events.tell(|listener| listener.worker_failed(number, why));
        }
        core.events.tell(|listener| listener.cycle_ended(&record));
        record.failure.is_none()
    }

    /// What keeps the snapshot of this cycle.
    fn keeper<'a>(&self, core: &'a Core<E>, plan: Plan) -> Box<dyn Keeper<E> + 'a> {
        let because = |why| Box::new(StopTheWorld { because: Some(why) });
        if core.rung.snapshot != Snapshot::StopTheWorld && self.failed >= FAILURES_IN_A_ROW {
            let why = self.last_failure.map_or("in the parent process".into(), |why| why.to_string());
            return because(format!("the last {} cycles failed: {why}", self.failed));
        }
        match (core.rung.snapshot, &core.barrier) {
            (Snapshot::Preimage, Some(barrier)) if barrier.is_broken() => because(crate::heap::BROKEN.into()),
            (Snapshot::Preimage, Some(barrier)) if plan.in_pause => Box::new(InPause(Preimage::new(barrier))),
            (Snapshot::Preimage, Some(barrier)) => Box::new(Preimage::new(barrier)),
            (Snapshot::Preimage, None) => because(crate::heap::BROKEN.into()),
            (Snapshot::ForkCow, _) if plan.in_pause => Box::new(InPause(ForkCow)),
            (Snapshot::ForkCow, _) => Box::new(ForkCow),
            (Snapshot::StopTheWorld, _) => Box::new(StopTheWorld { because: None }),
        }
    }
}

/// After complete marking: what has not the colour is dead.
fn finish<E: Embedder>(core: &Core<E>, record: &mut CycleRecord, tally: Tally) {
    core.standing.enter(Stage::Reclaiming);
    record.remembered_objects = tally.remembered;
    record.marked_objects = tally.objects;
    record.marked_bytes = tally.granules * crate::unit::GRANULE as u64;
    record.rescanned_blocks = tally.rescanned;
    record.stray_references = tally.stray;
    core.clear_weak(record);
    core.settled.store(true, Ordering::Release);
    core.begin_sweep(record.scope);
}

/// Sweeps what threads have left of a cycle's garbage, and tells of it.
fn sweep<E: Embedder>(core: &Core<E>, cycle: u64) {
    let start = Instant::now();
    let blocks = core.finish_sweep();
    let sweep = Sweep { cycle, began_ms: core.age_ms(start), ms: ms(start.elapsed()), blocks };
    core.events.tell(|listener| listener.swept(&sweep));
}

/// Stops the world, at the moment that is returned with it, and does what every snapshot begins with.
fn stop<'a, E: Embedder>(core: &'a Core<E>, record: &mut CycleRecord) -> (StoppedWorld<'a>, Instant) {
    let start = Instant::now();
    let world = core.registry.stop_world();
    core.standing.enter(Stage::Paused);
    record.stop_ms = ms(start.elapsed());
    record.pause_began_ms = core.age_ms(start);
    retire_all(core);
    record.allocated_bytes = core.allocated.load(Ordering::Relaxed);
    if let Some(tracker) = &core.tracker {
        let pages = PageRange::new(0, core.traced.used_end().0 * CHUNK_PAGES);
        match tracker.take_written(pages, |run| core.remembered.add(run)) {
            Ok(written) => record.written_pages = Some(written.into()),
            Err(why) => {
                record.untracked = Some(why.to_string());
                record.scope = Scope::Full;
            }
        }
    }
    (world, start)
}

/// With the world stopped: takes all threads' blocks away, so that a snapshot has no half-filled run, and counts what was
/// allocated.
pub(crate) fn retire_all<E: Embedder>(core: &Core<E>) {
    let mut allocated = 0;
    for local in core.locals.lock().iter() {
        // SAFETY: the world is stopped.
        let local = unsafe { local.get() };
        allocated += local.take_allocated();
        for (run, leaf) in local.all_runs() {
            core.retire(run, leaf);
        }
    }
    core.allocated.fetch_add(allocated as u64, Ordering::Relaxed);
}

/// With the world stopped: whatever is allocated from here on is passed by, and weak reads are told to the marker.
fn begin_marking<E: Embedder>(core: &Core<E>, record: &CycleRecord) {
    core.settled.store(false, Ordering::Release);
    core.standing.scope(record.scope);
    core.turn_colours(record.scope);
    core.begin_weak();
}

/// Marks everything reachable from the roots and, in a cycle of the young, from old objects that may have been written to, as
/// far as it is to be marked, what is read through weak references meanwhile, and what is to be finalized. Runs in a worker, or
/// in the stopped world: allocates nothing, locks nothing.
///
/// # Safety
/// As for [`RootSet::visit`].
unsafe fn mark_all<'a, E: Embedder, S: Source>(
    core: &Core<E>,
    mut marker: Marker<'a, E, S>,
    scope: Scope,
    roots: &'a RootSet,
    threads: &[Arc<MutatorState>],
) -> Tally {
    // SAFETY: passed on to the caller.
    unsafe { mark_with(&mut marker, core, scope, roots, threads) };
    marker.end()
}

/// The same with a marker that may stop before all is marked.
///
/// # Safety
/// As for [`RootSet::visit`].
unsafe fn mark_with<'a, E: Embedder, S: Source>(
    marker: &mut Marker<'a, E, S>,
    core: &Core<E>,
    scope: Scope,
    roots: &'a RootSet,
    threads: &[Arc<MutatorState>],
) {
    // SAFETY: passed on to the caller.
    unsafe { roots.visit(&core.embedder, threads, marker) };
    if scope == Scope::Young {
        marker.visit_remembered();
        roots.finalizers.visit_external(marker);
    }
    // SAFETY: as above.
    unsafe { weak::complete(core, roots, marker) };
}

/// Ends the pause that began at `start`: enters it into the record and lets the world go on.
fn resume(world: StoppedWorld<'_>, record: &mut CycleRecord, start: Instant) {
    record.pause_ms = ms(start.elapsed());
    let resuming = Instant::now();
    drop(world);
    record.pauses.push(Pause::new(record, ms(resuming.elapsed())));
}
