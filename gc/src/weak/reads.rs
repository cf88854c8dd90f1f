//! The queue of objects that were read through a weak reference while a cycle is marked, and the two steps in which it closes.
//!
//! ```text
//!   open ──decide──▶ decided ──close──▶ closed
//! ```
//!
//! The marker *decides* when all is marked that was reachable: from then on reads of [`Reading::Reference`] find it too late.
//! Then it marks what is kept for finalizers only, and *closes*: now those of [`Reading::Entry`] do too. Either step is one
//! compare-and-swap that fails while something waits in the queue.

use crate::error::Error;
use crate::sizes::{RECENT, WEAK_READS as CAPACITY};
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst, mutation};
use palimpsest_runtime::mapping::{Region, Shared};
use palimpsest_runtime::sys::futex::pause_briefly;

const CLOSED: u64 = 1 << 63;
const DECIDED: u64 = 1 << 62;
const FLAGS: u64 = CLOSED | DECIDED;

/// Where the current cycle stands, as far as weak reads are concerned.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u32)]
enum Phase {
    /// No cycle decides anything: what a weak reference refers to is alive.
    Idle,
    /// A cycle is marked.
    Marking,
    /// Marking is complete; dead entries are being cleared.
    Clearing,
}

/// Through what a weak reference is read, and so how long it lasts.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reading {
    /// A [`WeakRef`](super::WeakRef): it is cut when its target is queued for finalization, with all that only the queue keeps.
    Reference,
    /// An entry of a table: it lasts as long as its object.
    Entry,
}

/// The queue, in memory shared with the worker, and the phase, which is the parent's.
#[derive(Debug)]
pub(crate) struct WeakReads {
    /// How many were ever pushed since the queue was opened, and whether it is decided and closed; how many were drained.
    state: Shared<AtomicU64>,
    slots: Shared<AtomicU64>,
    phase: AtomicU32,
    /// What was pushed lately in this cycle, so that a favourite is not pushed over and over until it is marked.
    recent: [AtomicUsize; RECENT],
}

