//! The members of a crew, in shared memory: who is there, who is gone, and the bell.
//!
//! # The bell
//!
//! Members with nothing to do wait for it. Each wait ends by itself after some milliseconds, because whoever should ring may
//! have been killed, and to show that the member is alive.

use crate::error::Error;
use crate::mapping::{Region, Shared};
use crate::sync::{AtomicU32, Ordering, fence, mutation};
use crate::sys::futex;
use std::time::Duration;

/// Most workers of a cycle, the leader among them.
pub const MAX_WORKERS: usize = 8;

/// How long a member waits for the bell at a time.
const NAP: Duration = Duration::from_millis(10);

/// Words of a row: two lines of the cache, of which processors like to fetch both.
const ROW: usize = 32;

/// In the leader's row: what is everybody's.
const BELL: usize = 0;
const WAITING: usize = 1;
pub(super) const CYCLE: usize = 2;
pub(super) const FORKED: usize = 3;
pub(super) const ERRNO: usize = 4;

/// In a sibling's row.
pub(super) const NUMBER: usize = 0;
pub(super) const ADMITTED: usize = 1;
pub(super) const GONE: usize = 2;
pub(super) const PROGRESS: usize = 3;
pub(super) const FATE: usize = 4;

/// The members of a cycle's crew, in shared memory.
#[derive(Debug)]
pub struct Crew {
    pub(super) rows: Shared<[AtomicU32; ROW]>,
}

impl Crew {
    /// Nobody.
    pub fn new() -> Result<Self, Error> {
        Ok(Self { rows: Shared::scratch("palimpsest-crew", MAX_WORKERS)? })
    }

    /// Where it is.
    pub(super) fn region(&self) -> Region<'_> {
        self.rows.region()
    }

    pub(super) fn common(&self, word: usize) -> &AtomicU32 {
        &self.rows[0][word]
    }

    /// Wakes one that waits for work. Async-signal-safe.
    #[inline]
    pub fn ring(&self) {
        self.wake(futex::wake_one_shared);
    }

    /// Wakes all that wait. Async-signal-safe.
    pub fn ring_all(&self) {
        self.wake(futex::wake_all_shared);
    }

    #[inline]
    fn wake(&self, wake: fn(&AtomicU32)) {
        // Pairs with the fence in `rest`: either the one that is about to wait sees what this rings for, or this sees it wait.
        if !mutation!("bell: no fence before the look for those who wait") {
            fence(Ordering::SeqCst);
        }
        if self.common(WAITING).load(Ordering::Relaxed) != 0 {
            self.common(BELL).fetch_add(1, Ordering::Relaxed);
            wake(self.common(BELL));
        }
    }

    /// Waits for the bell for some milliseconds, unless there is already what it would ring for. Async-signal-safe.
    pub fn rest(&self, is_rung_for: impl FnOnce() -> bool) {
        let bell = self.common(BELL).load(Ordering::Relaxed);
        self.common(WAITING).fetch_add(1, Ordering::Relaxed);
        if !mutation!("bell: no fence before the look for what it rings for") {
            fence(Ordering::SeqCst);
        }
        if !is_rung_for() {
            futex::wait_shared(self.common(BELL), bell, NAP);
        }
        self.common(WAITING).fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether a sibling has ended before it was dismissed, and is reaped. Whoever is told so sees all that it wrote.
    pub fn is_gone(&self, sibling: usize) -> bool {
        // Acquire: pairs with the release in `Siblings::look`, which comes after the end of that process.
        self.rows[sibling][GONE].load(Ordering::Acquire) != 0
    }

    /// The parent's side: a sibling has ended and is reaped.
    pub(super) fn note_gone(&self, sibling: usize) {
        // Release: that process has ended, and all that it wrote goes before.
        self.rows[sibling][GONE].store(1, Ordering::Release);
        self.ring_all();
    }
}
