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
    CYCLE_EVERY, HOST_FORK, LIMIT, POISON, PREIMAGE_LIMIT, RUNG, STRESS, VERIFY, WORKER_CHAOS,
    WORKER_PATIENCE, YOUNG,
};
pub use table::{Descriptor, Group, all};
pub(crate) use value::Value;

use crate::cycle::policy::Headroom;
use crate::host_fork::HostFork;
use palimpsest_runtime::Bytes;
use palimpsest_runtime::ladder::Wish;
use palimpsest_runtime::sys::{clock, limits};
use palimpsest_runtime::worker::Worker;
use std::fmt;
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
            std::thread::sleep(Duration::from_micros(random / 64 % 2_000));
            if random & 1 == 0 { worker.kill() } else { worker.stop() }
        }
    }
}

/// Nanoseconds, bytes and switches, with defaults that are meant to be left alone.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Options {
    pub(crate) limit: Bytes,
    /// Which rungs to try, where the embedder forces one.
    pub(crate) rung: Option<Wish>,
    pub(crate) cycle_every: Option<Bytes>,
    /// Whether there are cycles of the young, where the heap remembers what is written.
    pub(crate) young: bool,
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
    /// Packets for marking, where a test wants few.
    pub(crate) mark_packets: Option<usize>,
}

impl Options {
    /// What is allocated between cycles at least.
    pub(crate) const MIN_HEADROOM: Bytes = Bytes::mib(32);
    /// What is allocated before a cycle of the young that is marked in the pause.
    pub(crate) const NURSERY: Bytes = Bytes::mib(16);

    pub(crate) fn new(limit: Bytes) -> Self {
        Self {
            limit,
            rung: None,
            cycle_every: None,
            young: true,
            host_fork: HostFork::default(),
            preimage_limit: None,
            stress: None,
            poison: false,
            verify: false,
            chaos: Chaos::default(),
            patience: Duration::from_secs(10),
            stall_limit: Duration::from_millis(100),
            worker_nice: 10,
            mark_packets: None,
        }
    }

    /// The bound of the pre-image pool.
    pub(crate) fn preimage_limit(&self) -> Bytes {
        self.preimage_limit.unwrap_or(Bytes(self.limit.0 / 2))
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

    /// How much is allocated from the end of a cycle to the beginning of the next, with so much live: no more than half of the
    /// room there is, since allocation goes on during the cycle.
    pub(crate) fn headroom(&self, live: Bytes, share: Headroom) -> Bytes {
        let room = Bytes(self.limit.0.saturating_sub(live.0) / 2);
        let share = match share {
            Headroom::Nursery => Self::NURSERY,
            Headroom::Quarter => Bytes(live.0 / 4).max(Self::MIN_HEADROOM),
            Headroom::Double => live.max(Self::MIN_HEADROOM),
        };
        let by_growth = share.min(room);
        self.cycle_every.map_or(by_growth, |every| every.min(room))
    }
}

/// As a string that gives the same options: the limit, and whatever else is not as it would be by itself.
impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = Self::new(Bytes(0));
        let mut comma = "";
        for row in &table::ROWS {
            if let Some(value) = row.show(self)
                && row.show(&plain) != Some(value.clone())
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
    fn headroom_follows_what_is_live_and_the_room_there_is() {
        let mut options = Options::new(Bytes::mib(1000));
        let headroom = |options: &Options, live| options.headroom(live, Headroom::Double);
        assert_eq!(headroom(&options, Bytes(0)), Options::MIN_HEADROOM);
        assert_eq!(headroom(&options, Bytes::mib(200)), Bytes::mib(200));
        assert_eq!(headroom(&options, Bytes::mib(900)), Bytes::mib(50));
        assert_eq!(options.headroom(Bytes::mib(400), Headroom::Quarter), Bytes::mib(100));
        options.cycle_every = Some(Bytes::mib(8));
        assert_eq!(headroom(&options, Bytes::mib(200)), Bytes::mib(8));
        assert_eq!(headroom(&options, Bytes::mib(1000)), Bytes(0));
    }
}
