//! The table of all options. To add one: a field of [`Options`], a row here, and its name in [`ROWS`]; a builder method, if the
//! option has one, calls `HeapBuilder::choose`.
//!
//! Reading, validation, error messages, [`all`] and with it the help texts and the table in `docs/src/tuning.md` all come from
//! here.

use super::value::{self, Value};
use super::{Chaos, Options};
use crate::host_fork::HostFork;
use palimpsest_runtime::Bytes;
use palimpsest_runtime::ladder::Wish;
use palimpsest_runtime::worker::MAX_WORKERS;
use std::time::Duration;

/// The smallest heap limit: a few blocks for each of a few threads.
const LEAST_LIMIT: Bytes = Bytes::mib(1);

/// The largest: pages and blocks are counted in 32 bits.
pub(super) const MOST_LIMIT: Bytes = Bytes::mib(4 << 20);

/// The least that is allocated between cycles, and the smallest pool of pre-images: one block.
const BLOCK: Bytes = Bytes(crate::unit::BLOCK);

/// What an option is about.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Group {
    /// How much memory is used.
    Memory,
    /// When cycles begin.
    Pacing,
    /// How snapshots are kept.
    Snapshots,
    /// What befalls workers.
    Workers,
    /// What children of the process have.
    Forks,
    /// For finding bugs.
    Testing,
}

/// What there is to know of an option without using it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Descriptor {
    /// Its name, as it is written in an option string.
    pub name: &'static str,
    /// What it takes: `SIZE`, `SIZE|SHARE%`, `COUNT`, `DURATION`, `RUNG`, or the words themselves.
    pub value: &'static str,
    /// What holds where nobody sets it, in words.
    pub default: &'static str,
    /// What it does, in a line.
    pub meaning: &'static str,
    /// What it is about.
    pub group: Group,
}

/// All options, in the order in which they are best read.
pub fn all() -> impl ExactSizeIterator<Item = &'static Descriptor> {
    ROWS.iter().map(|row| row.about())
}

/// One option: what is said of it, and how its value gets to its field.
pub(crate) struct Row<T: 'static> {
    about: Descriptor,
    read: fn(&str) -> Result<T, String>,
    least: Option<T>,
    most: Option<T>,
    put: fn(&mut Options, T),
    /// `None`: nobody has set it, and the default in words holds.
    get: fn(&Options) -> Option<T>,
}

pub(crate) static LIMIT: Row<Bytes> = Row {
    about: Descriptor {
        name: "limit",
        value: "SIZE|SHARE%",
        default: "half of the machine's memory, or of the memory cgroup's limit",
        meaning: "The most memory that objects may occupy; a share is of the machine's memory or the cgroup's limit",
        group: Group::Memory,
    },
    read: value::size_or_share_of_memory,
    least: Some(LEAST_LIMIT),
    most: Some(MOST_LIMIT),
    put: |options, bytes| options.limit = bytes,
    get: |options| Some(options.limit),
};

pub(crate) static PREIMAGE_LIMIT: Row<Bytes> = Row {
    about: Descriptor {
        name: "preimage-limit",
        value: "SIZE",
        default: "half of the heap limit",
        meaning: "The most memory that pre-images may occupy; writers wait when it is used up, and then the cycle is given up",
        group: Group::Memory,
    },
    read: Bytes::read,
    least: Some(BLOCK),
    most: Some(MOST_LIMIT),
    put: |options, bytes| options.preimage_limit = Some(bytes),
    get: |options| options.preimage_limit,
};

pub(crate) static SOFT_LIMIT: Row<Bytes> = Row {
    about: Descriptor {
        name: "soft-limit",
        value: "SIZE",
        default: "none",
        meaning: "Above it cycles come closer together and free memory goes back at once; never an error",
        group: Group::Memory,
    },
    read: Bytes::read,
    least: Some(LEAST_LIMIT),
    most: None,
    put: |options, bytes| options.soft_limit = Some(bytes),
    get: |options| options.soft_limit,
};

pub(crate) static RESERVE: Row<Bytes> = Row {
    about: Descriptor {
        name: "reserve",
        value: "SIZE",
        default: "a sixty-fourth of the heap limit, at least 128K and at most 4M",
        meaning: "The part of the limit that only Mutator::with_reserve uses; at most half",
        group: Group::Memory,
    },
    read: Bytes::read,
    least: None,
    most: Some(MOST_LIMIT),
    put: |options, bytes| options.reserve = Some(bytes),
    get: |options| options.reserve,
};

