//! When to make a full cycle, when one of the young, and how much is allocated in between.
//!
//! A cycle of the young costs what is young and survives, and what is written to old objects; it frees what is young and does
//! not survive. Old objects that die stay until a full cycle. So cycles are of the young while that pays:
//!
//! * *by growth*: what is old has not grown by more than the heap's growth since the last full cycle, as it would have been let
//!   grow without generations, nor by more than half of the room that the limit left then;
//! * *by survival*: the last cycle of the young freed at least half of what it could have. Where most survives, a program is
//!   building something, or its objects die old, and a full cycle comes after half of that growth.

use crate::options::Options;
use crate::stats::{CycleRecord, Scope};
use palimpsest_runtime::Bytes;

/// What the collector knows of the program's objects, and plans with.
#[derive(Debug)]
pub(super) struct Policy {
    /// Whether there can be cycles of the young at all.
    generations: bool,
    limit: Bytes,
    /// A full cycle has ended well, and none has failed since.
    settled: bool,
    /// Live after the last full cycle; and now, as far as is known.
    full: Bytes,
    live: Bytes,
    /// What the last cycle of the young promoted, of each hundred bytes that were young.
    survival: u64,
    /// Bytes allocated when the last cycle ended.
    allocated: u64,
    /// In the stress mode every so many cycles are full, and growth and survival do not matter.
    stress: bool,
    since_full: u32,
}

/// In the stress mode: cycles of the young between two full ones.
const STRESS_YOUNG: u32 = 3;

/// Survivors, of a hundred bytes, that are many.
const MANY: u64 = 50;

impl Policy {
    /// For a new heap, which may have `remembered` pages.
    pub(super) fn new(options: &Options, remembers: bool) -> Self {
        Self {
            generations: options.young && remembers,
            limit: options.limit,
            settled: false,
            full: Bytes(0),
            live: Bytes(0),
            survival: 0,
            allocated: 0,
            stress: options.stress.is_some(),
            since_full: 0,
        }
    }

    /// The next cycle's scope, where nobody asks for a full one.
    pub(super) fn scope(&self) -> Scope {
        if !self.generations || !self.settled {
            return Scope::Full;
        }
        let due = if self.stress {
            self.since_full >= STRESS_YOUNG
        } else {
            let growth = self.live.0.saturating_sub(self.full.0);
            let room = self.limit.0.saturating_sub(self.full.0) / 2;
            let allowed = self.full.max(Options::MIN_HEADROOM).0.min(room);
            growth >= if self.survival > MANY { allowed / 2 } else { allowed }
        };
        if due { Scope::Full } else { Scope::Young }
    }

    /// Learns of a cycle that has ended, when so many bytes have been allocated since the heap was made. How many may be
    /// allocated until the next one.
    pub(super) fn learn(&mut self, options: &Options, record: &CycleRecord, allocated: u64) -> Bytes {
        let marked = Bytes(record.marked_bytes as usize);
        let young = allocated.saturating_sub(self.allocated).max(1);
        self.allocated = allocated;
        match record.scope {
            _ if record.failure.is_some() => self.settled = false,
            Scope::Full => {
                (self.settled, self.since_full, self.survival) = (true, 0, 0);
                (self.full, self.live) = (marked, marked);
            }
            Scope::Young => {
                self.since_full += 1;
                self.survival = record.marked_bytes * 100 / young;
                self.live = Bytes(self.live.0 + marked.0);
            }
        }
        options.headroom(self.live, self.scope())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palimpsest_runtime::ladder::Snapshot;

    const MIB: u64 = 1 << 20;

    fn options() -> Options {
        Options::new(Bytes::mib(4000))
    }

    /// Lets the policy learn of a cycle of its choice that marked so much.
    fn cycle(policy: &mut Policy, allocated: &mut u64, marked_mib: u64, failed: bool) -> Scope {
        *allocated += 100 * MIB;
        let mut record = CycleRecord::new(1, policy.scope(), Snapshot::Preimage);
        record.marked_bytes = marked_mib * MIB;
        record.failure = failed.then(|| "killed".into());
        policy.learn(&options(), &record, *allocated);
        record.scope
    }

    #[test]
    fn young_cycles_go_on_until_what_is_old_has_doubled() {
        let (mut policy, mut allocated) = (Policy::new(&options(), true), 0);
        assert_eq!(cycle(&mut policy, &mut allocated, 200, false), Scope::Full);
        for _ in 0..10 {
            assert_eq!(cycle(&mut policy, &mut allocated, 20, false), Scope::Young);
        }
        assert_eq!(cycle(&mut policy, &mut allocated, 210, false), Scope::Full);
    }

    #[test]
    fn where_most_survives_a_full_cycle_comes_earlier() {
        let (mut policy, mut allocated) = (Policy::new(&options(), true), 0);
        cycle(&mut policy, &mut allocated, 200, false);
        assert_eq!(cycle(&mut policy, &mut allocated, 90, false), Scope::Young);
        assert_eq!(cycle(&mut policy, &mut allocated, 90, false), Scope::Young);
        assert_eq!(policy.scope(), Scope::Full);
    }

    #[test]
    fn in_a_tight_heap_a_full_cycle_comes_before_the_room_is_used_up() {
        let tight = Options::new(Bytes::mib(300));
        let (mut policy, mut allocated) = (Policy::new(&tight, true), 0);
        cycle(&mut policy, &mut allocated, 200, false);
        assert_eq!(cycle(&mut policy, &mut allocated, 40, false), Scope::Young);
        assert_eq!(cycle(&mut policy, &mut allocated, 10, false), Scope::Young);
        assert_eq!(policy.scope(), Scope::Full);
    }

    #[test]
    fn after_a_failure_and_without_a_remembered_set_cycles_are_full() {
        let (mut policy, mut allocated) = (Policy::new(&options(), true), 0);
        cycle(&mut policy, &mut allocated, 200, false);
        assert_eq!(cycle(&mut policy, &mut allocated, 0, true), Scope::Young);
        assert_eq!(policy.scope(), Scope::Full);
        cycle(&mut policy, &mut allocated, 200, false);
        assert_eq!(policy.scope(), Scope::Young);

        let mut policy = Policy::new(&options(), false);
        cycle(&mut policy, &mut allocated, 200, false);
        assert_eq!(policy.scope(), Scope::Full);
        let mut policy = Policy::new(&Options { young: false, ..options() }, true);
        cycle(&mut policy, &mut allocated, 200, false);
        assert_eq!(policy.scope(), Scope::Full);
    }
}
