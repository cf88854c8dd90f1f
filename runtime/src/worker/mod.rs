//! The forked worker: a process that sees the heap as it was at the fork.
//!
//! It is forked while the world is stopped. Its copy of the parent's private memory (stacks, globals, malloc) is
//! frozen by the kernel's copy-on-write. The heap is frozen in one of two ways:
//!
//! * [`fork`]: the heap is shared memory, which the worker maps itself, read-only, and reads through a
//!   [`SnapshotView`]; the barrier keeps what the mutators overwrite;
//! * [`fork_inheriting`]: the heap is private memory, and the worker has a copy of it, like of the rest; it reads through
//!   an [`InheritedView`].
//!
//! Results go to shared tables, which the worker maps too; back comes a [`record::Record`] and an exit status, and
//! a run counts only if both prove that it is complete.
//!
//! **Everything that runs in the worker keeps to this:** no allocation, no lock (any may be held by a thread the
//! worker does not have), no `println!`, no panic that unwinds. Memory it needs is mapped before the fork.
//!
//! # The silent break of copy-on-write
//!
//! A copy-on-write break, in the worker or in its parent, is *wanted*: it is what gives the worker its own copy of a stack,
//! of native memory or of a private heap when either side writes. The barrier does not hear of it and need not: nothing in
//! the heap changed from the mutator's point of view, and the worker's mappings carry no userfaultfd registration
//! (`UFFD_FEATURE_EVENT_FORK` is not asked for), so that a break there neither notifies nor makes a page dirty.
//! `runtime/tests/cow.rs` holds the kernel to that.

pub mod record;
pub mod view;

pub use record::Record;
pub use view::{InheritedView, OwnedPage, ReadSide, Reason, SnapshotView};

use crate::barrier::Barrier;
use crate::error::Error;
use crate::mapping::{HeapMapping, Region};
use crate::sys::event::{Event, wait_readable};
use crate::sys::memory::Access;
use crate::sys::process::{self, Child, ChildExit, Forked};
use crate::sys::{clock, memory, signal};
use crate::unit::PageRange;
use rustix::fd::AsFd;
use std::fmt;
use std::time::{Duration, Instant};

/// Exit statuses of a worker.
mod status {
    pub(super) const COMPLETE: i32 = 0;
    pub(super) const INCOMPLETE: i32 = 1;
    pub(super) const NO_PARENT: i32 = 2;
    pub(super) const NO_HEAP: i32 = 3;
    pub(super) const PANIC: i32 = 4;
}

/// What a worker is forked with.
#[derive(Debug)]
pub struct Order<'a> {
    /// The tables that the worker shares with its parent, beside those of its record and of the barrier.
    pub tables: &'a [Region<'a>],
    /// Where the worker reports.
    pub record: &'a Record,
    /// The cycle it works for; never 0.
    pub cycle: u64,
    /// Its priority, as for `nice`.
    pub nice: i32,
}

/// Why a worker's results do not count.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Failure {
    /// It exited early, with this status.
    Exit(i32),
    /// It could not map the heap.
    NoHeap,
    /// It was killed by this signal.
    Signal(i32),
    /// It made no progress for so long, and was killed.
    Stalled(Duration),
    /// The collector gave it up, and killed it.
    Abandoned,
    /// It ended well and its record does not say so.
    Unproven,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Exit(status) => write!(f, "worker exited with status {status}"),
            Failure::NoHeap => f.write_str("worker could not map the heap"),
            Failure::Signal(signal) => write!(f, "worker was killed by signal {signal}"),
            Failure::Stalled(limit) => write!(f, "worker made no progress for {limit:?}"),
            Failure::Abandoned => f.write_str("worker was given up"),
            Failure::Unproven => f.write_str("worker's completion record is not complete"),
        }
    }
}

/// A worker at work. Dropping it kills it.
#[derive(Debug)]
pub struct Worker<'a> {
    child: Child,
    record: &'a Record,
    cycle: u64,
}

/// Forks a worker that runs `body` on the barrier's snapshot. `body` returns whether its work is complete.
///
/// The worker begins when it is told to ([`Worker::begin`]), which the caller does after it has let the world go on. A new
/// process may well be given its parent's processor; it would use it for a time slice, some milliseconds, with the
/// parent in the middle of the pause.
///
/// # Safety
/// * The world is stopped, and the snapshot has begun, for the whole call.
/// * `body`, which runs in the child, keeps to the rules of this module.
///
/// # Errors
/// Where the kernel refuses to fork (process limit, memory): the caller ends the snapshot and does without.
pub unsafe fn fork<'a>(
    order: &Order<'a>,
    barrier: &Barrier,
    body: impl FnOnce(&SnapshotView<'_>) -> bool,
) -> Result<Worker<'a>, Error> {
    let body = || {
        let heap = barrier.heap();
        let tables = [barrier.words_region(), barrier.pool().region()];
        let heap_is_mapped = || match heap.file() {
            // SAFETY: the heap's range is not inherited (MADV_DONTFORK), so nothing is mapped there in this process.
            Some(file) => unsafe {
                memory::map_file_in_worker(heap.base(), heap.half(), file, Access::Read).is_ok()
            },
            None => false,
        };
        (map_tables(&tables) && heap_is_mapped()).then(|| body(&SnapshotView::new(barrier)))
    };
    // SAFETY: passed on to the caller.
    unsafe { fork_body(order, body) }
}

