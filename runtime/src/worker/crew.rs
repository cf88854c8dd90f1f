//! Several workers for one cycle.
//!
//! The parent forks one worker in the pause, the *leader*. When it is told to go, the leader forks the others, its
//! *siblings*, from its own image, which nothing has changed since the pause: so they see the same frozen heap, and their
//! forks cost no pause. They inherit the leader's mappings.
//!
//! # Whose children they are
//!
//! The parent's, by `CLONE_PARENT`, and not the leader's. Orphans of a leader that was killed would go to whoever reaps orphans
//! on this machine, which in a container may be the host itself, and the parent would not know when they are gone. As
//! it is, the parent waits for all of them itself. Like the leader they have no exit signal.
//!
//! ```text
//!   leader: fork ─▶ number stored by the kernel          parent: adopt (pidfd) ─▶ ADMITTED, ring
//!   sibling:           waits to be admitted ◀──────────────────────┘   ─▶ works until the leader dismisses it
//!   parent: a sibling ended, or made no progress and was killed: reaped ─▶ GONE, ring      ─▶ leader takes over
//! ```
//!
//! * A sibling works only after the parent has **admitted** it, and the parent admits only whom it can wait for. So when the
//!   parent has reaped the leader and all that it has admitted, nobody writes to the shared tables any more.
//! * **`GONE` is set when the sibling has been reaped**: whoever sees it knows that this sibling will write nothing more, and
//!   sees all that it wrote.
//! * One that was not admitted when its cycle ended leaves by itself, having touched nothing.

use super::record::Record;
use super::roll::{ADMITTED, CYCLE, Crew, ERRNO, FATE, FORKED, MAX_WORKERS, NUMBER, PROGRESS};
use crate::error::Error;
use crate::sys::Errno;
use crate::sys::inject::{self, Role};
use crate::sys::process::{self, Child, ChildExit, Strike};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::process::Pid;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// What befalls a sibling in the middle of its work, for tests.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Fate(u32);

impl Fate {
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// A strike after so many steps ([`Member::step`]); at least one, at most 2^30.
    pub fn after(steps: u32, strike: Strike) -> Self {
        Self(steps.clamp(1, 1 << 30) << 1 | u32::from(strike == Strike::Stop))
    }
}

impl Crew {
    /// Before the leader is forked. No worker is there.
    fn begin(&self, cycle: u64, fates: &[Fate; MAX_WORKERS]) {
        for word in self.rows.iter().flatten() {
            word.store(0, Ordering::Relaxed);
        }
        for (row, fate) in self.rows.iter().zip(fates).skip(1) {
            row[FATE].store(fate.0, Ordering::Relaxed);
        }
        // Never 0, which is the number of no cycle. Release: pairs with the look of a sibling that waits to be admitted.
        self.common(CYCLE).store(cycle as u32 | 1 << 31, Ordering::Release);
    }

    /// In the leader: forks siblings until there are so many workers. Returns in each of them too. Async-signal-safe.
    ///
    /// # Safety
    /// This process is a leader that has begun; the caller keeps to the rules of a worker.
    pub(super) unsafe fn enlist<'a>(
        &'a self,
        workers: usize,
        record: &'a Record,
        parent: Pid,
        nice: i32,
    ) -> Option<Member<'a>> {
        let cycle = self.common(CYCLE).load(Ordering::Acquire);
        let mut forked = 1;
        for k in 1..workers.min(MAX_WORKERS) {
            // Written here first, so that the kernel need not wait for the page.
            self.rows[k][NUMBER].store(0, Ordering::Relaxed);
            // SAFETY: passed on to the caller.
            match unsafe { process::fork_sibling(&self.rows[k][NUMBER]) } {
                Ok(true) => {
                    inject::become_one(Role::Sibling);
                    let member = Member { crew: Some(self), record, index: k, parent };
                    return (process::become_worker(parent, nice) && member.wait_to_be_admitted(cycle))
                        .then_some(member);
                }
                Ok(false) => forked += 1,
                Err(errno) => {
                    self.common(ERRNO).store(errno.raw_os_error().unsigned_abs(), Ordering::Relaxed);
                    break;
                }
            }
        }
        // Release: whoever sees the number sees the error.
        self.common(FORKED).store(forked, Ordering::Release);
        Some(Member { crew: Some(self), record, index: 0, parent })
    }

    /// The process numbers of the siblings that have been forked so far in this cycle, each in its place; 0 for none.
    pub fn numbers(&self) -> [u32; MAX_WORKERS] {
        std::array::from_fn(|k| if k == 0 { 0 } else { self.rows[k][NUMBER].load(Ordering::Relaxed) })
    }
}

/// A worker among those of its cycle.
#[derive(Debug)]
pub struct Member<'a> {
    crew: Option<&'a Crew>,
    record: &'a Record,
    index: usize,
    parent: Pid,
}

impl<'a> Member<'a> {
    /// A leader without siblings.
    pub(super) fn alone(record: &'a Record, parent: Pid) -> Self {
        Self { crew: None, record, index: 0, parent }
    }

