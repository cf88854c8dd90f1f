//! A cycle of the young that is marked in the pause: where little survives, that is over before a worker would be forked.
//!
//! It needs no snapshot, so the pages of young objects are not armed: a thread that allocates in a block, loses what it has put
//! there and allocates in it again never traps, nor does the kernel have to make a page writable again for it. Only pages with
//! old objects are, since the next cycle has to know which of them were written to.
//!
//! Whether little survives is seen only in the pause. So the marker has a deadline. When that has passed, the world goes on as if
//! nothing had been tried, and a cycle with a worker begins at once; and the next cycles are not tried in the pause
//! ([`super::policy`]).
//!
//! # What a marking that was given up leaves behind
//!
//! Objects that it has painted are old from then on, and some were not scanned. All of them lie on pages that were open since they
//! were allocated, after the last snapshot: the cycle that follows arms those pages, so it remembers them, beside what the one
//! that was given up had remembered, and scans their old objects. So whatever such an object refers to is found, also what is
//! stored into it between the two pauses. The colours are turned back: what is not painted is young as before.

use super::fork_cow::ForkCow;
use super::forked::{self, Frozen, Paused};
use super::preimage::Preimage;
use super::{Keeper, Marking, begin_marking, mark_with, resume, stop};
use crate::core::Core;
use crate::embedder::Embedder;
use crate::mark::{Live, Marker, Tally};
use crate::stats::{CycleRecord, Scope, ms};
use palimpsest_runtime::Error;
use palimpsest_runtime::ladder::Snapshot;
use palimpsest_runtime::mutator::StoppedWorld;
use palimpsest_runtime::sys::clock;
use palimpsest_runtime::sys::process::Hurry;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long it may be marked in the pause.
const DEADLINE: Duration = Duration::from_micros(250);

/// A way to keep a snapshot, which a cycle of the young can do without.
pub(super) trait Spare<E: Embedder>: Frozen<E> {
    /// What can be done before the world is stopped to learn what was written to old objects.
    fn prepare_old(&self, _core: &Core<E>, _record: &mut CycleRecord) -> Result<(), Error> {
        Ok(())
    }

    /// Remembers what else was written to, in the stopped world.
    fn remember(&self, _core: &Core<E>) -> Result<(), Error> {
        Ok(())
    }
}

impl<E: Embedder> Spare<E> for Preimage<'_> {
    fn prepare_old(&self, core: &Core<E>, record: &mut CycleRecord) -> Result<(), Error> {
        self.arm_old(core, record)
    }

    fn remember(&self, core: &Core<E>) -> Result<(), Error> {
        self.look_at_old(core)
    }
}

/// The tracker has been asked when the world was stopped.
impl<E: Embedder> Spare<E> for ForkCow {}

/// Marks in the pause, and with a snapshot where that takes too long.
pub(super) struct InPause<S>(pub(super) S);

impl<E: Embedder, S: Spare<E>> Keeper<E> for InPause<S> {
    fn mark(&self, core: &Core<E>, cycle: u64, record: &mut CycleRecord) -> Marking {
        let prepared = self.0.prepare_old(core, record);
        let hurry = Hurry::new();
        let (world, start) = stop(core, record);
        if let Err(error) = prepared.and_then(|()| self.0.remember(core)) {
            return forked::mark_without(core, Paused { world, start, hurry }, record, error);
        }
        let paused = Paused { world, start, hurry };
        if record.scope == Scope::Full {
            // Which pages were written is not known, so all is to be marked: that is no work for the pause, and what a marking that
            // was given up leaves behind is right for the young only.
            return forked::mark_paused(core, &self.0, cycle, paused, record);
        }
        let Paused { world, start, hurry } = paused;
        let living = core.living();
        begin_marking(core, record);
        let (tally, in_time) = mark_in_time(core, &world, record);
        if in_time {
            record.in_pause = true;
            record.snapshot = Snapshot::StopTheWorld;
            core.traced.age();
        } else {
            core.set_colours(living);
            core.end_weak();
            core.packets.reset();
            core.settled.store(true, Ordering::Release);
        }
        resume(world, record, start);
        drop(hurry);
        if in_time {
            return Marking::Complete(tally);
        }
        (record.tried_ms, record.handed_over) = (record.pause_ms, tally.objects);
        match forked::mark(core, &self.0, cycle, record) {
            Marking::Complete(rest) if record.scope == Scope::Young => Marking::Complete(tally.with(rest)),
            marking => marking,
        }
    }
}

/// Marks until the deadline; what has been done by then, and whether it is all.
fn mark_in_time<E: Embedder>(
    core: &Core<E>,
    world: &StoppedWorld<'_>,
    record: &mut CycleRecord,
) -> (Tally, bool) {
    let start = Instant::now();
    // SAFETY: the world is stopped until after the marking.
    let live = unsafe { Live::new() };
    let mut marker = Marker::until(core, &live, clock::monotonic_ns() + DEADLINE.as_nanos() as u64);
    let roots = core.roots.lock();
    // SAFETY: as above.
    unsafe { mark_with(&mut marker, core, record.scope, &roots, world.threads()) };
    record.mark_ms = ms(start.elapsed());
    let in_time = !marker.is_late();
    (marker.end(), in_time)
}