/// Forks a worker that inherits the given pages of a private heap and runs `body` on them; as [`fork`].
///
/// The kernel's copy-on-write keeps these pages as they are at the fork: both sides may write to theirs. The break is silent
/// and wanted, see the module.
///
/// # Safety
/// As for [`fork`], but for the snapshot; and `body` looks at these pages only.
///
/// # Errors
/// As for [`fork`].
pub unsafe fn fork_inheriting<'a>(
    order: &Order<'a>,
    heap: &HeapMapping,
    pages: &[PageRange],
    body: impl FnOnce(&InheritedView) -> bool,
) -> Result<Worker<'a>, Error> {
    let body = || Some(body(&InheritedView::new()));
    // SAFETY: passed on to the caller.
    heap.inherited_by(pages, || unsafe { fork_body(order, body) })?
}

/// Forks. In the child `body` returns whether its work is complete, or nothing if it has no heap.
///
/// # Safety
/// As for [`fork`].
unsafe fn fork_body<'a>(order: &Order<'a>, body: impl FnOnce() -> Option<bool>) -> Result<Worker<'a>, Error> {
    order.record.begin(order.cycle);
    let parent = process::own_pid();
    // SAFETY: the child runs `child` only, which keeps to what is async-signal-safe and never returns.
    match unsafe { process::fork() } {
        Ok(Forked::Child) => child(order, parent, body),
        Ok(Forked::Parent(child)) => Ok(Worker { child, record: order.record, cycle: order.cycle }),
        Err(errno) => {
            let advice = "check RLIMIT_NPROC (ulimit -u), the cgroup's pids.max, and seccomp";
            Err(Error::advise("forking a marking worker", errno, advice))
        }
    }
}

/// The worker's life. Panics in `body` end the process: unwinding would run destructors of the parent's values.
fn child(order: &Order<'_>, parent: rustix::process::Pid, body: impl FnOnce() -> Option<bool>) -> ! {
    struct EndOnUnwind;
    impl Drop for EndOnUnwind {
        fn drop(&mut self) {
            process::exit_now(status::PANIC);
        }
    }
    let _end = EndOnUnwind;
    // A fault in the worker is a failure of the worker, to be seen by the parent: not for the host's handlers.
    signal::block_all();
    if !process::become_worker(parent, order.nice) {
        process::exit_now(status::NO_PARENT);
    }
    if !map_tables(&order.record.regions()) || !map_tables(order.tables) {
        process::exit_now(status::NO_HEAP);
    }
    let orphaned = || !process::has_parent(parent);
    if !order.record.wait_for_go(orphaned) {
        process::exit_now(status::NO_PARENT);
    }
    match body() {
        None => process::exit_now(status::NO_HEAP),
        Some(false) => process::exit_now(status::INCOMPLETE),
        Some(true) => {
            order.record.complete(order.cycle, clock::process_cpu_ns());
            process::exit_now(status::COMPLETE)
        }
    }
}

/// Maps shared tables where the parent has them. Async-signal-safe.
fn map_tables(tables: &[Region<'_>]) -> bool {
    tables.iter().all(|table| {
        // SAFETY: tables are not inherited (MADV_DONTFORK), so nothing is mapped there in this process.
        unsafe { memory::map_file_in_worker(table.at, table.len, table.file, Access::Write) }.is_ok()
    })
}

/// What the collector wants of a worker that is still at work.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Let it work on.
    GoOn,
    /// Kill it.
    Abandon,
}

impl Worker<'_> {
    /// Lets the worker begin.
    pub fn begin(&self) {
        self.record.let_go();
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until the worker has ended, asking `verdict` whenever `control` is raised and every few milliseconds while
    /// there is a reason to look. Kills the worker where that says so, or where its progress count stands still for
    /// `patience`. On return the worker is gone and reaped.
    pub fn watch(
        &mut self,
        control: &Event,
        patience: Duration,
        mut verdict: impl FnMut() -> Verdict,
    ) -> Result<(), Failure> {
        let (mut progress, mut since) = (self.record.progress(), Instant::now());
        let mut interval = Duration::from_millis(100);
        loop {
            let [ended, raised] = wait_readable([self.child.as_fd(), control.as_fd()], interval);
            if ended {
                break;
            }
            if raised {
                control.take();
                // Somebody waits for the outcome: look often from now on.
                interval = Duration::from_millis(2);
            }
            if verdict() == Verdict::Abandon {
                return self.end(Failure::Abandoned);
            }
            let at = self.record.progress();
            if at != progress {
                (progress, since) = (at, Instant::now());
            } else if since.elapsed() >= patience {
                return self.end(Failure::Stalled(patience));
            }
        }
        match self.child.wait() {
            ChildExit::Status(status::COMPLETE) if self.record.is_complete(self.cycle) => Ok(()),
            ChildExit::Status(status::COMPLETE) | ChildExit::Unknown => Err(Failure::Unproven),
            ChildExit::Status(status::NO_HEAP) => Err(Failure::NoHeap),
            ChildExit::Status(status) => Err(Failure::Exit(status)),
            ChildExit::Signal(signal) => Err(Failure::Signal(signal)),
        }
    }

    fn end(&mut self, why: Failure) -> Result<(), Failure> {
        self.child.kill();
        self.child.wait();
        Err(why)
    }

    /// Kills the worker, for tests of what that costs.
    pub fn kill(&self) {
        self.child.kill();
    }

    /// Stops the worker as a debugger might, for tests of the deadline.
    pub fn stop(&self) {
        self.child.stop();
    }
}
