//! Weak references, and the rule for reading them during a snapshot.
//!
//! A cycle decides what dies by what was reachable at the snapshot. A mutator that reads a weak reference while the cycle is
//! marked makes its target reachable again, and no scan of roots comes later that would see it (there is no remark
//! pause). So the read itself has to tell the marker: [`WeakReads`] is a queue in shared memory that the worker drains
//! before it ends. Ending is one atomic step, *closing* the queue, which fails while something is in it:
//!
//! * a read whose target went into the queue before it closed keeps its target: it will be marked;
//! * a read that finds the queue closed looks at the target's colour, which is final: marked, it lives; otherwise it is
//!   dead, and the read says so, also before the table has been cleared.
//!
//! What a read finds dead it removes from the table at once, so that nobody sees it again, not even if the cycle fails. In a
//! cycle that fails before the queue is closed nothing dies, and every read succeeds.

mod reads;
mod table;

pub(crate) use reads::WeakReads;
pub use table::WeakTable;
pub(crate) use table::WeakTables;
