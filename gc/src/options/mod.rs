//! What an embedder can choose, and the user of its program.
//!
//! Options have one table, whichever way they come:
//!
//! * calls of [`HeapBuilder`](crate::HeapBuilder), which win over
//! * a string given to [`HeapBuilder::options`](crate::HeapBuilder::options), which wins over
//! * the environment: `PALIMPSEST_RUNG`, and then [`VARIABLE`], which has such a string; which win over
//! * the defaults.
//!
//! A string is a list of `name=value`, with commas between them: `limit=512M,cycle-every=64M,rung=preimage/signal`. Sizes are
//! bytes, or have K, M, G or T (binary) behind them; durations have us, ms or s. Of two equal names the last counts. [`all`]
//! lists the options; [`help`] does so for a help text.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use palimpsest::{Bytes, Heap, PlainPointers};
//! let heap = Heap::builder(PlainPointers).options("limit=32M,cycle-every=4M")?.build()?;
//! assert_eq!(heap.limit(), Bytes::mib(32));
//!
//! let wrong = palimpsest::options::check("limt=32M").unwrap_err();
//! assert!(wrong.to_string().starts_with("unknown option `limt`; did you mean `limit`?"));
//! # Ok(())
//! # }
//! ```

mod error;
mod read;
mod table;
mod value;

pub use error::OptionError;
pub(crate) use read::{Given, Source};
pub(crate) use table::Row;
pub(crate) use table::{
    CYCLE_EVERY, GROWTH, HOST_FORK, IDLE_AFTER, LEAF_HUGE_PAGES, LIMIT, MIN_HEADROOM, POISON, PREIMAGE_LIMIT,
    RESERVE, RUNG, SOFT_LIMIT, STRESS, VERIFY, WORKER_CHAOS, WORKER_PATIENCE, WORKERS, YOUNG,
};
pub use table::{Descriptor, Group, all};
pub(crate) use value::Value;

use crate::cycle::policy::Headroom;
use crate::host_fork::HostFork;
use crate::unit::BLOCK;
use palimpsest_runtime::Bytes;
use palimpsest_runtime::ladder::Wish;
use palimpsest_runtime::sys::process::Strike;
use palimpsest_runtime::sys::{clock, futex, limits};
use palimpsest_runtime::worker::{Fate, MAX_WORKERS, Worker};
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// The environment variable with options for all heaps of the process, where the program itself does not set them.
pub const VARIABLE: &str = "PALIMPSEST_OPTIONS";

/// Looks at an option string without using it, as for a command line's parser.
///
/// # Errors
/// Where an option is unknown or does not take its value.
pub fn check(text: &str) -> Result<(), OptionError> {
    Options::new(default_limit()).read(&mut Given::default(), text, Source::Text)
}

/// The options as a section of a help text, a few lines each.
pub fn help() -> impl fmt::Display {
    Help
}

struct Help;

impl fmt::Display for Help {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Options of the collector, as name=value with commas between them, here and in {VARIABLE}:"
        )?;
        for option in all() {
            let Descriptor { name, value, default, meaning, .. } = option;
            write!(f, "  {name}={value}\n          {meaning} [default: {default}]\n")?;
        }
        f.write_str("A SIZE is in bytes, or has K, M, G or T (binary) behind it; a DURATION has us, ms or s.")
    }
}

/// Half of the memory that the process may use.
pub(crate) fn default_limit() -> Bytes {
    Bytes(limits::physical_memory().0 / 2).min(table::MOST_LIMIT)
}

/// Misfortune for workers, dealt out at random, to show that it loses nothing.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Chaos {
    /// One worker in so many is killed or stopped at a random moment.
    one_in: Option<u32>,
}

impl Chaos {
    pub(crate) fn one_in(n: u32) -> Self {
        Self { one_in: Some(n) }
    }

    pub(crate) fn odds(&self) -> Option<u32> {
        self.one_in
    }

    /// Perhaps strikes a worker that has just been forked.
    pub(crate) fn strike(&self, worker: &Worker<'_>) {
        let Some(n) = self.one_in else { return };
        let random = clock::monotonic_ns().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        if random.is_multiple_of(n.into()) {
            futex::nap(Duration::from_micros(random / 64 % 2_000));
            if random & 1 == 0 { worker.kill() } else { worker.stop() }
        }
    }

