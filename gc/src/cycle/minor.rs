//! A cycle of the young that is marked in the pause: where little survives, that is over before a worker would be forked.
//!
//! It needs no snapshot, so the pages of young objects are not armed: a thread that allocates in a block, loses what it has put
//! there and allocates in it again never traps, nor does the kernel have to make a page writable again for it. Only pages with
//! old objects are, since the next cycle has to know which of them were written to.
//!
//! Whether little survives is seen only in the pause. So the marker has a deadline. When that has passed it hands over what it
//! knows, in packets, to a worker that goes on from there: the pause is as long as the deadline and a snapshot, and the next
//! cycle is not tried in the pause ([`super::policy`]).

use super::fork_cow::ForkCow;
use super::forked::{self, Frozen, Paused};
use super::preimage::Preimage;
use super::{Keeper, Marking, begin_marking, mark_with, resume, stop};
use crate::core::Core;
use crate::embedder::Embedder;
use crate::mark::{Live, Marker, Tally};
use crate::stats::{CycleRecord, ms};
use palimpsest_runtime::Error;
use palimpsest_runtime::ladder::Snapshot;
use palimpsest_runtime::mutator::StoppedWorld;
use palimpsest_runtime::sys::clock;
use palimpsest_runtime::sys::process::Hurry;
use std::time::{Duration, Instant};

/// How long it may be marked in the pause.
const DEADLINE: Duration = Duration::from_micros(250);

/// A way to keep a snapshot, if it comes to that, which a cycle of the young can do without.
pub(super) trait Spare<E: Embedder>: Frozen<E> {
    /// What can be done before the world is stopped to learn what was written to old objects.
    fn prepare_old(&self, _core: &Core<E>, _record: &mut CycleRecord) -> Result<(), Error> {
        Ok(())
    }

    /// Remembers what else was written to, in the stopped world.
    fn remember(&self, _core: &Core<E>) {}
}

impl<E: Embedder> Spare<E> for Preimage<'_> {
    fn prepare_old(&self, core: &Core<E>, record: &mut CycleRecord) -> Result<(), Error> {
        self.arm_old(core, record)
    }

    fn remember(&self, core: &Core<E>) {
        self.look_at_old(core);
    }
}

/// The tracker has been asked when the world was stopped.
impl<E: Embedder> Spare<E> for ForkCow {}

/// Marks in the pause, and has a snapshot kept where that takes too long.
pub(super) struct InPause<S>(pub(super) S);

impl<E: Embedder, S: Spare<E>> Keeper<E> for InPause<S> {
    fn mark(&self, core: &Core<E>, cycle: u64, record: &mut CycleRecord) -> Marking {
        let prepared = self.0.prepare_old(core, record);
        let hurry = Hurry::new();
        let (world, start) = stop(core, record);
        if let Err(error) = prepared {
            return forked::mark_without(core, Paused { world, start, hurry }, record, error);
        }
        self.0.remember(core);
        begin_marking(core, record);
        match mark_in_time(core, &world, record) {
            Some(tally) => {
                record.in_pause = true;
                let pause = resume(world, record, start);
                drop(hurry);
                core.events.tell(|listener| listener.pause_ended(&pause));
                Marking::Complete(tally)
            }
            None => {
                let paused = Paused { world, start, hurry };
                forked::fork_and_watch(core, &self.0, cycle, paused, record)
            }
        }
    }
}

/// Marks until the deadline. Nothing, if that was not the end; what is left is in packets.
fn mark_in_time<E: Embedder>(
    core: &Core<E>,
    world: &StoppedWorld<'_>,
    record: &mut CycleRecord,
) -> Option<Tally> {
    let start = Instant::now();
    // SAFETY: the world is stopped until after the marking.
    let live = unsafe { Live::new() };
    let mut marker = Marker::until(core, &live, clock::monotonic_ns() + DEADLINE.as_nanos() as u64);
    let roots = core.roots.lock();
    // SAFETY: as above.
    unsafe { mark_with(&mut marker, core, record.scope, &roots, world.threads()) };
    record.mark_ms = ms(start.elapsed());
    if marker.is_late() {
        marker.hand_over();
        record.handed_over = marker.tally().objects;
        return None;
    }
    record.snapshot = Snapshot::StopTheWorld;
    Some(marker.tally())
}
