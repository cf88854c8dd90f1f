//! What a worker tells its parent: that it goes on, that it is done, and a few numbers.

use crate::error::Error;
use crate::mapping::{Region, Shared};
use crate::sys::futex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Numbers that a worker's body may report besides.
pub const FIGURES: usize = 16;

const CYCLE: usize = 0;
const PROGRESS: usize = 1;
const CPU_NS: usize = 2;
const FIRST_FIGURE: usize = 3;

/// A completion record in shared memory.
#[derive(Debug)]
pub struct Record {
    words: Shared<AtomicU64>,
    /// 1 once the worker may begin.
    go: Shared<AtomicU32>,
}

impl Record {
    /// An empty record.
    pub fn new() -> Result<Self, Error> {
        let words = Shared::scratch("palimpsest-record", FIRST_FIGURE + FIGURES)?;
        Ok(Self { words, go: Shared::scratch("palimpsest-go", 1)? })
    }

    /// Where it is.
    pub(super) fn regions(&self) -> [Region<'_>; 2] {
        [self.words.region(), self.go.region()]
    }

    /// Prepares for a cycle's worker: nothing is complete.
    pub(super) fn begin(&self, cycle: u64) {
        debug_assert_ne!(cycle, 0);
        for word in self.words.iter() {
            word.store(0, Ordering::Relaxed);
        }
        self.go[0].store(0, Ordering::Release);
    }

    /// Lets the worker begin.
    pub(super) fn let_go(&self) {
        self.go[0].store(1, Ordering::Release);
        futex::wake_all_shared(&self.go[0]);
    }

    /// The worker's side: waits until it may begin, or until `give_up`. Async-signal-safe.
    pub(super) fn wait_for_go(&self, give_up: impl Fn() -> bool) -> bool {
        while self.go[0].load(Ordering::Acquire) == 0 {
            if give_up() {
                return false;
            }
            futex::wait_shared(&self.go[0], 0, Duration::from_millis(10));
        }
        true
    }

    /// Counts a step forward. Async-signal-safe.
    #[inline]
    pub fn advance(&self) {
        self.words[PROGRESS].fetch_add(1, Ordering::Relaxed);
    }

    /// Steps counted so far.
    pub fn progress(&self) -> u64 {
        self.words[PROGRESS].load(Ordering::Relaxed)
    }

    /// One of the body's own numbers.
    ///
    /// # Panics
    /// If `k` is not below [`FIGURES`].
    pub fn figure(&self, k: usize) -> &AtomicU64 {
        &self.words[FIRST_FIGURE..][k]
    }

    /// The last thing a complete worker does. Async-signal-safe.
    pub(super) fn complete(&self, cycle: u64, cpu_ns: u64) {
        self.words[CPU_NS].store(cpu_ns, Ordering::Relaxed);
        // Release: whoever sees the cycle's number sees its results. Pairs with `is_complete`.
        self.words[CYCLE].store(cycle, Ordering::Release);
    }

    /// Whether the worker of this cycle has completed.
    pub fn is_complete(&self, cycle: u64) -> bool {
        self.words[CYCLE].load(Ordering::Acquire) == cycle
    }

    /// CPU time that the last complete worker used.
    pub fn cpu_time(&self) -> Duration {
        Duration::from_nanos(self.words[CPU_NS].load(Ordering::Relaxed))
    }
}
