//! Asking for cycles.

#[path = "../../src/cycle/mailbox.rs"]
pub(crate) mod shipped;

use crate::events::Reason;
use crate::sync::{AtomicU32, Ordering::Relaxed};
use palimpsest_runtime::explore::{Model, STUCK};
use palimpsest_runtime::models::spawn;
use shipped::{Mailbox, Next, Wanted};
use std::sync::Arc;

/// A thread asks for a cycle and waits for its end; another has the collector rest, as around a fork, asks too, and waits for the end and
/// for what comes after it.
/// A cycle that is waited for began after it was asked for, none is at work while the collector rests, and nobody waits for ever.
pub(crate) const MAILBOX: Model = Model {
    name: "mailbox",
    preemptions: 2,
    mistakes: &[
        ("mailbox: a request is for the cycle at work", "the cycle began before it was asked for"),
        ("mailbox: a cycle begins while a thread forks", "a cycle is at work in the middle of a fork"),
        ("mailbox: nobody is told that the collector rests", STUCK),
        ("mailbox: nobody is told that the cycle has ended", STUCK),
    ],
    orders: &[],
    deaths: false,
    run: mailbox,
};

#[derive(Default)]
struct Shared {
    mailbox: Mailbox,
    /// What a thread has done before it asked, for each; and what the last cycle has found of it.
    done: [AtomicU32; 2],
    found: [AtomicU32; 2],
    /// Whether a cycle is at work.
    at_work: AtomicU32,
}

impl Shared {
    fn collect(&self) {
        loop {
            match self.mailbox.next(None) {
                Next::Cycle { .. } => {
                    self.at_work.store(1, Relaxed);
                    for (found, done) in self.found.iter().zip(&self.done) {
                        found.store(done.load(Relaxed), Relaxed);
                    }
                    self.at_work.store(0, Relaxed);
                    self.mailbox.ended();
                }
                Next::LookAround => {}
                Next::End => return,
            }
        }
    }

    fn has_found(&self, thread: usize) -> bool {
        self.found[thread].load(Relaxed) == 1
    }
}

fn mailbox() {
    let shared = Arc::new(Shared::default());
    let collector = {
        let shared = shared.clone();
        spawn(move || shared.collect())
    };
    let asking = {
        let shared = shared.clone();
        spawn(move || {
            shared.done[0].store(1, Relaxed);
            let ticket = shared.mailbox.request(Wanted::Full, Reason::Limit);
            shared.mailbox.wait(ticket);
            assert!(shared.has_found(0), "the cycle began before it was asked for");
        })
    };
    assert!(shared.mailbox.rest(|| false));
    assert_eq!(shared.at_work.load(Relaxed), 0, "a cycle is at work in the middle of a fork");
    shared.mailbox.go_on();
    shared.done[1].store(1, Relaxed);
    let ticket = shared.mailbox.request(Wanted::Any, Reason::Allocation);
    shared.mailbox.wait(ticket);
    assert!(shared.has_found(1), "the cycle began before it was asked for");
    shared.mailbox.wait_for_rest(ticket);
    asking.join();
    shared.mailbox.shut_down();
    collector.join();
}
