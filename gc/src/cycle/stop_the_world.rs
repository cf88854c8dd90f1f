//! Marking in the stopped world: the pause is the whole mark. What a heap without a barrier does, and the last resort of
//! one with a barrier; it needs nothing from the kernel and cannot fail.

use super::{Keeper, Marking, begin_marking, mark_all, resume, stop};
use crate::core::Core;
use crate::embedder::Embedder;
use crate::mark::{Live, Marker, Tally};
use crate::stats::{CycleRecord, Scope, ms};
use palimpsest_runtime::ladder::Snapshot;
use palimpsest_runtime::mutator::StoppedWorld;
use std::time::Instant;

/// Nobody keeps a snapshot.
pub(super) struct StopTheWorld {
    /// Why there is none this time, on a rung that has one.
    pub(super) because: Option<String>,
}

impl<E: Embedder> Keeper<E> for StopTheWorld {
    fn mark(&self, core: &Core<E>, _cycle: u64, record: &mut CycleRecord) -> Marking {
        if self.because.is_some() {
            record.scope = Scope::Full;
        }
        let (world, start) = stop(core, record);
        begin_marking(core, record);
        core.traced.age();
        let tally = mark_stopped(core, &world, record, self.because.clone());
        resume(world, record, start);
        Marking::Complete(tally)
    }
}

/// Marks in a world that is stopped, after marking has begun.
pub(super) fn mark_stopped<E: Embedder>(
    core: &Core<E>,
    world: &StoppedWorld<'_>,
    record: &mut CycleRecord,
    fallback: Option<String>,
) -> Tally {
    record.snapshot = Snapshot::StopTheWorld;
    record.fallback = fallback;
    let start = Instant::now();
    // SAFETY: the world is stopped until after the marking.
    let tally = unsafe {
        let live = Live::new();
        mark_all(core, Marker::new(core, &live), record.scope, &core.roots.lock(), world.threads())
    };
    record.mark_ms = ms(start.elapsed());
    tally
}
