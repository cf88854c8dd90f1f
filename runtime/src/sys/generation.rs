//! Which process this is, among those that forks made of one another.
//!
//! A process number does not tell: a child in a new number space may have its parent's. So the child's side of the host's
//! `fork` counts here (`begin`), and whoever belongs to one process keeps the [`Generation`] that it was made in. Children
//! that are made without the C library's `fork` (a raw `clone`) do not count.

use std::sync::atomic::{AtomicU32, Ordering};

static FORKS: AtomicU32 = AtomicU32::new(0);

/// The process that something was made in.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Generation(u32);

impl Generation {
    /// This process.
    #[inline]
    pub fn current() -> Self {
        // Relaxed: it changes where there is one thread only.
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// As a number, for words that are changed by one instruction. Not 0.
    #[inline]
    pub fn number(self) -> u64 {
        u64::from(self.0) + 1
    }

    /// Whether it is not this process, but one that this is a fork of.
    #[inline]
    pub fn is_past(self) -> bool {
        self != Self::current()
    }
}

/// The process that something belongs to, which changes where a child gets a copy of it.
#[derive(Debug)]
pub struct Home(AtomicU32);

impl Home {
    /// This process.
    pub fn new() -> Self {
        Self(AtomicU32::new(Generation::current().0))
    }

    /// Whether it is not this process, but one that this is a fork of.
    #[inline]
    pub fn is_past(&self) -> bool {
        // Relaxed: as in `Generation::current`.
        Generation(self.0.load(Ordering::Relaxed)).is_past()
    }

    /// From now on it is this process. Async-signal-safe.
    pub fn move_here(&self) {
        self.0.store(Generation::current().0, Ordering::Relaxed);
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

/// A new process begins: the child's side of a fork. Async-signal-safe.
pub(crate) fn begin() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}
