//! When to make a full cycle, when one of the young, where to mark it, and how much is allocated in between.
//!
//! A cycle of the young costs what is young and survives, and what is written to old objects; it frees what is young and does
//! not survive. Old objects that die stay until a full cycle. So cycles are of the young while that pays:
//!
//! * *by growth*: what is old has not grown by more than the heap's growth since the last full cycle, as it would have been let
//!   grow without generations, nor by more than half of the room that the limit left then;
//! * *by survival*: the last cycle of the young freed as much for its work as the last full one did. Where it did not, since
//!   objects die old, cycles are full, and one of the young is tried now and then, ever more rarely.
//!
//! A cycle of the young with little to do is marked in the pause ([`super::minor`]).
//!
//! Where the program writes to most of its old pages between two cycles, a cycle of the young looks at most of the heap, and
//! every page traps once only to say so. Then pages are opened when a snapshot ends, in bulk, which costs a hundredth of a trap, and
//! the next cycle is full. Now and then, ever more rarely, they stay armed for one cycle, to see whether that is still so.

use super::mailbox::Wanted;
use crate::options::Options;
use crate::stats::{CycleRecord, Scope};
use palimpsest_runtime::Bytes;
use palimpsest_runtime::ladder::Snapshot;

/// What the next cycle is to be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Plan {
    pub(super) scope: Scope,
    /// Whether to try to mark in the pause.
    pub(super) in_pause: bool,
}

impl Plan {
    pub(super) const FULL: Self = Self { scope: Scope::Full, in_pause: false };
}

/// What the collector knows of the program's objects, and plans with.
#[derive(Debug)]
pub(super) struct Policy {
    /// Whether there can be cycles of the young at all.
    generations: bool,
    limit: Bytes,
    /// How much more may be live before the next full cycle.
    allowed: Bytes,
    /// A full cycle has ended well, and none has failed since.
    settled: bool,
    /// Live after the last full cycle; and now, as far as is known.
    full: Bytes,
    live: Bytes,
    /// Bytes that the last cycle of either scope freed for a unit of work; of the young as much as can be, if none is known.
    full_yield: u64,
    young_yield: u64,
    /// The work, without the fixed part, that the last cycle of the young suggests for one after little allocation.
    work: u64,
    /// Pauses in which marking was given up since one in which it was not, and cycles until it is tried again.
    late: u32,
    wait: u32,
    /// Bytes allocated at the last snapshot.
    allocated: u64,
    /// Full cycles in a row that were made because they yield more, and how many are to be.
    preferred: u32,
    retry: u32,
    /// Full cycles until one of the young is tried again, where it was not possible: the heap did not know all that was written.
    unable: u32,
    /// Objects that are live, as far as is known.
    objects: u64,
    /// Cycles for which pages are open from the end of a snapshot to the next: left, and when that begins anew.
    open: u32,
    open_next: u32,
    /// In the stress mode every so many cycles are full, whatever they yield, and every other one of the young is tried in the
    /// pause.
    stress: bool,
    since_full: u32,
}

/// In the stress mode: cycles of the young between two full ones.
const STRESS_YOUNG: u32 = 4;

/// After so many full cycles that yield more one of the young is tried, at most: at first after one, then after two, and so on.
const RETRY: u32 = 8;

/// What a cycle costs beside marking, in objects marked: a fork, for one.
const FIXED: u64 = 20_000;

/// So much work is done in the pause: less than a fork takes.
const LITTLE: u64 = 10_000;

/// Cycles for which pages are open between snapshots, at most, before it is looked at again whether they had better stay armed.
const OPEN_MOST: u32 = 16;

/// So few pages that trap once are no trouble.
const FEW_PAGES: u64 = 4096;

/// Cycles of the young until one is tried in the pause again, as a power of two, at most.
const LATE_MOST: u32 = 5;

impl Policy {
    /// For a new heap, which may have `remembered` pages.
    pub(super) fn new(options: &Options, remembers: bool) -> Self {
        Self {
            generations: options.young && remembers,
            limit: options.limit,
            allowed: options.growth_of(Bytes(0)),
            settled: false,
            full: Bytes(0),
            live: Bytes(0),
            full_yield: 0,
            young_yield: u64::MAX,
            work: 0,
            late: 0,
            wait: 0,
            allocated: 0,
            preferred: 0,
            retry: 1,
            unable: 0,
            objects: 0,
            open: 0,
            open_next: 1,
            stress: options.stress.is_some(),
            since_full: 0,
        }
    }

