//! A worker that waits to begin, and says when it is done. The record's items are those of `worker`.

use super::record::Record;
use crate::explore::{Model, STUCK};
use crate::models::spawn;
use crate::sync::{AtomicU32, Ordering::Relaxed, death};
use std::sync::Arc;
use std::time::Duration;

/// A worker waits until it may begin, works, and completes; its parent looks in the meantime. What was prepared before it was let go is
/// seen by the worker; whoever sees that it has completed sees what it has done, and its numbers. Nobody waits for ever, though no
/// wait ends by itself.
pub const RECORD: Model = Model {
    name: "go and completion",
    preemptions: 6,
    mistakes: &[
        ("record: nobody is woken that waits to begin", STUCK),
        ("record: complete before all is in it", "it is said to be complete, and is not"),
    ],
    orders: &[
        (
            "worker/record.rs",
            "self.go[0].store(1, Ordering::Release)",
            "it begins, and does not see what for",
        ),
        ("worker/record.rs", "self.go[0].load(Ordering::Acquire)", "it begins, and does not see what for"),
        (
            "worker/record.rs",
            "self.words[CYCLE].store(cycle, Ordering::Release)",
            "it is said to be complete, and is not",
        ),
        (
            "worker/record.rs",
            "self.words[CYCLE].load(Ordering::Acquire)",
            "it is said to be complete, and is not",
        ),
    ],
    deaths: false,
    run: record,
};

/// The same with a worker that is killed, at each of its accesses to shared memory in turn.
pub const DEATH: Model = Model {
    name: "a worker dies",
    preemptions: 3,
    mistakes: &[("record: complete before all is in it", "it is said to be complete, and is not")],
    orders: &[],
    deaths: true,
    run: worker_dies,
};

const CYCLE: u64 = 2;
const CPU_NS: u64 = 7;

struct Shared {
    record: Record,
    /// What the parent prepares after the fork, and what the worker makes of it.
    task: AtomicU32,
    result: AtomicU32,
}

impl Shared {
    fn new() -> Arc<Self> {
        let shared =
            Self { record: Record::new().unwrap(), task: AtomicU32::new(0), result: AtomicU32::new(0) };
        // The record of an earlier cycle.
        shared.record.begin(CYCLE - 1);
        shared.record.complete(CYCLE - 1, 1);
        shared.record.begin(CYCLE);
        Arc::new(shared)
    }

    fn work(&self) {
        assert!(self.record.wait_for_go(|| false));
        let task = self.task.load(Relaxed);
        assert_eq!(task, 1, "it begins, and does not see what for");
        self.record.advance();
        self.result.store(task + 1, Relaxed);
        self.record.complete(CYCLE, CPU_NS);
    }

    fn let_go(&self) {
        self.task.store(1, Relaxed);
        self.record.let_go();
    }

    /// Whether it has completed.
    fn look(&self) -> bool {
        let is_complete = self.record.is_complete(CYCLE);
        let done = (self.result.load(Relaxed), self.record.cpu_time());
        let all = (2, Duration::from_nanos(CPU_NS));
        assert!(!is_complete || done == all, "it is said to be complete, and is not");
        is_complete
    }
}

fn record() {
    let shared = Shared::new();
    let worker = {
        let shared = shared.clone();
        spawn(move || shared.work())
    };
    shared.let_go();
    shared.look();
    worker.join();
    assert!(shared.look(), "it has completed, and nobody knows");
}

fn worker_dies() {
    let shared = Shared::new();
    let worker = {
        let shared = shared.clone();
        spawn(move || _ = death::after(death::moment(), || shared.work()))
    };
    shared.let_go();
    shared.look();
    worker.join();
    shared.look();
}
