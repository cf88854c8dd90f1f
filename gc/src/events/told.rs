//! What listeners are told.

use crate::stats::{CycleRecord, Scope};
use palimpsest_runtime::ladder::Snapshot;
use std::fmt;

/// A cycle that begins.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CycleBegin {
    /// Its number; the heap's first is 1.
    pub number: u64,
    /// Why it was asked for. Where several have: [`Reason::Limit`] if it is among their reasons, or else that of the first.
    pub reason: Reason,
    /// How much it is to look at. If it turns out that what was written since the last cycle is not known, it looks at all, and
    /// its record says so.
    pub scope: Scope,
}

/// Why a cycle is asked for.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Reason {
    /// So much was allocated that it is time.
    #[default]
    Allocation,
    /// An allocation found the heap at its limit, and waits.
    Limit,
    /// The program called [`Mutator::collect`](crate::Mutator::collect) or
    /// [`Mutator::collect_young`](crate::Mutator::collect_young).
    Explicit,
    /// The stress mode.
    Stress,
}

impl Reason {
    /// The reason in a word.
    pub const fn name(self) -> &'static str {
        match self {
            Reason::Allocation => "allocation",
            Reason::Limit => "limit",
            Reason::Explicit => "explicit",
            Reason::Stress => "stress",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A pause that has ended, with its parts. They do not add up to the whole: between them little things are done.
#[derive(Copy, Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Pause {
    /// The cycle's number.
    pub cycle: u64,
    /// How the heap is kept while it is marked; in the stopped world, marking is over.
    pub snapshot: Snapshot,
    /// When it began, in milliseconds since the heap was made.
    pub began_ms: f64,
    /// All of it, in milliseconds, from the request to stop until the threads were let go. The cycle's record, later, has the
    /// time it took to wake them too.
    pub pause_ms: f64,
    /// Until all threads had stopped.
    pub stop_ms: f64,
    /// Arming pages.
    pub arm_ms: f64,
    /// Forking the worker.
    pub fork_ms: f64,
    /// Marking, as far as that was done in the pause.
    pub mark_ms: f64,
    /// Letting the threads go: what the collector does for that, after `pause_ms`.
    pub resume_ms: f64,
}

impl Pause {
    pub(crate) fn new(record: &CycleRecord, resume_ms: f64) -> Self {
        Self {
            cycle: record.number,
            snapshot: record.snapshot,
            began_ms: record.pause_began_ms,
            pause_ms: record.pause_ms,
            stop_ms: record.stop_ms,
            arm_ms: record.arm_ms,
            fork_ms: record.fork_ms,
            mark_ms: record.mark_ms,
            resume_ms,
        }
    }
}

/// What the collector swept of a cycle's garbage. Threads that allocate sweep blocks too, which are not counted here.
#[derive(Copy, Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Sweep {
    /// The cycle's number.
    pub cycle: u64,
    /// When the collector began, in milliseconds since the heap was made.
    pub began_ms: f64,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// Blocks that it swept.
    pub blocks: u64,
}