    /// 0 for the leader.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The crew, where there may be others.
    pub fn crew(&self) -> Option<&'a Crew> {
        self.crew
    }

    /// Counts a step forward. Async-signal-safe.
    pub fn advance(&self) {
        match self.crew {
            Some(crew) if self.index > 0 => {
                crew.rows[self.index][PROGRESS].fetch_add(1, Ordering::Relaxed);
            }
            _ => self.record.advance(),
        }
    }

    /// A place in a sibling's work at which its fate may strike. Async-signal-safe.
    #[inline]
    pub fn step(&self) {
        if let Some(crew) = self.crew
            && self.index > 0
            && crew.rows[self.index][FATE].load(Ordering::Relaxed) != 0
        {
            self.strike(&crew.rows[self.index][FATE]);
        }
    }

    #[cold]
    fn strike(&self, fate: &AtomicU32) {
        let left = fate.fetch_sub(2, Ordering::Relaxed) - 2;
        if left >> 1 == 0 {
            fate.store(0, Ordering::Relaxed);
            process::strike_self(if left == 0 { Strike::Kill } else { Strike::Stop });
        }
    }

    /// Whether the parent is gone, which alone waits for this process.
    pub fn is_orphan(&self) -> bool {
        !process::has_parent(self.parent)
    }

    fn wait_to_be_admitted(&self, cycle: u32) -> bool {
        let Some(crew) = self.crew else { return true };
        let own = process::own_pid().as_raw_nonzero().get().unsigned_abs();
        let admitted = || crew.rows[self.index][ADMITTED].load(Ordering::Acquire) == own;
        while !admitted() {
            if crew.common(CYCLE).load(Ordering::Acquire) != cycle || self.is_orphan() {
                return false;
            }
            crew.rest(admitted);
        }
        true
    }
}

/// What became of a crew.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Muster {
    /// Workers that marked, the leader among them.
    pub workers: u32,
    /// Siblings that ended before their work was done.
    pub lost: u32,
    /// Why there were fewer than wanted.
    pub refused: Option<Error>,
}

impl Muster {
    /// A worker without siblings.
    pub(super) const ALONE: Self = Self { workers: 1, lost: 0, refused: None };
}

/// The parent's side: the siblings that it has admitted.
#[derive(Debug)]
pub(super) struct Siblings<'a> {
    crew: &'a Crew,
    wanted: usize,
    children: [Option<Child>; MAX_WORKERS],
    /// Progress as it was seen last, and since when it is that.
    seen: [(u32, Instant); MAX_WORKERS],
    muster: Muster,
}

impl<'a> Siblings<'a> {
    /// Before the leader is forked: nobody yet.
    pub(super) fn expect(crew: &'a Crew, wanted: usize, cycle: u64, fates: &[Fate; MAX_WORKERS]) -> Self {
        crew.begin(cycle, fates);
        Self {
            crew,
            wanted: wanted.min(MAX_WORKERS),
            children: [const { None }; MAX_WORKERS],
            seen: [(0, Instant::now()); MAX_WORKERS],
            muster: Muster::ALONE,
        }
    }

    /// Admits those whom the leader has forked since the last call. Whether more may come.
    pub(super) fn admit(&mut self) -> bool {
        // Before the numbers: when the leader is done, all are there.
        let forked = self.crew.common(FORKED).load(Ordering::Acquire);
        for k in 1..self.wanted {
            let row = &self.crew.rows[k];
            let number = row[NUMBER].load(Ordering::Acquire);
            if number == 0 || row[ADMITTED].load(Ordering::Relaxed) != 0 || self.crew.is_gone(k) {
                continue;
            }
            match Child::adopt(number) {
                Ok(child) => {
                    self.children[k] = Some(child);
                    self.seen[k] = (row[PROGRESS].load(Ordering::Relaxed), Instant::now());
                    self.muster.workers += 1;
                    // Release: it begins after all that went before.
                    row[ADMITTED].store(number, Ordering::Release);
                }
                Err(errno) => {
                    self.muster.refused = Some(Error::denied("watching a further marking worker", errno));
                    self.crew.note_gone(k);
                }
            }
            self.crew.ring_all();
        }
        let refused = self.crew.common(ERRNO).load(Ordering::Relaxed);
        if forked != 0 && refused != 0 && self.muster.refused.is_none() {
            let errno = Errno::from_raw_os_error(refused as i32);
            let forking = "forking a further marking worker";
            self.muster.refused = Some(Error::advise(forking, errno, super::FORK_ADVICE));
        }
        forked == 0 && self.wanted > 1
    }

    /// What to wait for, with `other` in the places of those that are not there.
    pub(super) fn descriptors<'b>(&'b self, other: BorrowedFd<'b>) -> [BorrowedFd<'b>; MAX_WORKERS] {
        std::array::from_fn(|k| self.children[k].as_ref().map_or(other, |child| child.as_fd()))
    }

    /// Reaps those that have ended, and ends those that make no progress for `patience`.
    pub(super) fn look(&mut self, patience: Duration, has_ended: impl Fn(usize, &Child) -> bool) {
        for k in 1..self.wanted {
            let Some(child) = &mut self.children[k] else { continue };
            if !has_ended(k, child) {
                let at = self.crew.rows[k][PROGRESS].load(Ordering::Relaxed);
                if at != self.seen[k].0 {
                    self.seen[k] = (at, Instant::now());
                }
                if self.seen[k].1.elapsed() < patience {
                    continue;
                }
                child.kill();
            }
            if child.wait() != ChildExit::Status(super::status::COMPLETE) {
                self.muster.lost += 1;
            }
            self.children[k] = None;
            self.crew.note_gone(k);
        }
    }

    /// The leader has ended and is reaped: nobody is forked any more. On return all siblings are gone.
    pub(super) fn end(&mut self) -> Muster {
        self.admit();
        // Those that were not admitted leave.
        self.crew.common(CYCLE).store(0, Ordering::Release);
        for child in self.children.iter().flatten() {
            child.kill();
        }
        for mut child in self.children.iter_mut().filter_map(Option::take) {
            child.wait();
        }
        self.muster.clone()
    }
}

impl Drop for Siblings<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