    /// What befalls the siblings of a worker that is about to be forked.
    pub(crate) fn fates(&self) -> [Fate; MAX_WORKERS] {
        let Some(n) = self.one_in else { return [Fate::NONE; MAX_WORKERS] };
        let seed = clock::monotonic_ns();
        std::array::from_fn(|k| {
            let random = (seed + k as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            if !random.is_multiple_of(n.into()) {
                return Fate::NONE;
            }
            // Early as a rule, when there is little to do.
            let steps = 1 << (random / 64 % 8);
            Fate::after(steps, if random & 32 == 0 { Strike::Kill } else { Strike::Stop })
        })
    }
}

/// Above the soft limit at least so much is allocated between cycles, and a sixteenth of what is live, so that marking does not
/// cost more than sixteen times what allocation gains.
const SOFT_HEADROOM: Bytes = Bytes::mib(1);

/// The reserve, by default a sixty-fourth of the limit, is not smaller than this nor larger than that: two blocks, and four
/// mebibytes.
const RESERVES: [Bytes; 2] = [Bytes(2 * BLOCK), Bytes::mib(4)];

/// Nanoseconds, bytes and switches, with defaults that are meant to be left alone.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Options {
    pub(crate) limit: Bytes,
    /// Which rungs to try, where the embedder forces one.
    pub(crate) rung: Option<Wish>,
    pub(crate) cycle_every: Option<Bytes>,
    /// Whether there are cycles of the young, where the heap remembers what is written.
    pub(crate) young: bool,
    /// Above this the collector works harder.
    pub(crate) soft_limit: Option<Bytes>,
    /// What is allocated between cycles, in percent of what is live.
    pub(crate) growth: u32,
    /// What is allocated between cycles at least.
    pub(crate) min_headroom: Bytes,
    /// The part of the limit that only `Mutator::with_reserve` may use.
    pub(crate) reserve: Option<Bytes>,
    /// After how long without a cycle and without allocation all free memory is given back.
    pub(crate) idle_after: Duration,
    /// Whether the leaf half is to have huge pages.
    pub(crate) leaf_huge_pages: bool,
    /// What children have of the heap.
    pub(crate) host_fork: HostFork,
    pub(crate) preimage_limit: Option<Bytes>,
    /// A cycle every so many allocations, verified.
    pub(crate) stress: Option<u64>,
    pub(crate) poison: bool,
    /// Verify the heap after every cycle.
    pub(crate) verify: bool,
    /// What befalls workers, for tests.
    pub(crate) chaos: Chaos,
    /// How long a worker may make no progress.
    pub(crate) patience: Duration,
    /// How long writers may wait for the pre-image pool before the cycle is given up.
    pub(crate) stall_limit: Duration,
    /// How much lower than the mutators' the worker's priority is.
    pub(crate) worker_nice: i32,
    /// Workers that mark, where the embedder says how many.
    pub(crate) workers: Option<u32>,
    /// Packets for marking, where a test wants few.
    pub(crate) mark_packets: Option<usize>,
}

/// Workers of a heap that does not say how many, on so many processors: a quarter of them, and one where there are few, so that
/// most are left to the program.
fn workers_for(processors: usize) -> u32 {
    if processors <= 2 { 1 } else { processors.div_ceil(4).min(MAX_WORKERS) as u32 }
}

impl Options {
    /// What is allocated between cycles at least.
    pub(crate) const MIN_HEADROOM: Bytes = Bytes::mib(16);
    /// What is allocated before a cycle of the young that is marked in the pause.
    pub(crate) const NURSERY: Bytes = Bytes::mib(16);

    pub(crate) fn new(limit: Bytes) -> Self {
        Self {
            limit,
            rung: None,
            cycle_every: None,
            young: true,
            soft_limit: None,
            growth: 100,
            min_headroom: Self::MIN_HEADROOM,
            reserve: None,
            idle_after: Duration::from_secs(5),
            leaf_huge_pages: false,
            host_fork: HostFork::default(),
            preimage_limit: None,
            stress: None,
            poison: false,
            verify: false,
            chaos: Chaos::default(),
            patience: Duration::from_secs(10),
            stall_limit: Duration::from_millis(100),
            worker_nice: 10,
            workers: None,
            mark_packets: None,
        }
    }