impl WeakReads {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self {
            state: Shared::scratch("palimpsest-weak-state", 2)?,
            slots: Shared::scratch("palimpsest-weak-reads", CAPACITY as usize)?,
            phase: AtomicU32::new(Phase::Idle as u32),
            recent: [const { AtomicUsize::new(0) }; RECENT],
        })
    }

    fn pushed(&self) -> &AtomicU64 {
        &self.state[0]
    }

    fn drained(&self) -> &AtomicU64 {
        &self.state[1]
    }

    /// Opens the queue for a cycle, with nothing in it.
    ///
    /// The world is stopped: no thread is in the middle of a read, which might otherwise put into this cycle's queue, or
    /// note as put there, what it read in the one before.
    pub(crate) fn begin_marking(&self) {
        // A queue that was drained has empty slots. What is left is from a cycle that failed.
        if self.pushed().load(SeqCst) & !FLAGS != self.drained().load(SeqCst) {
            for slot in self.slots.iter() {
                slot.store(0, Relaxed);
            }
        }
        for recent in &self.recent {
            recent.store(0, Relaxed);
        }
        for word in self.state.iter() {
            word.store(0, SeqCst);
        }
        self.phase.store(Phase::Marking as u32, SeqCst);
    }

    /// Where the queue is, for workers.
    pub(crate) fn regions(&self) -> [Region<'_>; 2] {
        [self.state.region(), self.slots.region()]
    }

    /// Marking is complete: what has not the mark colour is dead.
    pub(crate) fn begin_clearing(&self) {
        self.phase.store(Phase::Clearing as u32, SeqCst);
    }

    /// The cycle is over, or has failed.
    pub(crate) fn end(&self) {
        self.phase.store(Phase::Idle as u32, SeqCst);
    }

    /// Whether a snapshot is being marked.
    pub(crate) fn is_marking(&self) -> bool {
        self.phase.load(SeqCst) == Phase::Marking as u32
    }

    /// The marker's side: the next object that was read, if one waits.
    pub(crate) fn pop(&self) -> Option<usize> {
        let at = self.drained().load(SeqCst);
        if at == self.pushed().load(SeqCst) & !FLAGS {
            return None;
        }
        let slot = &self.slots[(at % CAPACITY) as usize];
        let mut round = 0;
        // Whoever took the place stores into it next.
        while slot.load(SeqCst) == 0 {
            pause_briefly(round);
            round += 1;
        }
        let granule = slot.swap(0, SeqCst) - 1;
        self.drained().store(at + 1, SeqCst);
        Some(granule as usize)
    }

    /// The marker's side: what is not marked now was reachable from nowhere, unless something waits in the queue. All that
    /// was pushed has been marked by then.
    pub(crate) fn decide(&self) -> bool {
        self.shut(0, DECIDED)
    }

    /// The marker's side: closes the queue, after it was decided, if nothing waits in it.
    pub(crate) fn close(&self) -> bool {
        self.shut(DECIDED, CLOSED)
    }

    fn shut(&self, is: u64, further: u64) -> bool {
        if mutation!("weak: closed though something waits") {
            self.pushed().fetch_or(further, SeqCst);
            return true;
        }
        let empty = self.drained().load(SeqCst) | is;
        self.pushed().compare_exchange(empty, empty | further, SeqCst, SeqCst).is_ok()
    }

    /// The mutator's side. `None`: the queue is full.
    fn push(&self, granule: usize, reading: Reading) -> Option<Pushed> {
        // Drained first: the difference is never too small.
        let drained = self.drained().load(SeqCst);
        let state = self.pushed().load(SeqCst);
        let too_late = match reading {
            Reading::Reference => DECIDED,
            Reading::Entry => CLOSED,
        };
        if state & too_late != 0 {
            return Some(Pushed::TooLate);
        }
        let pushed = state & !FLAGS;
        if pushed - drained >= CAPACITY
            || self.pushed().compare_exchange(state, state + 1, SeqCst, SeqCst).is_err()
        {
            return None;
        }
        self.slots[(pushed % CAPACITY) as usize].store(granule as u64 + 1, SeqCst);
        Some(if state & DECIDED == 0 { Pushed::WillBeMarked } else { Pushed::WillBeKept })
    }

    /// Whether the object at this granule is alive, in which case it stays so as long as the caller has a reference that is a root at
    /// its next safepoint. `is_dead` looks at its colour; `may_be_misled` says whether the marker may have seen another heap than
    /// that of the snapshot.
    pub(crate) fn read(
        &self,
        granule: usize,
        reading: Reading,
        is_dead: impl Fn() -> bool,
        may_be_misled: impl Fn() -> bool,
    ) -> bool {
        let mut round = 0;
        loop {
            let phase = self.phase.load(SeqCst);
            if phase == Phase::Idle as u32 {
                return true;
            }
            if !is_dead() {
                return true;
            }
            if phase == Phase::Clearing as u32 {
                return false;
            }
            let recent = &self.recent[granule % RECENT];
            if recent.load(SeqCst) == granule + 1 {
                return true;
            }
            match self.push(granule, reading) {
                Some(Pushed::WillBeMarked) => {
                    recent.store(granule + 1, SeqCst);
                    return true;
                }
                // Not noted as recent: that would mislead a reference.
                Some(Pushed::WillBeKept) => return true,
                // Closed in this moment: colours are final, and what is not marked was reachable from nowhere. If the cycle
                // fails all the same, its target is garbage that is found by the next one. But a broken barrier may have
                // misled the marker; then that cycle fails, and everything is alive.
                Some(Pushed::TooLate) if !may_be_misled() => return !is_dead(),
                Some(Pushed::TooLate) => {
                    pause_briefly(round);
                    round += 1;
                }
                // Full, or another thread came first. The worker drains it, or the cycle fails: both end this.
                None => {
                    pause_briefly(round);
                    round += 1;
                }
            }
        }
    }
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Pushed {
    WillBeMarked,
    /// Marked as well, but too late for references.
    WillBeKept,
    TooLate,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_closes_only_when_it_is_empty() {
        let reads = WeakReads::new().unwrap();
        reads.begin_marking();
        assert_eq!(reads.push(7, Reading::Entry), Some(Pushed::WillBeMarked));
        assert!(!reads.close());
        assert_eq!((reads.pop(), reads.pop()), (Some(7), None));
        assert!(!reads.close(), "not before it is decided");
        assert!(reads.decide());
        assert_eq!(reads.push(8, Reading::Reference), Some(Pushed::TooLate));
        assert_eq!(reads.push(8, Reading::Entry), Some(Pushed::WillBeKept));
        assert!(!reads.close());
        assert_eq!((reads.pop(), reads.pop()), (Some(8), None));
        assert!(reads.close());
        assert_eq!(reads.push(8, Reading::Entry), Some(Pushed::TooLate));
        reads.begin_marking();
        assert_eq!(reads.push(9, Reading::Entry), Some(Pushed::WillBeMarked));
    }

    #[test]
    fn a_full_queue_takes_no_more_until_it_is_drained() {
        let reads = WeakReads::new().unwrap();
        reads.begin_marking();
        for k in 0..CAPACITY as usize {
            assert!(reads.push(k, Reading::Entry).is_some());
        }
        assert_eq!(reads.push(0, Reading::Entry), None);
        assert_eq!(reads.pop(), Some(0));
        assert!(reads.push(0, Reading::Entry).is_some());
    }

    #[test]
    fn what_is_pushed_before_the_close_is_popped() {
        let reads = WeakReads::new().unwrap();
        for _ in 0..50 {
            reads.begin_marking();
            let (mut kept, mut seen) = (0u64, 0u64);
            std::thread::scope(|s| {
                let pushers: Vec<_> = (0..3)
                    .map(|_| {
                        s.spawn(|| {
                            let mut kept = 0;
                            loop {
                                match reads.push(5, Reading::Reference) {
                                    Some(Pushed::WillBeMarked) => kept += 1,
                                    Some(Pushed::TooLate) => return kept,
                                    Some(Pushed::WillBeKept) => unreachable!("a reference is never late"),
                                    None => {}
                                }
                            }
                        })
                    })
                    .collect();
                loop {
                    while reads.pop().is_some() {
                        seen += 1;
                    }
                    if seen > 1000 && reads.decide() {
                        break;
                    }
                }
                kept = pushers.into_iter().map(|p| p.join().unwrap()).sum();
            });
            assert_eq!(kept, seen);
        }
    }

    #[test]
    fn a_cycle_begins_with_nothing_of_a_failed_one() {
        let reads = WeakReads::new().unwrap();
        reads.begin_marking();
        for k in 0..100 {
            assert!(reads.push(k, Reading::Entry).is_some());
        }
        reads.recent[3 % RECENT].store(4, SeqCst);
        reads.pop();
        // Its worker was killed here.
        reads.end();
        reads.begin_marking();
        assert_eq!(reads.pop(), None);
        assert!(reads.slots.iter().all(|slot| slot.load(SeqCst) == 0));
        assert!(reads.recent.iter().all(|recent| recent.load(SeqCst) == 0));
        assert_eq!((reads.push(7, Reading::Entry), reads.pop()), (Some(Pushed::WillBeMarked), Some(7)));
        assert!(reads.decide() && reads.close());
    }
}