pub(crate) static IDLE_AFTER: Row<Duration> = Row {
    about: Descriptor {
        name: "idle-after",
        value: "DURATION",
        default: "5s",
        meaning: "After so long without a cycle and without allocation all free memory goes back to the system",
        group: Group::Memory,
    },
    read: Duration::read,
    least: Some(Duration::from_millis(1)),
    most: None,
    put: |options, time| options.idle_after = time,
    get: |options| Some(options.idle_after),
};

pub(crate) static LEAF_HUGE_PAGES: Row<bool> = Row {
    about: Descriptor {
        name: "leaf-huge-pages",
        value: "on|off",
        default: "off",
        meaning: "Asks for huge pages for objects without references; pauses may get longer",
        group: Group::Memory,
    },
    read: bool::read,
    least: None,
    most: None,
    put: |options, on| options.leaf_huge_pages = on,
    get: |options| Some(options.leaf_huge_pages),
};

pub(crate) static GROWTH: Row<u64> = Row {
    about: Descriptor {
        name: "growth",
        value: "COUNT",
        default: "100",
        meaning: "How much is allocated between cycles, in percent of what is live",
        group: Group::Pacing,
    },
    read: u64::read,
    least: None,
    most: Some(u32::MAX as u64),
    put: |options, percent| options.growth = u32::try_from(percent).unwrap_or(u32::MAX),
    get: |options| Some(options.growth.into()),
};

pub(crate) static MIN_HEADROOM: Row<Bytes> = Row {
    about: Descriptor {
        name: "min-headroom",
        value: "SIZE",
        default: "16M",
        meaning: "How much is allocated between cycles at least, as far as the limits allow",
        group: Group::Pacing,
    },
    read: Bytes::read,
    least: Some(BLOCK),
    most: None,
    put: |options, bytes| options.min_headroom = bytes,
    get: |options| Some(options.min_headroom),
};

pub(crate) static CYCLE_EVERY: Row<Bytes> = Row {
    about: Descriptor {
        name: "cycle-every",
        value: "SIZE",
        default: "as much as is live, at least 16M; less before cycles of the young",
        meaning: "Starts a cycle at least every so many bytes of allocation",
        group: Group::Pacing,
    },
    read: Bytes::read,
    least: Some(BLOCK),
    most: None,
    put: |options, bytes| options.cycle_every = Some(bytes),
    get: |options| options.cycle_every,
};

pub(crate) static YOUNG: Row<bool> = Row {
    about: Descriptor {
        name: "young",
        value: "on|off",
        default: "on",
        meaning: "Whether most cycles look at young objects only, where the heap remembers what is written",
        group: Group::Pacing,
    },
    read: bool::read,
    least: None,
    most: None,
    put: |options, on| options.young = on,
    get: |options| Some(options.young),
};

pub(crate) static RUNG: Row<Wish> = Row {
    about: Descriptor {
        name: "rung",
        value: "RUNG",
        default: "the best that holds",
        meaning: "Forces a rung of the ladder: how the heap is kept while it is marked, and how writes are noticed",
        group: Group::Snapshots,
    },
    read: Wish::read,
    least: None,
    most: None,
    put: |options, wish| options.rung = Some(wish),
    get: |options| options.rung,
};

pub(crate) static WORKERS: Row<u64> = Row {
    about: Descriptor {
        name: "workers",
        value: "COUNT",
        default: "a quarter of the processors, at most 8; 1 where there are up to four",
        meaning: "How many processes mark a snapshot",
        group: Group::Workers,
    },
    read: u64::read,
    least: Some(1),
    most: Some(MAX_WORKERS as u64),
    put: |options, workers| options.workers = Some(u32::try_from(workers).unwrap_or(u32::MAX)),
    get: |options| options.workers.map(u64::from),
};

pub(crate) static WORKER_PATIENCE: Row<Duration> = Row {
    about: Descriptor {
        name: "worker-patience",
        value: "DURATION",
        default: "10s",
        meaning: "How long a worker may make no progress before it is killed and its cycle fails",
        group: Group::Workers,
    },
    read: Duration::read,
    least: Some(Duration::from_millis(1)),
    most: Some(Duration::from_secs(86_400)),
    put: |options, patience| options.patience = patience,
    get: |options| Some(options.patience),
};

pub(crate) static HOST_FORK: Row<HostFork> = Row {
    about: Descriptor {
        name: "host-fork",
        value: "no-heap|copy",
        default: "no-heap",
        meaning: "What children have of the heap that the process forks",
        group: Group::Forks,
    },
    read: HostFork::read,
    least: None,
    most: None,
    put: |options, policy| options.host_fork = policy,
    get: |options| Some(options.host_fork),
};

