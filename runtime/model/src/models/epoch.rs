//! Waiting for the handlers that are inside.

use super::{join_all, spawn};
use crate::barrier::epoch::Epoch;
use crate::explore::Model;
use crate::sync::{AtomicU32, Ordering};
use std::sync::Arc;

/// A handler looks for something and uses it; it is taken away, those inside are waited for, and it is destroyed. Twice, since
/// a handler may be late on either side.
pub const EPOCH: Model = Model {
    name: "epochs",
    preemptions: 5,
    mistakes: &[("epoch: no second look", "destroyed under a handler")],
    orders: &[("barrier/epoch.rs", "|| self.side.load(SeqCst) == side", "destroyed under a handler")],
    deaths: false,
    run: epoch,
};

const GONE: u32 = 2;

struct Shared {
    epoch: Epoch,
    /// Which thing is there: 0, 1 or none.
    there: AtomicU32,
    /// Whether the things are destroyed.
    destroyed: [AtomicU32; 2],
}

fn epoch() {
    let shared = Arc::new(Shared {
        epoch: Epoch::new(),
        there: AtomicU32::new(0),
        destroyed: [AtomicU32::new(0), AtomicU32::new(0)],
    });
    let handlers = [0].map(|_| {
        let shared = shared.clone();
        spawn(move || {
            let _inside = shared.epoch.enter();
            let found = shared.there.load(Ordering::SeqCst);
            if found != GONE {
                assert_eq!(
                    shared.destroyed[found as usize].load(Ordering::Relaxed),
                    0,
                    "destroyed under a handler"
                );
            }
        })
    });
    for (thing, next) in [(0, 1), (1, GONE)] {
        shared.there.store(next, Ordering::SeqCst);
        shared.epoch.synchronize();
        shared.destroyed[thing].store(1, Ordering::Relaxed);
    }
    join_all(handlers);
}
