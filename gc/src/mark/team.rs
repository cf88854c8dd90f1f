//! Several markers of one heap: who is at work, and when there is nothing left.
//!
//! One marker leads; it scans the roots, takes weak reads, and alone decides that marking is over. The others get work from the
//! list of full packets and from nowhere else. All run in processes of their own, of which any sibling may be killed at any point.
//!
//! # The end
//!
//! A word in shared memory has a bit for each *sibling* that may hold work, and counts how often one was set.
//!
//! 1. A sibling sets its bit **before** it takes a packet from the list, and clears it when its packet and its queues are empty and
//!    all that it had to pass on is on the list, or noted for a rescan.
//! 2. A leader whose own packet and queues are empty reads the word, finds no bit set, finds the list empty and no block noted, and
//!    reads the word again. If it is the same, marking is over.
//!
//! For the count says that between the two reads no bit was set, and none was set at the first. So no sibling held work at any time
//! between, hence none took or put any; the leader holds none; and there was none on the list or noted. Then there is none
//! anywhere, and none comes from nowhere. What a sibling put before it cleared its bit is seen by whoever sees the bit cleared.
//!
//! What the leader gets from elsewhere (weak reads, say) starts this over; the siblings wait until they are dismissed.
//!
//! # When a sibling dies
//!
//! What it held is lost: entries in its packet and queues. When the parent has reaped it ([`Crew::is_gone`]), so that it writes
//! nothing more, the leader clears its bit. If the bit was set, the leader **takes over**: it notes all blocks in use for a rescan,
//! which scans every marked object of theirs. That finds what was lost:
//!
//! * An object that was painted and not scanned, or not to its end, is marked: it is scanned again. This covers whatever is in a
//!   packet, since only painted objects are queued. A piece of a large object is found by its head, which is marked, and scanned anew.
//! * An object that was discovered and not painted was found in one that was being scanned, which is marked: that is scanned
//!   again. What is discovered in other places (roots, weak reads, remembered pages) is the leader's.
//! * A sibling that died in the middle of an operation on a list either moved the packet or did not: it is one compare-and-swap. A
//!   packet that it had taken is missing until the next cycle, with what was in it; see above.
//! * A block that it noted, or was about to note, is noted now.
//!
//! A sibling whose bit was clear held nothing. The same argument holds for each that dies, also in the middle of a takeover. The
//! argument needs the leader: if it dies, the parent ends its siblings, and the cycle fails.
//!
//! # Two markers at one object
//!
//! Both may see it unpainted. They swap its byte, and the one that finds the old colour there has marked it: it counts, and queues
//! it. A marker that is alone stores instead.

use crate::error::Error;
use crate::mark::Tally;
use crate::sync::{AtomicU64, Ordering, mutation};
use palimpsest_runtime::mapping::{Region, Shared};
use palimpsest_runtime::worker::{Crew, MAX_WORKERS, Member};

/// Words of a row: two lines of the cache.
const ROW: usize = 16;

/// Rows that are everybody's; those of the members follow.
const WORK: usize = 0;
const STATE: usize = 1;
const COMMON: usize = 2;

/// In the row `STATE`.
const RESTING: usize = 0;
const DISMISSED: usize = 1;
const TAKEOVERS: usize = 2;

/// In a member's row, behind its tally.
const CPU_NS: usize = Tally::FIGURES;

/// What is added to the word of those at work when one begins, beside its bit.
const BEGUN: u64 = 1 << MAX_WORKERS;

/// Who is at work, as it was at one moment.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct AtWork(u64);

impl AtWork {
    /// Whether no sibling may hold work.
    pub(super) fn is_nobody(self) -> bool {
        self.0 & (BEGUN - 1) == 0
    }
}

/// The markers of a cycle, in shared memory.
#[derive(Debug)]
pub(crate) struct Team {
    rows: Shared<[AtomicU64; ROW]>,
    pub(crate) crew: Crew,
}

