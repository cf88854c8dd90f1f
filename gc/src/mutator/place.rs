//! How a thread stands to the heap: inside, pinned in it, or outside; and what is refused for that.

use super::Mutator;
use crate::core::Core;
use crate::embedder::Embedder;

/// How a thread stands to the heap.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// It allocates, and its safepoints are safepoints.
    Inside,
    /// It allocates, and nothing that it does is a safepoint.
    Pinned,
    /// It has stepped out.
    Outside,
}

impl<E: Embedder> Mutator<E> {
    #[cold]
    pub(super) fn park(&mut self) {
        self.must_be_in("Mutator::poll");
        if self.place == Place::Inside {
            self.core().registry.park(&self.state);
        }
    }

    /// The thread has not stepped out.
    pub(super) fn must_be_in(&self, operation: &str) {
        let is_in = self.place != Place::Outside;
        assert!(is_in, "{operation} after Mutator::step_out: the thread has to step in first");
    }

    /// The heap's state, for what a thread may only do where it holds up a stop of the world.
    pub(crate) fn core_for(&self, operation: &str) -> &Core<E> {
        let core = self.core();
        core.must_be_ours(operation);
        self.must_be_in(operation);
        core
    }

    /// The thread may wait for a cycle.
    pub(super) fn must_be_able_to_wait(&self, operation: &str) {
        self.must_be_in(operation);
        let waits = self.place != Place::Pinned;
        assert!(
            waits,
            "{operation} after Mutator::step_in_pinned: a cycle would wait for this thread, and this thread for it"
        );
    }

    /// As [`Mutator::blocking`], without a closure: from here to [`Mutator::step_in`] the thread does not touch the heap, and the
    /// collector does not wait for it. In other heaps that the thread is attached to it goes on running.
    ///
    /// # Panics
    /// If the thread's stack is scanned: what is on it could not be told meanwhile. In a thread that has stepped out. So does, in
    /// one, whatever else uses the heap by way of the mutator. Dropping it steps in first.
    pub fn step_out(&mut self) {
        self.must_be_in("Mutator::step_out");
        assert!(
            !self.state.scans_stack(),
            "Mutator::step_out in a thread whose stack is scanned; use Mutator::blocking"
        );
        self.close_runs();
        self.place = Place::Outside;
        self.core().registry.step_out(&self.state);
    }

    /// Ends what [`Mutator::step_out`] began. Waits while the world is stopped; that is a safepoint of the other heaps that the
    /// thread runs in, but not of those that it is pinned in.
    ///
    /// # Panics
    /// If the thread has not stepped out.
    pub fn step_in(&mut self) {
        self.enter(Place::Inside);
    }

    /// The same; and from here to the next [`Mutator::step_out`] nothing that the thread does is a safepoint: no allocation, no poll,
    /// no `fork`, no waiting in another heap. Allocations fail where they would otherwise wait for a cycle.
    ///
    /// A cycle that is due waits until the thread has stepped out, and with it every other thread of the heap that comes to a safepoint,
    /// steps in or attaches. So a thread is pinned for a short time, and waits for no other meanwhile.
    ///
    /// For interfaces that promise that references are good for a while, without anybody saying where they are.
    ///
    /// # Panics
    /// If the thread has not stepped out. [`Mutator::collect`] does, and so does [`Mutator::blocking`], in a thread that is pinned.
    pub fn step_in_pinned(&mut self) {
        self.enter(Place::Pinned);
    }

    fn enter(&mut self, place: Place) {
        let is_out = self.place == Place::Outside;
        assert!(is_out, "Mutator::step_in without Mutator::step_out");
        self.heap.look_around("Mutator::step_in");
        self.core().registry.step_in(&self.state, place == Place::Pinned);
        self.place = place;
        self.open_runs();
    }

    /// Has every allocation take the slow path, that of compiled code too.
    pub(super) fn close_runs(&mut self) {
        self.local().all_runs().into_iter().for_each(|(run, _)| run.close());
    }

    /// Ends that.
    pub(super) fn open_runs(&mut self) {
        if self.core().options.stress.is_none() {
            self.local().all_runs().into_iter().for_each(|(run, _)| run.open());
        }
    }
}
