//! What the collector tells of itself while it works.
//!
//! A [`Listener`] is called at the moments of a cycle, in this order:
//!
//! ```text
//!   cycle_began ─▶ pause_ended ─▶ [ fell_back | worker_failed ] ─▶ cycle_ended ─▶ swept
//! ```
//!
//! on the collector's thread, outside of the pause and not while anything is marked, with no lock of the heap held; and besides once when the heap has been
//! made, and at each `OutOfMemory`, on the threads that these happen to. Nobody listens by default, and then nothing is done.
//! A cycle that is given up because the heap goes away has no end.

mod told;
#[cfg(feature = "tracing")]
mod tracing;

#[cfg(feature = "tracing")]
pub use self::tracing::Tracing;
pub use told::{CycleBegin, Pause, Reason, Sweep};

use crate::error::OutOfMemory;
use crate::stats::CycleRecord;
use palimpsest_runtime::host_fork::does_this_thread_collect;
use palimpsest_runtime::ladder::Ladder;
use palimpsest_runtime::sys::clock;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Told of what the collector does, by [`HeapBuilder::listener`](crate::HeapBuilder::listener). Every method does nothing unless
/// it is implemented.
///
/// Where a method is called on the collector's thread: all signals are blocked there, so it does not write to the heap; it does
/// not attach the thread, nor wait for a cycle. The program runs meanwhile, but the collector waits: a listener that takes long
/// lengthens the cycle, in which writes to pages cost more, and delays the next. It may call [`Heap::stats`](crate::Heap::stats)
/// and [`Heap::pauses`](crate::Heap::pauses), in which a cycle is entered before its end is told.
///
/// A listener that panics is called again the next time; the panic goes no further than the panic hook. With
/// `panic = "abort"` it ends the process.
///
/// In a child of the process that has a copy of the heap ([`HostFork::Copy`](crate::HostFork::Copy)), the child's copy of the
/// listener hears of the child's cycles. No method is under way on the collector's thread while the copy is made. But a lock that it
/// takes there may have been held by another thread at the fork, and then it waits for ever, and with it whoever waits for the collector:
/// that of `eprintln!`, too, where other threads print. In a program whose children have copies a listener counts, or writes to a
/// descriptor.
///
/// The collector's thread has 2 MiB of stack, whatever `RUST_MIN_STACK` says, and no name in a panic's message.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use palimpsest::events::{CycleBegin, Listener};
/// use palimpsest::{CycleRecord, Heap, PlainPointers, StackScan};
///
/// struct Log;
///
/// impl Listener for Log {
///     fn cycle_began(&self, cycle: &CycleBegin) {
///         eprintln!("cycle {} begins: {}", cycle.number, cycle.reason);
///     }
///     fn fell_back(&self, cycle: u64, why: &str) {
///         eprintln!("cycle {cycle} had to stop the world: {why}");
///     }
///     fn cycle_ended(&self, record: &CycleRecord) {
///         eprintln!("{record}");
///     }
/// }
///
/// let heap = Heap::builder(PlainPointers).limit(16 << 20).listener(Log).build()?;
/// heap.attach(StackScan::None)?.collect();
/// # Ok(())
/// # }
/// ```
pub trait Listener: Send + Sync {
    /// The heap has been made, on this rung: [`Ladder::degraded`] says why it is not the best, if it is not. On the thread that
    /// makes the heap, before `build` returns.
    fn heap_made(&self, _ladder: &Ladder) {}

    /// A cycle begins. On the collector's thread.
    fn cycle_began(&self, _cycle: &CycleBegin) {}

    /// The cycle had this pause, or these: two where marking in the pause was given up. Told when the cycle's marking is over, so that
    /// a listener that takes its time, or a lock, holds up no thread that waits for the cycle. On the collector's thread.
    fn pause_ended(&self, _pause: &Pause) {}

    /// The cycle marked in the stopped world, although the heap is set to do better, for this reason. On the collector's thread.
    fn fell_back(&self, _cycle: u64, _why: &str) {}

    /// The cycle's worker died, was killed, or did not prove that it was done, so the cycle failed: nothing is reclaimed, and
    /// nothing lost. On the collector's thread.
    fn worker_failed(&self, _cycle: u64, _why: &str) {}

    /// The cycle has ended, well or not; its garbage is not swept yet. On the collector's thread. Whoever waits for the cycle
    /// goes on afterwards.
    fn cycle_ended(&self, _record: &CycleRecord) {}

    /// What was garbage in the cycle has been swept: all of it, what threads have swept while they allocated included. On the
    /// collector's thread, and after whoever waits for the cycle has gone on. Not told of a cycle that failed.
    fn swept(&self, _sweep: &Sweep) {}

    /// The allocation of an object finds no room, after all has been tried, and is about to return this error. On the thread that
    /// allocates, which is attached: the listener neither allocates in the heap nor waits.
    fn out_of_memory(&self, _error: &OutOfMemory) {}
}

/// What [`HeapBuilder::on_cycle`](crate::HeapBuilder::on_cycle) makes a listener of.
pub(crate) struct OnCycle<F>(pub(crate) F);

impl<F: Fn(&CycleRecord) + Send + Sync> Listener for OnCycle<F> {
    fn cycle_ended(&self, record: &CycleRecord) {
        (self.0)(record);
    }
}

/// Those who listen to one heap.
pub(crate) struct Events {
    listeners: Box<[Box<dyn Listener>]>,
    /// Since when the collector's thread tells, by the monotonic clock; 0: it does not.
    telling_since: AtomicU64,
}

impl Events {
    pub(crate) fn new(listeners: Vec<Box<dyn Listener>>) -> Self {
        Self { listeners: listeners.into(), telling_since: AtomicU64::new(0) }
    }

    /// Tells each listener, whatever the others do.
    pub(crate) fn tell(&self, what: impl Fn(&dyn Listener)) {
        let collects = !self.listeners.is_empty() && does_this_thread_collect();
        if collects {
            self.telling_since.store(clock::monotonic_ns(), Relaxed);
        }
        self.tell_all(what);
        if collects {
            self.telling_since.store(0, Relaxed);
        }
    }

    /// For how long the collector's thread has been telling its listeners something, if it is.
    pub(crate) fn telling_for(&self) -> Duration {
        let since = self.telling_since.load(Relaxed);
        let tells = if since == 0 { 0 } else { clock::monotonic_ns().saturating_sub(since) };
        Duration::from_nanos(tells)
    }

    fn tell_all(&self, what: impl Fn(&dyn Listener)) {
        for listener in &self.listeners {
            // A listener that panics has said so; the collector, for which all threads wait, goes on.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| what(&**listener))) {
                // Whoever panics with a value whose drop panics is not to be humoured either.
                std::mem::forget(payload);
            }
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} listeners", self.listeners.len())
    }
}
