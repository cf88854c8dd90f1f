//! Waiting until every handler that was at work has left, without a lock.
//!
//! A handler counts itself in on one of two sides and out again. [`Epoch::synchronize`] turns the sides over and
//! waits until the old one is empty. A handler that read the old side and is late sees, when it looks again,
//! that the sides were turned, and counts itself anew: whoever is counted on the old side after the turn was
//! there before it. This is the reader's half of sleepable RCU, for readers that always end.

use crate::sync::{AtomicU32, Ordering::SeqCst, mutation};
use crate::sys::futex::pause_briefly;

/// Handlers at work, in two generations.
#[derive(Debug)]
pub struct Epoch {
    /// The side on which handlers count themselves now: 0 or 1.
    side: AtomicU32,
    inside: [AtomicU32; 2],
}

/// A handler at work.
#[derive(Debug)]
pub struct Inside<'a>(&'a AtomicU32);

impl Epoch {
    /// Nobody inside.
    pub const fn new() -> Self {
        Self { side: AtomicU32::new(0), inside: [AtomicU32::new(0), AtomicU32::new(0)] }
    }

    /// Counts the caller in until the guard drops. Async-signal-safe.
    #[inline]
    pub fn enter(&self) -> Inside<'_> {
        loop {
            let side = self.side.load(SeqCst);
            let inside = &self.inside[side as usize & 1];
            inside.fetch_add(1, SeqCst);
            // Pairs with the store in `synchronize`: either it sees this count, or this sees the turn.
            if mutation!("epoch: no second look") || self.side.load(SeqCst) == side {
                return Inside(inside);
            }
            inside.fetch_sub(1, SeqCst);
        }
    }

    /// In a new child: those who were inside were other threads, which do not exist here. Async-signal-safe.
    pub(super) fn reset(&self) {
        for inside in &self.inside {
            inside.store(0, SeqCst);
        }
    }

    /// Waits until all who were inside have left. One caller at a time.
    pub fn synchronize(&self) {
        let old = self.side.load(SeqCst);
        self.side.store(old ^ 1, SeqCst);
        let mut round = 0;
        while self.inside[old as usize & 1].load(SeqCst) != 0 {
            pause_briefly(round);
            round += 1;
        }
    }
}

impl Default for Epoch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicUsize};

    #[test]
    fn synchronize_outlasts_everyone_who_was_inside() {
        let (epoch, value, done) = (Epoch::new(), AtomicUsize::new(1), AtomicBool::new(false));
        std::thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    while !done.load(SeqCst) {
                        let _inside = epoch.enter();
                        let seen = value.load(SeqCst);
                        for _ in 0..50 {
                            std::hint::spin_loop();
                        }
                        // What was there on entry is not recycled while inside; it may be superseded once.
                        assert!(value.load(SeqCst) - seen <= 1, "recycled under a handler");
                    }
                });
            }
            for _ in 0..300 {
                value.fetch_add(1, SeqCst);
                epoch.synchronize();
            }
            done.store(true, SeqCst);
        });
    }
}