    /// The bound of the pre-image pool.
    pub(crate) fn preimage_limit(&self) -> Bytes {
        self.preimage_limit.unwrap_or(Bytes(self.limit.0 / 2))
    }

    /// Workers that mark a snapshot.
    pub(crate) fn workers(&self) -> u32 {
        self.workers.unwrap_or_else(Self::default_workers)
    }

    /// The same where the embedder does not say how many. Asks the system, once.
    fn default_workers() -> u32 {
        // No `OnceLock`: a child that is forked while another thread is at this would wait for that thread for ever.
        static WORKERS: AtomicU32 = AtomicU32::new(0);
        let known = WORKERS.load(Relaxed);
        if known > 0 {
            return known;
        }
        let workers = workers_for(limits::processors());
        WORKERS.store(workers, Relaxed);
        workers
    }

    /// Packets of references for marking. An object is queued at most once, so an eighth of the heap in references of
    /// eight bytes is room for one object in 64 bytes being queued at a time; beyond that marking gets slower, not wrong.
    pub(crate) fn mark_packets(&self) -> usize {
        self.mark_packets.unwrap_or(self.limit.0 / 8 / crate::mark::PACKET_BYTES).max(1)
    }

    /// How much is allocated before the first cycle.
    pub(crate) fn first_cycle_at(&self) -> Bytes {
        self.headroom(Bytes(0), Headroom::Double)
    }

    /// How much more may be live before the growth policy wants a full cycle, with so much live after the last one.
    pub(crate) fn growth_of(&self, live: Bytes) -> Bytes {
        let growth = (live.0 as u128 * u128::from(self.growth) / 100).min(usize::MAX as u128) as usize;
        self.below_soft_limit(live, Bytes(growth.max(self.min_headroom())))
    }

    fn min_headroom(&self) -> usize {
        self.min_headroom.0.max(BLOCK)
    }

    /// So much, but not beyond the soft limit; above it, little.
    fn below_soft_limit(&self, live: Bytes, headroom: Bytes) -> Bytes {
        let Some(soft) = self.soft_limit else { return headroom };
        let least = SOFT_HEADROOM.0.max(live.0 / 16);
        headroom.min(Bytes(soft.0.saturating_sub(live.0).max(least)))
    }

    /// How much is allocated from the end of a cycle to the beginning of the next, with so much live: as the growth policy
    /// says, but not beyond the soft limit, and no more than half of the room there is, since allocation goes on during the
    /// cycle.
    pub(crate) fn headroom(&self, live: Bytes, share: Headroom) -> Bytes {
        let room = self.limit.0.saturating_sub(self.reserve().0).saturating_sub(live.0) / 2;
        let share = match share {
            Headroom::Nursery => self.below_soft_limit(live, Self::NURSERY),
            Headroom::Quarter => {
                let least = Bytes(self.min_headroom());
                self.below_soft_limit(live, Bytes(self.growth_of(live).0 / 4).max(least))
            }
            Headroom::Double => self.growth_of(live),
        };
        Bytes(self.cycle_every.map_or(share, |every| every).0.min(room))
    }

    /// How much memory free blocks keep after a cycle that found so much live, with so much to be allocated until the next
    /// begins: what will be allocated until that has ended, which is half as much again, or as much as it was the last time.
    /// Nothing where that would exceed the soft limit.
    pub(crate) fn keep(&self, live: Bytes, headroom: Bytes, last: Bytes) -> Bytes {
        let keep = (headroom.0 + headroom.0 / 2).max(last.0);
        Bytes(if self.soft_limit.is_some_and(|soft| live.0 + headroom.0 > soft.0) { 0 } else { keep })
    }

    /// The part of the limit that only `Mutator::with_reserve` may use.
    pub(crate) fn reserve(&self) -> Bytes {
        let [least, most] = RESERVES;
        let wanted = self.reserve.unwrap_or(Bytes((self.limit.0 / 64).clamp(least.0, most.0)));
        wanted.min(Bytes(self.limit.0 / 2))
    }
}

