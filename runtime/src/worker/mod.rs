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

pub mod crew;
pub mod record;
mod roll;
pub mod view;

pub use crew::{Fate, Member, Muster};
pub use record::{Note, Record};
pub use roll::{Crew, MAX_WORKERS};
pub use view::{InheritedView, OwnedPage, ReadSide, Reason, SnapshotView};

use crate::barrier::Barrier;
use crate::error::Error;
use crate::mapping::{HeapMapping, Region};
use crate::sys::event::{Event, wait_readable};
use crate::sys::inject::{self, Role};
use crate::sys::memory::Access;
use crate::sys::process::{self, Child, ChildExit, Forked};
use crate::sys::{clock, memory, signal};
use crate::unit::PageRange;
use crew::Siblings;
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
    pub(super) const FINDING: i32 = 5;
}

/// The exit status of a worker that has left a note.
pub(crate) const FINDING: i32 = status::FINDING;

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
    /// Where several workers are wanted.
    pub company: Option<Company<'a>>,
}

/// Further workers, which the first one forks.
#[derive(Debug)]
pub struct Company<'a> {
    /// Where they meet.
    pub crew: &'a Crew,
    /// Workers in all; at most [`MAX_WORKERS`].
    pub workers: usize,
    /// What befalls them, for tests.
    pub fates: [Fate; MAX_WORKERS],
}

/// What to do where the kernel refuses to fork.
const FORK_ADVICE: &str = "check RLIMIT_NPROC (ulimit -u), the cgroup's pids.max, and seccomp";

/// How long the parent waits between two looks at its workers.
const LONGEST_LOOK: Duration = Duration::from_millis(100);

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
    /// It found something impossible in the heap, and says what. That may be its own fault: who wants to know looks at the heap.
    Finding(Note),
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
            Failure::Finding(note) => write!(f, "worker found that {note}"),
        }
    }
}

/// A worker at work. Dropping it kills it.
#[derive(Debug)]
pub struct Worker<'a> {
    child: Child,
    record: &'a Record,
    cycle: u64,
    // Dropped after the leader is: then there will be no more of them.
    siblings: Option<Siblings<'a>>,
    muster: Muster,
}

/// Forks a worker that runs `body` on the barrier's snapshot. `body` returns whether its work is complete. In company it runs
/// in every worker, and is told in which; the leader returns when all is done, and the others when it has dismissed them.
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
    body: impl FnOnce(&SnapshotView<'_>, &Member<'_>) -> bool,
) -> Result<Worker<'a>, Error> {
    let view = || {
        let heap = barrier.heap();
        let tables = [barrier.words_region(), barrier.pool().region()];
        let heap_is_mapped = || match heap.file() {
            // SAFETY: the heap's range is not inherited (MADV_DONTFORK), so nothing is mapped there in this process.
            Some(file) => unsafe {
                memory::map_file_in_worker(heap.base(), heap.half(), file, Access::Read).is_ok()
            },
            None => false,
        };
        // What was saved is the parent's to write.
        (map_tables(&tables, Access::Read) && heap_is_mapped()).then(|| SnapshotView::new(barrier))
    };
    // SAFETY: passed on to the caller.
    unsafe { fork_body(order, view, body) }
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
    body: impl FnOnce(&InheritedView, &Member<'_>) -> bool,
) -> Result<Worker<'a>, Error> {
    let view = || Some(InheritedView::new());
    // SAFETY: passed on to the caller.
    heap.inherited_by(pages, || unsafe { fork_body(order, view, body) })?
}

/// Forks. In the child `view` makes what `body` is called with, or nothing if there is no heap.
///
/// # Safety
/// As for [`fork`].
unsafe fn fork_body<'a, V>(
    order: &Order<'a>,
    view: impl FnOnce() -> Option<V>,
    body: impl FnOnce(&V, &Member<'_>) -> bool,
) -> Result<Worker<'a>, Error> {
    order.record.begin(order.cycle);
    let expect = |with: &Company<'a>| Siblings::expect(with.crew, with.workers, order.cycle, &with.fates);
    let siblings = order.company.as_ref().map(expect);
    let parent = process::own_pid();
    // SAFETY: the child runs `child` only, which keeps to what is async-signal-safe and never returns.
    match unsafe { process::fork() } {
        Ok(Forked::Child) => child(order, parent, view, body),
        Ok(Forked::Parent(child)) => {
            Ok(Worker { child, record: order.record, cycle: order.cycle, siblings, muster: Muster::ALONE })
        }
        Err(errno) => Err(Error::advise("forking a marking worker", errno, FORK_ADVICE)),
    }
}