pub(crate) static STRESS: Row<u64> = Row {
    about: Descriptor {
        name: "stress",
        value: "COUNT",
        default: "no such cycles",
        meaning: "Starts a cycle every so many allocations, and turns verify and poison on unless they are set",
        group: Group::Testing,
    },
    read: u64::read,
    least: Some(1),
    most: None,
    put: |options, allocations| options.stress = Some(allocations),
    get: |options| options.stress,
};

pub(crate) static VERIFY: Row<bool> = Row {
    about: Descriptor {
        name: "verify",
        value: "on|off",
        default: "off, on with stress",
        meaning: "Verifies the whole heap in the stopped world after every cycle",
        group: Group::Testing,
    },
    read: bool::read,
    least: None,
    most: None,
    put: |options, on| options.verify = on,
    get: |options| Some(options.verify),
};

pub(crate) static POISON: Row<bool> = Row {
    about: Descriptor {
        name: "poison",
        value: "on|off",
        default: "off, on with stress",
        meaning: "Fills freed memory with the pattern 0xdb, so that a use after free is seen; none goes back to the system",
        group: Group::Testing,
    },
    read: bool::read,
    least: None,
    most: None,
    put: |options, on| options.poison = on,
    get: |options| Some(options.poison),
};

pub(crate) static WORKER_CHAOS: Row<u64> = Row {
    about: Descriptor {
        name: "worker-chaos",
        value: "COUNT",
        default: "none",
        meaning: "One worker in so many is killed, or stopped, at a random moment",
        group: Group::Testing,
    },
    read: u64::read,
    least: Some(1),
    most: Some(u32::MAX as u64),
    put: |options, one_in| options.chaos = Chaos::one_in(one_in as u32),
    get: |options| options.chaos.odds().map(u64::from),
};

/// All rows.
pub(super) static ROWS: [&dyn Entry; 18] = [
    &LIMIT,
    &PREIMAGE_LIMIT,
    &SOFT_LIMIT,
    &RESERVE,
    &IDLE_AFTER,
    &LEAF_HUGE_PAGES,
    &GROWTH,
    &MIN_HEADROOM,
    &CYCLE_EVERY,
    &YOUNG,
    &RUNG,
    &WORKERS,
    &WORKER_PATIENCE,
    &HOST_FORK,
    &STRESS,
    &VERIFY,
    &POISON,
    &WORKER_CHAOS,
];

/// A row, whatever its type.
pub(super) trait Entry: Sync {
    fn about(&self) -> &Descriptor;

    /// Reads a value, and puts it into its field unless that is to be left alone. The error says what the option takes.
    fn take(&self, options: &mut Options, text: &str, leave: bool) -> Result<(), String>;

    /// Whether the value in the field is one that the option takes. If not: the value, and what it takes.
    fn check(&self, options: &Options) -> Result<(), (String, String)>;

    /// The field's value as it is written, if it has one.
    fn show(&self, options: &Options) -> Option<String>;
}

impl<T: Value> Row<T> {
    /// The option's name.
    pub(crate) fn name(&self) -> &'static str {
        self.about.name
    }

    /// Puts a value into the field. Nobody has looked yet at whether it is one that the option takes.
    pub(crate) fn put(&self, options: &mut Options, value: T) {
        (self.put)(options, value);
    }

    fn is_in_range(&self, value: &T) -> Result<(), String> {
        match (&self.least, &self.most) {
            (Some(least), _) if value.is_below(least) => Err(format!("at least {}", least.show())),
            (_, Some(most)) if most.is_below(value) => Err(format!("at most {}", most.show())),
            _ => Ok(()),
        }
    }
}

impl<T: Value> Entry for Row<T> {
    fn about(&self) -> &Descriptor {
        &self.about
    }

    fn take(&self, options: &mut Options, text: &str, leave: bool) -> Result<(), String> {
        let value = (self.read)(text)?;
        self.is_in_range(&value)?;
        if !leave {
            self.put(options, value);
        }
        Ok(())
    }

    fn check(&self, options: &Options) -> Result<(), (String, String)> {
        (self.get)(options)
            .map_or(Ok(()), |value| self.is_in_range(&value).map_err(|why| (value.show(), why)))
    }

    fn show(&self, options: &Options) -> Option<String> {
        (self.get)(options).map(|value| value.show())
    }
}
