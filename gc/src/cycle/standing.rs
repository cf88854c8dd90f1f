//! Where the current cycle stands, for whoever has to know without a lock: a report of a violated invariant, which may be
//! written by a signal handler.

use crate::stats::Scope;
use palimpsest_runtime::worker::MAX_WORKERS;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// What the collector's thread is doing.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum Stage {
    /// Nothing, or background work.
    Resting,
    /// Sweeping what the last cycle left.
    Preparing,
    /// Arming in rounds.
    Arming,
    /// The pause.
    Paused,
    /// A worker marks.
    Marking,
    /// Dropping what is dead.
    Reclaiming,
    /// Looking at the whole heap.
    Verifying,
}

impl Stage {
    const ALL: [Self; 7] = [
        Self::Resting,
        Self::Preparing,
        Self::Arming,
        Self::Paused,
        Self::Marking,
        Self::Reclaiming,
        Self::Verifying,
    ];
}

/// The stage and scope of a cycle, its number, and its workers. Written by the collector's thread. Relaxed throughout: read for
/// a report, which takes what it finds.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    number: AtomicU64,
    stage: AtomicU32,
    is_young: AtomicU32,
    workers: [AtomicU32; MAX_WORKERS],
}

impl Standing {
    pub(crate) fn begin(&self, number: u64, scope: Scope) {
        self.number.store(number, Relaxed);
        self.scope(scope);
        self.crew([0; MAX_WORKERS]);
        self.enter(Stage::Preparing);
    }

    pub(crate) fn scope(&self, scope: Scope) {
        self.is_young.store((scope == Scope::Young).into(), Relaxed);
    }

    pub(crate) fn enter(&self, stage: Stage) {
        self.stage.store(stage as u32, Relaxed);
    }

    /// The workers at work; 0 for none.
    pub(crate) fn crew(&self, numbers: [u32; MAX_WORKERS]) {
        for (to, number) in self.workers.iter().zip(numbers) {
            to.store(number, Relaxed);
        }
    }
}

/// Async-signal-safe.
impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scope = if self.is_young.load(Relaxed) != 0 { Scope::Young } else { Scope::Full };
        let stage = match Stage::ALL.get(self.stage.load(Relaxed) as usize) {
            Some(Stage::Resting) => "has ended",
            Some(Stage::Preparing) => "sweeps what the one before left",
            Some(Stage::Arming) => "arms pages",
            Some(Stage::Paused) => "is in its pause",
            Some(Stage::Marking) => "is being marked by a worker",
            Some(Stage::Reclaiming) => "drops what is dead",
            Some(Stage::Verifying) => "is being verified",
            None => "is in no stage that there is",
        };
        match self.number.load(Relaxed) {
            0 => return f.write_str("none so far"),
            number => write!(f, "number {number}, {scope}, {stage}; workers' processes:")?,
        }
        let mut any = false;
        for worker in self.workers.iter().map(|worker| worker.load(Relaxed)).filter(|number| *number != 0) {
            any = true;
            write!(f, " {worker}")?;
        }
        if any { Ok(()) } else { f.write_str(" none") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_says_where_the_cycle_is() {
        let standing = Standing::default();
        assert_eq!(standing.to_string(), "none so far");
        standing.begin(7, Scope::Young);
        let mut crew = [0; MAX_WORKERS];
        (crew[0], crew[2]) = (41, 43);
        standing.crew(crew);
        standing.enter(Stage::Marking);
        let said = standing.to_string();
        assert_eq!(said, "number 7, young, is being marked by a worker; workers' processes: 41 43");
        standing.begin(8, Scope::Full);
        assert!(standing.to_string().ends_with("left; workers' processes: none"));
        for (k, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, k);
        }
    }
}