    /// The next cycle, where this is asked for.
    pub(super) fn plan(&self, wanted: Wanted) -> Plan {
        if !self.generations || !self.settled || self.unable > 0 || wanted == Wanted::Full {
            return Plan::FULL;
        }
        if self.stress {
            let is_due = self.since_full >= STRESS_YOUNG && wanted == Wanted::Any;
            let young = Plan { scope: Scope::Young, in_pause: self.since_full % 2 == 1 };
            return if is_due { Plan::FULL } else { young };
        }
        let room = self.limit.0.saturating_sub(self.full.0) / 2;
        let allowed = self.allowed.0.min(room);
        let grown = self.live.0.saturating_sub(self.full.0) >= allowed;
        if wanted == Wanted::Any && (grown || self.prefers_full() || self.open > 0) {
            return Plan::FULL;
        }
        Plan { scope: Scope::Young, in_pause: self.work <= LITTLE && self.wait == 0 }
    }

    /// What is live now, as far as is known.
    pub(super) fn live(&self) -> Bytes {
        self.live
    }

    /// Whether pages are open from the end of the last snapshot to the next cycle.
    pub(super) fn opens_pages(&self) -> bool {
        self.open > 0 && !self.stress
    }

    fn prefers_full(&self) -> bool {
        self.young_yield < self.full_yield && self.preferred < self.retry
    }

    /// Learns of a cycle that has ended. How many bytes may be allocated until the next one.
    pub(super) fn learn(&mut self, options: &Options, record: &CycleRecord) -> Bytes {
        let marked = record.marked_bytes;
        let young = record.allocated_bytes.saturating_sub(self.allocated);
        self.allocated = record.allocated_bytes;
        let counted = record.marked_objects + record.remembered_objects + record.remembered_pages / 4;
        let was_late = record.tried_ms > 0.0;
        let was_unable = record.fallback.is_some() || record.untracked.is_some();
        self.unable = if was_unable { RETRY } else { self.unable.saturating_sub(1) };
        let work = FIXED + counted;
        match record.scope {
            _ if record.failure.is_some() => self.settled = false,
            Scope::Full => {
                self.full_yield = (self.live.0 as u64 + young).saturating_sub(marked) / work;
                self.preferred = if self.prefers_full() { self.preferred + 1 } else { 0 };
                (self.settled, self.since_full) = (true, 0);
                (self.full, self.live) = (Bytes(marked as usize), Bytes(marked as usize));
                self.objects = record.marked_objects;
                self.open = self.open.saturating_sub(1);
                self.allowed = options.growth_of(self.full);
            }
            Scope::Young => {
                (self.since_full, self.preferred) = (self.since_full + 1, 0);
                self.young_yield = young.saturating_sub(marked) / work;
                let yields_less = self.young_yield < self.full_yield;
                self.retry = if yields_less { (self.retry * 2).min(RETRY) } else { 1 };
                // What survives, and what is written to, is more the more was allocated.
                let nursery = Options::NURSERY.0 as u64;
                self.work = if young > nursery { counted * nursery / young } else { counted };
                if was_late {
                    self.late += 1;
                    self.wait = 1 << self.late.min(LATE_MOST);
                } else {
                    self.late = if record.in_pause { 0 } else { self.late };
                    self.wait = self.wait.saturating_sub(1);
                }
                self.live = Bytes(self.live.0 + marked as usize);
                self.objects += record.marked_objects;
                // Where the kernel only tracks what is written, nothing traps, and nothing can be opened.
                let most_are_written = record.snapshot == Snapshot::Preimage
                    && record.remembered_objects >= self.objects / 2
                    && record.remembered_pages > FEW_PAGES;
                if self.open > 0 {
                    // One that was asked for: what was open counts as written, and says nothing.
                    self.open -= 1;
                } else if !most_are_written {
                    (self.open, self.open_next) = (0, 1);
                } else {
                    (self.open, self.open_next) = (self.open_next, (self.open_next * 2).min(OPEN_MOST));
                }
            }
        }
        let next = self.plan(Wanted::Any);
        let was_for_nothing = record.scope == Scope::Young && next == Plan::FULL && self.prefers_full();
        options.headroom(self.live, if was_for_nothing { Headroom::Nursery } else { next.into() })
    }
}

impl From<Plan> for Headroom {
    fn from(plan: Plan) -> Self {
        match plan {
            Plan { in_pause: true, .. } => Self::Nursery,
            Plan { scope: Scope::Young, .. } => Self::Quarter,
            Plan { scope: Scope::Full, .. } => Self::Double,
        }
    }
}