/// As a string that gives the same options: the limit, and whatever else is not as it would be by itself.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = Self::new(Bytes(0));
        let mut comma = "";
        for row in &table::ROWS {
            // Stress by itself turns these on, whatever they are here.
            let follows = self.stress.is_some() && ["verify", "poison"].contains(&row.about().name);
            if let Some(value) = row.show(self)
                && (follows || row.show(&plain) != Some(value.clone()))
            {
                write!(f, "{comma}{}={value}", row.about().name)?;
                comma = ",";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_follow_the_processors() {
        let workers = [1, 2, 3, 4, 5, 8, 16, 64].map(workers_for);
        assert_eq!(workers, [1, 1, 1, 1, 2, 2, 4, 8]);
    }

    #[test]
    fn headroom_follows_what_is_live_and_the_room_there_is() {
        let mut options = Options::new(Bytes::mib(1000));
        options.reserve = Some(Bytes(0));
        let headroom = |options: &Options, live| options.headroom(live, Headroom::Double);
        assert_eq!(headroom(&options, Bytes(0)), Options::MIN_HEADROOM);
        assert_eq!(headroom(&options, Bytes::mib(200)), Bytes::mib(200));
        assert_eq!(headroom(&options, Bytes::mib(900)), Bytes::mib(50));
        assert_eq!(options.headroom(Bytes::mib(400), Headroom::Quarter), Bytes::mib(100));
        options.cycle_every = Some(Bytes::mib(8));
        assert_eq!(headroom(&options, Bytes::mib(200)), Bytes::mib(8));
        assert_eq!(headroom(&options, Bytes::mib(1000)), Bytes(0));
    }

    #[test]
    fn growth_and_the_least_are_policy() {
        let mut options = Options::new(Bytes::mib(1000));
        let headroom = |options: &Options, live| options.headroom(live, Headroom::Double);
        (options.growth, options.min_headroom, options.reserve) = (50, Bytes::mib(4), Some(Bytes(0)));
        assert_eq!(headroom(&options, Bytes(0)), Bytes::mib(4));
        assert_eq!(headroom(&options, Bytes::mib(200)), Bytes::mib(100));
        (options.growth, options.min_headroom) = (u32::MAX, Bytes(0));
        assert_eq!(headroom(&options, Bytes::mib(200)), Bytes::mib(400), "half of the room");
        options.growth = 0;
        assert_eq!(headroom(&options, Bytes::mib(200)), Bytes(BLOCK));
    }

    #[test]
    fn above_the_soft_limit_cycles_are_close_and_nothing_is_kept() {
        let mut options = Options::new(Bytes::mib(1000));
        let headroom = |options: &Options, live| options.headroom(live, Headroom::Double);
        options.soft_limit = Some(Bytes::mib(100));
        assert_eq!(headroom(&options, Bytes::mib(10)), Options::MIN_HEADROOM);
        assert_eq!(options.keep(Bytes::mib(10), Bytes::mib(32), Bytes(0)), Bytes::mib(48));
        assert_eq!(
            options.keep(Bytes::mib(10), Bytes::mib(32), Bytes::mib(70)),
            Bytes::mib(70),
            "as the last time"
        );
        assert_eq!(headroom(&options, Bytes::mib(90)), Bytes::mib(10), "up to the soft limit");
        assert_eq!(headroom(&options, Bytes::mib(99)), Bytes(99 << 16), "a sixteenth");
        assert_eq!(headroom(&options, Bytes::mib(160)), Bytes::mib(10));
        assert_eq!(options.keep(Bytes::mib(160), Bytes::mib(10), Bytes::mib(7)), Bytes(0));
        options.soft_limit = Some(Bytes(0));
        assert_eq!(headroom(&options, Bytes(0)), SOFT_HEADROOM);
    }

    #[test]
    fn the_reserve_is_small_and_never_most_of_the_heap() {
        let reserve = |limit: Bytes, reserve: Option<Bytes>| {
            let mut options = Options::new(limit);
            options.reserve = reserve;
            options.reserve()
        };
        assert_eq!(reserve(Bytes::mib(1), None), Bytes(2 * BLOCK));
        assert_eq!(reserve(Bytes::mib(64), None), Bytes::mib(1));
        assert_eq!(reserve(Bytes::mib(1 << 20), None), Bytes::mib(4));
        assert_eq!(reserve(Bytes::mib(8), Some(Bytes::mib(100))), Bytes::mib(4));
        assert_eq!(reserve(Bytes::mib(8), Some(Bytes(0))), Bytes(0));
    }
}