/// The worker's life. Panics in `body` end the process: unwinding would run destructors of the parent's values.
fn child<V>(
    order: &Order<'_>,
    parent: rustix::process::Pid,
    view: impl FnOnce() -> Option<V>,
    body: impl FnOnce(&V, &Member<'_>) -> bool,
) -> ! {
    struct EndOnUnwind;
    impl Drop for EndOnUnwind {
        fn drop(&mut self) {
            process::exit_now(status::PANIC);
        }
    }
    let _end = EndOnUnwind;
    inject::become_one(Role::Leader);
    // A fault in the worker is a failure of the worker, to be seen by the parent: not for the host's handlers.
    signal::block_all();
    if !process::become_worker(parent, order.nice) {
        process::exit_now(status::NO_PARENT);
    }
    let crew = order.company.as_ref().map(|company| company.crew);
    let crew_is_mapped = || crew.is_none_or(|crew| map_tables(&[crew.region()], Access::Write));
    let tables_are_mapped =
        || map_tables(&order.record.regions(), Access::Write) && map_tables(order.tables, Access::Write);
    if !tables_are_mapped() || !crew_is_mapped() {
        process::exit_now(status::NO_HEAP);
    }
    // SAFETY: the parent's record, of which this process has the table mapped, and its own copy of the rest.
    unsafe { crate::crash::in_worker(order.record) };
    let orphaned = || !process::has_parent(parent);
    if !order.record.wait_for_go(orphaned) {
        process::exit_now(status::NO_PARENT);
    }
    let Some(view) = view() else { process::exit_now(status::NO_HEAP) };
    // All that it needs is mapped.
    process::close_descriptors();
    let member = match &order.company {
        None => Some(Member::alone(order.record, parent)),
        // SAFETY: this is the leader, and it has begun. In the others as well the rest of this function keeps to the rules.
        Some(with) => unsafe { with.crew.enlist(with.workers, order.record, parent, order.nice) },
    };
    let Some(member) = member else { process::exit_now(status::NO_PARENT) };
    if !body(&view, &member) {
        process::exit_now(status::INCOMPLETE);
    }
    if member.index() == 0 {
        order.record.complete(order.cycle, clock::process_cpu_ns());
    }
    process::exit_now(status::COMPLETE)
}

/// Maps shared tables where the parent has them. Async-signal-safe.
fn map_tables(tables: &[Region<'_>], access: Access) -> bool {
    tables.iter().all(|table| {
        // SAFETY: tables are not inherited (MADV_DONTFORK), so nothing is mapped there in this process.
        unsafe { memory::map_file_in_worker(table.at, table.len, table.file, access) }.is_ok()
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
    /// `patience`; one of its siblings is killed after half of that, and the worker goes on without it. On return the worker and
    /// its siblings are gone and reaped.
    pub fn watch(
        &mut self,
        control: &Event,
        patience: Duration,
        mut verdict: impl FnMut() -> Verdict,
    ) -> Result<(), Failure> {
        let (mut progress, mut since) = (self.record.progress(), Instant::now());
        let mut interval = LONGEST_LOOK;
        let mut coming = Duration::from_millis(1);
        loop {
            // Siblings are forked right at the beginning, and wait to be admitted.
            let more = self.siblings.as_mut().is_some_and(Siblings::admit);
            let limit = if more { interval.min(coming) } else { interval };
            coming = (coming * 2).min(LONGEST_LOOK);
            // In the leader's place among its siblings, and in the empty ones, the leader stands.
            let leader = self.child.as_fd();
            let others = self.siblings.as_ref().map_or([leader; MAX_WORKERS], |s| s.descriptors(leader));
            let mut descriptors = [control.as_fd(); MAX_WORKERS + 1];
            descriptors[..MAX_WORKERS].copy_from_slice(&others);
            let readable = wait_readable(descriptors, limit);
            let (ended, raised) = match &readable {
                Some(readable) => (readable[0], readable[MAX_WORKERS]),
                None => (self.child.has_ended(), true),
            };
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
            if let Some(siblings) = &mut self.siblings {
                siblings.look(patience / 2, |k, child| readable.map_or_else(|| child.has_ended(), |r| r[k]));
            }
            let at = self.record.progress();
            if at != progress {
                (progress, since) = (at, Instant::now());
            } else if since.elapsed() >= patience {
                return self.end(Failure::Stalled(patience));
            }
        }
        let exit = self.child.wait();
        self.end_siblings();
        // A sibling may have left it.
        if let Some(note) = self.record.note() {
            return Err(Failure::Finding(note));
        }
        match exit {
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
        self.end_siblings();
        // What a worker has found is worth more than that another one ran into it and was killed.
        Err(self.record.note().map_or(why, Failure::Finding))
    }

    fn end_siblings(&mut self) {
        if let Some(mut siblings) = self.siblings.take() {
            self.muster = siblings.end();
        }
    }

    /// What became of the crew, after [`Worker::watch`].
    pub fn muster(&self) -> &Muster {
        &self.muster
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