impl Team {
    /// Nobody.
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self { rows: Shared::scratch("palimpsest-team", COMMON + MAX_WORKERS)?, crew: Crew::new()? })
    }

    /// Where it is, for workers.
    pub(crate) fn region(&self) -> Region<'_> {
        self.rows.region()
    }

    /// Before a cycle's markers begin. No worker is there.
    pub(crate) fn begin(&self) {
        for word in self.rows.iter().flatten() {
            // Relaxed: workers are forked later.
            word.store(0, Ordering::Relaxed);
        }
    }

    fn bit(member: usize) -> u64 {
        1 << member
    }

    /// A sibling is about to take work. It does not hold any.
    pub(super) fn begin_work(&self, sibling: usize) {
        // SeqCst, here and below: it comes before the look at the list, and the leader's second read after its own look.
        let begun = if mutation!("team: beginnings are not counted") { 0 } else { BEGUN };
        self.rows[WORK][0].fetch_add(begun + Self::bit(sibling), Ordering::SeqCst);
    }

    /// A sibling that has begun holds nothing any more. Whether it was the last.
    pub(super) fn end_work(&self, sibling: usize) -> bool {
        // Release: what it put on the list goes before. Pairs with `at_work`.
        let before = self.rows[WORK][0].fetch_sub(Self::bit(sibling), Ordering::SeqCst);
        AtWork(before - Self::bit(sibling)).is_nobody()
    }

    /// Who is at work.
    pub(super) fn at_work(&self) -> AtWork {
        AtWork(self.rows[WORK][0].load(Ordering::SeqCst))
    }

    /// The leader's side: a sibling is gone. Whether it may have held work.
    pub(super) fn forget(&self, sibling: usize) -> bool {
        self.wake_up(sibling);
        let before = self.rows[WORK][0].fetch_and(!Self::bit(sibling), Ordering::SeqCst);
        before & Self::bit(sibling) != 0
    }

    /// The leader's side: it has taken over what a dead sibling held.
    pub(super) fn count_takeover(&self) {
        self.rows[STATE][TAKEOVERS].fetch_add(1, Ordering::Relaxed);
    }

    /// Takeovers of this cycle.
    pub(crate) fn takeovers(&self) -> u64 {
        self.rows[STATE][TAKEOVERS].load(Ordering::Relaxed)
    }

    /// A member has nothing to do: those who have work share it.
    pub(super) fn lie_down(&self, member: usize) {
        self.rows[STATE][RESTING].fetch_or(Self::bit(member), Ordering::Relaxed);
    }

    /// A member has something to do again.
    pub(super) fn wake_up(&self, member: usize) {
        self.rows[STATE][RESTING].fetch_and(!Self::bit(member), Ordering::Relaxed);
    }

    /// Whether anyone has nothing to do. A hint.
    #[inline]
    pub(super) fn is_anyone_idle(&self) -> bool {
        self.rows[STATE][RESTING].load(Ordering::Relaxed) != 0
    }

    /// The leader's side: marking is over.
    pub(super) fn dismiss(&self) {
        self.rows[STATE][DISMISSED].store(1, Ordering::SeqCst);
        self.crew.ring_all();
    }

    /// Whether marking is over.
    pub(super) fn is_dismissed(&self) -> bool {
        self.rows[STATE][DISMISSED].load(Ordering::SeqCst) != 0
    }

    /// Enters what a member has done so far.
    pub(super) fn report(&self, member: usize, tally: Tally, cpu_ns: u64) {
        let row = &self.rows[COMMON + member];
        for (to, from) in row.iter().zip(tally.figures()) {
            // Relaxed: read by those who have seen the member end its work, or its process end.
            to.store(from, Ordering::Relaxed);
        }
        row[CPU_NS].store(cpu_ns, Ordering::Relaxed);
    }

    /// What a member has reported. Of one that died, its last objects may be missing.
    pub(crate) fn tally(&self, member: usize) -> Tally {
        let row = &self.rows[COMMON + member];
        Tally::from_figures(std::array::from_fn(|k| row[k].load(Ordering::Relaxed)))
    }

    /// CPU time that the siblings have reported.
    pub(crate) fn siblings_cpu_ns(&self) -> u64 {
        self.rows[COMMON + 1..].iter().map(|row| row[CPU_NS].load(Ordering::Relaxed)).sum()
    }
}

/// A marker's place in a team.
#[derive(Copy, Clone, Debug)]
pub(super) struct Seat<'a> {
    pub(super) team: &'a Team,
    pub(super) member: &'a Member<'a>,
}

impl Seat<'_> {
    /// Whether this is the marker that scans the roots and decides when marking is over.
    #[inline]
    pub(super) fn leads(&self) -> bool {
        self.member.index() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mark::Packets;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_sibling_that_worked_between_two_looks_is_noticed() {
        let team = Team::new().unwrap();
        let before = team.at_work();
        assert!(before.is_nobody());
        team.begin_work(3);
        assert!(!team.at_work().is_nobody());
        assert!(team.end_work(3));
        assert!(team.at_work().is_nobody());
        assert_ne!(team.at_work(), before);
    }

    #[test]
    fn only_who_held_work_is_taken_over() {
        let team = Team::new().unwrap();
        team.begin_work(1);
        team.begin_work(2);
        assert!(!team.end_work(2));
        assert!(!team.forget(2) && team.forget(1));
        assert!(team.at_work().is_nobody());
    }

    #[test]
    fn a_tally_goes_through_shared_memory() {
        let team = Team::new().unwrap();
        let tally = Tally::from_figures(std::array::from_fn(|k| k as u64 + 1));
        team.report(2, tally, 70);
        assert_eq!((team.tally(2), team.siblings_cpu_ns()), (tally, 70));
        team.begin();
        assert_eq!(team.tally(2), Tally::default());
    }

    /// Siblings that split what they take, by the protocol: when the leader says that it is over, all has been done.
    #[test]
    fn nothing_is_left_when_it_is_over() {
        for _ in 0..200 {
            let (team, packets) = (Team::new().unwrap(), Packets::new(64, 1).unwrap());
            let done = AtomicUsize::new(0);
            let put = |work: usize| {
                let packet = packets.take_empty().expect("a packet");
                packets.put_full(packet, work);
            };
            put(64);
            std::thread::scope(|s| {
                for sibling in 1..4 {
                    let (team, packets, done, put) = (&team, &packets, &done, &put);
                    s.spawn(move || {
                        while !team.is_dismissed() {
                            if packets.has_full() {
                                team.begin_work(sibling);
                                if let Some((packet, work)) = packets.take_full() {
                                    packets.put_empty(packet);
                                    if work == 1 {
                                        done.fetch_add(1, Ordering::Relaxed);
                                    } else {
                                        put(work / 2);
                                        put(work - work / 2);
                                    }
                                }
                                team.end_work(sibling);
                            }
                        }
                    });
                }
                loop {
                    let before = team.at_work();
                    if before.is_nobody() && !packets.has_full() && team.at_work() == before {
                        break;
                    }
                }
                assert_eq!(done.load(Ordering::Relaxed), 64);
                team.dismiss();
            });
        }
    }
}
