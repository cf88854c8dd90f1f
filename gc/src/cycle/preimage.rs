//! A snapshot that the write barrier keeps, in pre-images. The pause is flat.

use super::forked::{self, Frozen};
use super::{Keeper, Marking};
use crate::core::Core;
use crate::embedder::Embedder;
use crate::space::BlockState;
use crate::stats::{ArmRound, CycleRecord, ms};
use crate::unit::BlockIndex;
use palimpsest_runtime::barrier::{Barrier, Choice, Round};
use palimpsest_runtime::mutator::StoppedWorld;
use palimpsest_runtime::sys::event::Event;
use palimpsest_runtime::worker::{self, Order, Worker};
use palimpsest_runtime::{Error, PageRange};
use std::cell::Cell;
use std::time::Instant;

/// Rounds of arming before the pause, at most.
const ROUNDS: u32 = 12;

/// So few pages in a round are left to the pause.
const FEW_PAGES: u32 = 32;

/// The barrier keeps the snapshot.
pub(super) struct Preimage<'a> {
    barrier: &'a Barrier,
    /// Since when writers wait for room for a pre-image.
    exhausted: Cell<Option<Instant>>,
}

impl<'a> Preimage<'a> {
    pub(super) fn new(barrier: &'a Barrier) -> Self {
        Self { barrier, exhausted: Cell::new(None) }
    }

    /// Arms what is dirty, and then what was written meanwhile, until there is little left for the pause.
    fn arm_in_rounds<E: Embedder>(
        &self,
        core: &Core<E>,
        fresh: Choice,
        record: &mut CycleRecord,
    ) -> Result<(), Error> {
        while record.rounds < ROUNDS {
            let start = Instant::now();
            let armed = self.barrier.arm_round(Arming { core, owned: Choice::Later, fresh })?;
            let round = ArmRound { began_ms: core.age_ms(start), ms: ms(start.elapsed()), pages: armed };
            record.arm_rounds.push(round);
            record.rounds += 1;
            record.armed_pages += u64::from(armed);
            if armed < FEW_PAGES {
                break;
            }
        }
        Ok(())
    }

    /// The same for pages with old objects, where no snapshot may be needed.
    pub(super) fn arm_old<E: Embedder>(&self, core: &Core<E>, record: &mut CycleRecord) -> Result<(), Error> {
        self.arm_in_rounds(core, Choice::Later, record)
    }

    /// In the stopped world: remembers what is still open of those, without arming it.
    pub(super) fn look_at_old<E: Embedder>(&self, core: &Core<E>) -> Result<(), Error> {
        self.barrier.look(Arming { core, owned: Choice::All, fresh: Choice::Later })
    }
}

impl<E: Embedder> Keeper<E> for Preimage<'_> {
    fn mark(&self, core: &Core<E>, cycle: u64, record: &mut CycleRecord) -> Marking {
        forked::mark(core, self, cycle, record)
    }
}

/// A round of arming. What was written is remembered.
struct Arming<'a, E> {
    core: &'a Core<E>,
    /// What is done with a block that a thread is at work in: before the pause it would trap on the pages it is about to fill.
    owned: Choice,
    /// What is done with a block that holds young objects only.
    fresh: Choice,
}

impl<E: Embedder> Round for Arming<'_, E> {
    fn choose(&mut self, chunk: u32) -> Choice {
        match self.core.blocks.get(BlockIndex(chunk)) {
            BlockState::Free => Choice::Nothing,
            _ if self.fresh != Choice::All && self.core.traced.is_fresh(BlockIndex(chunk)) => self.fresh,
            BlockState::Owned | BlockState::Sweeping => self.owned,
            _ => Choice::All,
        }
    }

    fn written(&mut self, pages: PageRange) {
        self.core.remembered.add(pages);
    }
}

impl<E: Embedder> Frozen<E> for Preimage<'_> {
    fn prepare(&self, core: &Core<E>, record: &mut CycleRecord) -> Result<(), Error> {
        self.arm_in_rounds(core, Choice::All, record)
    }

    fn fork<'a>(
        &self,
        core: &'a Core<E>,
        world: &StoppedWorld<'_>,
        order: &Order<'a>,
        record: &mut CycleRecord,
    ) -> Result<Worker<'a>, Error> {
        let arming = Instant::now();
        let armed = self.barrier.begin_snapshot(Arming { core, owned: Choice::All, fresh: Choice::All });
        record.arm_ms = ms(arming.elapsed());
        record.armed_in_pause = armed?;

        let forking = Instant::now();
        let (scope, roots) = (record.scope, core.roots.lock());
        // SAFETY: the world is stopped and the snapshot has begun. Marking allocates nothing and locks nothing; the
        // roots, whose lock is held here, are as they were at the fork.
        let worker = unsafe {
            worker::fork(order, self.barrier, |view, member| {
                forked::work(core, view, member, scope, &roots, world.threads())
            })
        };
        record.fork_ms = ms(forking.elapsed());
        worker.inspect_err(|_| {
            self.barrier.end_snapshot();
        })
    }

    fn control<'b>(&'b self, _core: &'b Core<E>) -> &'b Event {
        self.barrier.control()
    }

    fn is_lost(&self, core: &Core<E>) -> bool {
        let stalled = || {
            let since = self.exhausted.get().unwrap_or_else(Instant::now);
            self.exhausted.set(Some(since));
            since.elapsed() >= core.options.stall_limit
        };
        self.barrier.is_broken() || (self.barrier.is_exhausted() && stalled())
    }

    fn thaw(&self, record: &mut CycleRecord) -> bool {
        record.preimages = self.barrier.end_snapshot();
        // A barrier that broke after the last look let writes through that the worker may have seen.
        !self.barrier.is_broken()
    }
}