/// How much may be allocated before a cycle.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Headroom {
    /// Little: the cycle costs next to nothing, and memory that is used again soon is still in the processor's caches. Or it is to
    /// free what the last one did not.
    Nursery,
    /// A quarter of what is live.
    Quarter,
    /// As much as is live.
    Double,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn options() -> Options {
        Options::new(Bytes::mib(4000))
    }

    /// Lets the policy learn of a cycle of its choice, after 100 MiB of allocation, that marked so many MiB in objects of 64
    /// bytes.
    fn cycle(policy: &mut Policy, allocated: &mut u64, marked_mib: u64, failed: bool) -> Plan {
        *allocated += 100 * MIB;
        let plan = policy.plan(Wanted::Any);
        let mut record = CycleRecord::new(1, plan.scope, Snapshot::Preimage);
        (record.marked_bytes, record.marked_objects) = (marked_mib * MIB, marked_mib * MIB / 64);
        record.allocated_bytes = *allocated;
        record.failure = failed.then(|| "killed".into());
        policy.learn(&options(), &record);
        plan
    }

    #[test]
    fn young_cycles_go_on_until_what_is_old_has_doubled() {
        let (mut policy, mut allocated) = (Policy::new(&options(), true), 0);
        assert_eq!(cycle(&mut policy, &mut allocated, 200, false), Plan::FULL);
        for _ in 0..10 {
            assert_eq!(cycle(&mut policy, &mut allocated, 20, false).scope, Scope::Young);
        }
        assert_eq!(cycle(&mut policy, &mut allocated, 210, false), Plan::FULL);
    }

    #[test]
    fn where_objects_die_old_cycles_are_full_and_a_young_one_is_tried_now_and_then() {
        let (mut policy, mut allocated) = (Policy::new(&options(), true), 0);
        let scopes: Vec<_> = (0..40)
            .map(|_| {
                let marked = if policy.plan(Wanted::Any).scope == Scope::Young { 100 } else { 200 };
                cycle(&mut policy, &mut allocated, marked, false).scope
            })
            .collect();
        let young = scopes.iter().filter(|scope| **scope == Scope::Young).count();
        assert!((3..=8).contains(&young), "{scopes:?}");
    }

    #[test]
    fn while_nothing_dies_cycles_are_of_the_young() {
        let (mut policy, mut allocated) = (Policy::new(&options(), true), 0);
        cycle(&mut policy, &mut allocated, 100, false);
        cycle(&mut policy, &mut allocated, 100, false);
        assert_eq!(policy.plan(Wanted::Any).scope, Scope::Full, "it has doubled");
        cycle(&mut policy, &mut allocated, 300, false);
        for _ in 0..3 {
            assert_eq!(cycle(&mut policy, &mut allocated, 100, false).scope, Scope::Young);
        }
        assert_eq!(policy.plan(Wanted::Any).scope, Scope::Full);
    }

    #[test]
    fn where_most_pages_are_written_to_they_are_open_between_snapshots() {
        let (mut policy, mut allocated) = (Policy::new(&options(), true), 0);
        let mut cycle = |most_are_written: bool| {
            allocated += 100 * MIB;
            let plan = policy.plan(Wanted::Any);
            let mut record = CycleRecord::new(1, plan.scope, Snapshot::Preimage);
            let full = plan.scope == Scope::Full;
            record.marked_objects = if full { 1_000_000 } else { 10 };
            (record.marked_bytes, record.allocated_bytes) = (record.marked_objects * 64, allocated);
            if !full && most_are_written {
                (record.remembered_objects, record.remembered_pages) = (900_000, 15_000);
            }
            policy.learn(&options(), &record);
            (plan.scope, policy.opens_pages())
        };
        assert_eq!(cycle(true), (Scope::Full, false), "nothing is known");
        for open in [1, 2, 4, 8, 16, 16] {
            assert_eq!(cycle(true), (Scope::Young, true), "seen, before {open}");
            for left in (0..open).rev() {
                assert_eq!(cycle(true), (Scope::Full, left > 0));
            }
        }
        assert_eq!(cycle(false), (Scope::Young, false), "the program has changed its ways");
        assert_eq!(cycle(false), (Scope::Young, false));
        assert_eq!(cycle(true), (Scope::Young, true));
        assert_eq!(cycle(true), (Scope::Full, false), "begins anew");
    }

    #[test]
    fn also_where_all_cycles_are_young_on_request_pages_are_armed_now_and_then() {
        let (mut policy, mut allocated) = (Policy::new(&options(), true), 0);
        cycle(&mut policy, &mut allocated, 100, false);
        let mut looks = Vec::new();
        for k in 0..40 {
            assert_eq!(policy.plan(Wanted::Young).scope, Scope::Young);
            let was_open = policy.opens_pages();
            let mut record = CycleRecord::new(1, Scope::Young, Snapshot::Preimage);
            // The program writes to nothing old after a while; what was open counts as written.
            if was_open || k < 20 {
                (record.remembered_objects, record.remembered_pages) = (1 << 40, 1 << 20);
            }
            policy.learn(&options(), &record);
            if !was_open {
                looks.push(k);
            }
        }
        assert_eq!(looks[..5], [0, 2, 5, 10, 19]);
        assert_eq!(looks[5..], (36..40).collect::<Vec<_>>(), "the program has changed its ways");
    }

    #[test]
    fn little_work_is_done_in_the_pause() {
        let (mut policy, mut allocated) = (Policy::new(&options(), true), 0);
        cycle(&mut policy, &mut allocated, 100, false);
        assert!(policy.plan(Wanted::Any).in_pause, "it is tried");
        cycle(&mut policy, &mut allocated, 20, false);
        assert!(!policy.plan(Wanted::Any).in_pause);
        cycle(&mut policy, &mut allocated, 0, false);
        assert!(policy.plan(Wanted::Any).in_pause);
    }

    #[test]
    fn the_oftener_it_was_too_much_the_longer_it_is_not_tried() {
        let (mut policy, mut allocated) = (Policy::new(&options(), true), 0);
        cycle(&mut policy, &mut allocated, 100, false);
        let mut tries = Vec::new();
        for k in 0..30 {
            let plan = policy.plan(Wanted::Any);
            if plan.in_pause {
                tries.push(k);
            }
            allocated += 100 * MIB;
            let mut record = CycleRecord::new(1, Scope::Young, Snapshot::Preimage);
            (record.allocated_bytes, record.tried_ms) = (allocated, f64::from(u8::from(plan.in_pause)));
            policy.learn(&options(), &record);
        }
        assert_eq!(tries, [0, 3, 8, 17]);
    }

    #[test]
    fn in_a_tight_heap_a_full_cycle_comes_before_the_room_is_used_up() {
        let tight = Options::new(Bytes::mib(300));
        let (mut policy, mut allocated) = (Policy::new(&tight, true), 0);
        cycle(&mut policy, &mut allocated, 200, false);
        assert_eq!(cycle(&mut policy, &mut allocated, 40, false).scope, Scope::Young);
        assert_eq!(cycle(&mut policy, &mut allocated, 10, false).scope, Scope::Young);
        assert_eq!(policy.plan(Wanted::Any), Plan::FULL);
    }

    #[test]
    fn where_the_young_cannot_be_told_cycles_are_full_for_some_time() {
        let (mut policy, mut allocated) = (Policy::new(&options(), true), 0);
        cycle(&mut policy, &mut allocated, 200, false);
        let mut record = CycleRecord::new(2, Scope::Full, Snapshot::StopTheWorld);
        (record.marked_bytes, record.allocated_bytes) = (200 * MIB, allocated + MIB);
        record.fallback = Some("pages cannot be armed".into());
        let headroom = policy.learn(&options(), &record);
        assert_eq!((policy.plan(Wanted::Young), headroom), (Plan::FULL, Bytes::mib(200)));
        for _ in 0..RETRY {
            assert_eq!(cycle(&mut policy, &mut allocated, 200, false), Plan::FULL);
        }
        assert_eq!(policy.plan(Wanted::Young).scope, Scope::Young);
    }

    #[test]
    fn after_a_failure_and_without_a_remembered_set_cycles_are_full() {
        let (mut policy, mut allocated) = (Policy::new(&options(), true), 0);
        cycle(&mut policy, &mut allocated, 200, false);
        assert_eq!(cycle(&mut policy, &mut allocated, 0, true).scope, Scope::Young);
        assert_eq!(policy.plan(Wanted::Any), Plan::FULL);
        cycle(&mut policy, &mut allocated, 200, false);
        assert_eq!(policy.plan(Wanted::Any).scope, Scope::Young);

        let mut policy = Policy::new(&options(), false);
        cycle(&mut policy, &mut allocated, 200, false);
        assert_eq!(policy.plan(Wanted::Any), Plan::FULL);
        let mut policy = Policy::new(&Options { young: false, ..options() }, true);
        cycle(&mut policy, &mut allocated, 200, false);
        assert_eq!(policy.plan(Wanted::Any), Plan::FULL);
    }
}
