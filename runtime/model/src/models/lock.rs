//! Sleeping and waking: the lock, and the bell of a crew.

use super::{join_all, spawn};
use crate::explore::{Model, STUCK};
use crate::sync::{AtomicU64, Ordering, checker};
use crate::sys::lock::Mutex;
use crate::worker::Crew;
use std::sync::Arc;

/// Three threads take a lock: one at a time, each sees what the one before has done, and nobody sleeps for ever.
pub const LOCK: Model = Model {
    name: "lock",
    preemptions: 3,
    mistakes: &[("lock: nobody says that he waits", STUCK)],
    orders: &[
        ("sys/lock.rs", "swap(FREE, Ordering::Release)", "two were inside, or one saw too little"),
        ("sys/lock.rs", "swap(held, Ordering::Acquire)", "two were inside, or one saw too little"),
    ],
    deaths: false,
    run: lock,
};

/// A member puts something on a list and rings; two others wait for it. Nobody sleeps for ever, though no wait ends by itself.
pub const BELL: Model = Model {
    name: "bell",
    preemptions: 3,
    mistakes: &[
        ("bell: no fence before the look for those who wait", STUCK),
        ("bell: no fence before the look for what it rings for", STUCK),
    ],
    orders: &[],
    deaths: false,
    run: bell,
};

fn lock() {
    let shared = Arc::new((Mutex::new(()), AtomicU64::new(0)));
    let add = |shared: &(Mutex<()>, AtomicU64)| {
        let _guard = shared.0.lock();
        let before = shared.1.load(Ordering::Relaxed);
        shared.1.store(before + 1, Ordering::Relaxed);
    };
    let threads = [0, 1].map(|_| {
        let shared = shared.clone();
        spawn(move || add(&shared))
    });
    add(&shared);
    join_all(threads);
    assert_eq!(shared.1.load(Ordering::Relaxed), 3, "two were inside, or one saw too little");
}

fn bell() {
    let shared = Arc::new((Crew::new().unwrap(), AtomicU64::new(0)));
    let waiting = [0, 1].map(|_| {
        let shared = shared.clone();
        spawn(move || {
            while shared.1.load(Ordering::Acquire) == 0 {
                shared.0.rest(|| shared.1.load(Ordering::Acquire) != 0);
                checker::thread::yield_now();
            }
        })
    });
    shared.1.store(1, Ordering::Release);
    shared.0.ring_all();
    join_all(waiting);
}
