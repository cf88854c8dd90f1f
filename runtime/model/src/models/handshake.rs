//! Stopping the world.

use super::spawn;
use crate::explore::{Model, STUCK};
use crate::mutator::{MutatorState, Registry};
use crate::sync::{AtomicU32, Ordering::Relaxed};
use std::sync::Arc;

/// A thread attaches, runs, looks for a stop, and detaches, while the world is stopped twice: nobody runs in a stopped world, what
/// was done before is seen there, what was done there is seen afterwards, and nobody waits for ever.
pub const HANDSHAKE: Model = Model {
    name: "handshake",
    preemptions: 4,
    mistakes: &[
        ("handshake: nobody is woken when the world goes on", STUCK),
        ("handshake: threads are looked at before the stop is raised", STUCK),
    ],
    orders: &[],
    deaths: false,
    run: handshake,
};

/// A thread comes back from waiting for something while the world is stopped: it is waited for, or it waits.
pub const COMING_BACK: Model = Model {
    name: "coming back",
    preemptions: 4,
    mistakes: &[("handshake: runs again without a second look", "somebody ran in a stopped world")],
    orders: &[],
    deaths: false,
    run: coming_back,
};

/// A thread steps out while the world is being stopped, and stays outside until that is over. It may pass no safepoint before, so
/// whoever waits for it has to hear of it now.
pub const STAYING_OUT: Model = Model {
    name: "staying outside",
    preemptions: 8,
    mistakes: &[("handshake: the stop is looked at before the state is changed", STUCK)],
    orders: &[],
    deaths: false,
    run: staying_out,
};

/// Two threads at once: one that is outside as a rule, and steps in, and another in a blocking region.
pub const STEPS: Model = Model {
    name: "stepping in and out",
    preemptions: 3,
    mistakes: &[("handshake: nobody is woken when the world goes on", STUCK)],
    orders: &[],
    deaths: false,
    run: steps,
};

struct Shared {
    registry: Registry,
    /// Written by the thread of that place while it runs, and by the collector in the stopped world. Plain memory, but for its type.
    words: [AtomicU32; 2],
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self { registry: Registry::new(), words: [AtomicU32::new(0), AtomicU32::new(0)] })
    }

    fn attach(&self) -> Arc<MutatorState> {
        // SAFETY: the registry outlives the threads, which keep the state until they detach.
        unsafe { self.registry.attach(false, None) }.unwrap()
    }

    /// Between two safepoints.
    fn run(&self, thread: usize) {
        let before = self.words[thread].load(Relaxed);
        self.words[thread].store(before + 1, Relaxed);
    }

    /// In a stopped world.
    fn collect(&self) {
        let _world = self.registry.stop_world();
        let before = [0, 1].map(|k| self.words[k].load(Relaxed));
        for k in [0, 1] {
            self.words[k].store(before[k] + 100, Relaxed);
        }
    }

    fn check(&self, words: [u32; 2]) {
        assert_eq!([0, 1].map(|k| self.words[k].load(Relaxed)), words, "somebody ran in a stopped world");
    }
}

fn handshake() {
    let shared = Shared::new();
    let mutator = {
        let shared = shared.clone();
        spawn(move || {
            let own = shared.attach();
            shared.run(0);
            if shared.registry.stop_wanted() {
                shared.registry.park(&own);
            }
            shared.run(0);
            shared.registry.detach(&own);
        })
    };
    shared.collect();
    shared.collect();
    mutator.join();
    shared.check([202, 200]);
}

fn coming_back() {
    let shared = Shared::new();
    let own = shared.attach();
    let collecting = shared.clone();
    let collector = spawn(move || collecting.collect());
    shared.registry.waiting(&own, || ());
    shared.run(0);
    shared.registry.detach(&own);
    collector.join();
    shared.check([101, 100]);
}

fn staying_out() {
    let shared = Shared::new();
    let own = shared.attach();
    let collecting = shared.clone();
    let collector = spawn(move || collecting.collect());
    shared.run(0);
    shared.registry.step_out(&own);
    collector.join();
    shared.registry.step_in(&own, false);
    shared.run(0);
    shared.registry.detach(&own);
    shared.check([102, 100]);
}

fn steps() {
    let shared = Shared::new();
    let stepping = {
        let shared = shared.clone();
        spawn(move || {
            let own = shared.attach();
            shared.registry.step_out(&own);
            shared.registry.step_in(&own, true);
            shared.run(0);
            shared.registry.step_out(&own);
            shared.registry.step_in(&own, false);
            shared.registry.detach(&own);
        })
    };
    let blocking = {
        let shared = shared.clone();
        spawn(move || {
            let own = shared.attach();
            shared.run(1);
            shared.registry.blocking(&own, || ());
            shared.run(1);
            shared.registry.detach(&own);
        })
    };
    shared.collect();
    stepping.join();
    blocking.join();
    shared.check([101, 102]);
}
