//! The command line: one subcommand a workload, and the collector's settings, which all of them take.

use std::num::NonZero;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use palimpsest::options::OptionError;
use palimpsest::{Error, HeapBuilder, PlainPointers, Wish};

const MIB: usize = 1 << 20;

/// Looks at options of the collector before anything is made of them.
fn gc_options(text: &str) -> Result<String, OptionError> {
    palimpsest::options::check(text).map(|()| text.into())
}

/// Runs one workload on the Palimpsest collector and prints one line of JSON.
///
/// Times are in seconds (_s) or milliseconds (_ms). cpu_s is user and system time of this process and of the workers
/// that it has waited for. For all but gcbench and binarytrees every operation is timed: latency_ms has the quantiles, and
/// slow_ops_ms when each of those began that took more than a tenth of a millisecond, and its time. pauses_ms has the same of
/// the collector's pauses. Both count from the start of the workload.
/// The environment variable PEER replaces the name in the result.
#[derive(Parser)]
#[command(name = "workload", after_long_help = palimpsest::options::help().to_string())]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) workload: Workload,

    /// Options of the collector: name=value, with commas between them; --help lists them
    ///
    /// As in --gc limit=256M,cycle-every=16M,verify=on. The variable PALIMPSEST_OPTIONS has such a list too, for options that are
    /// not given here; and what the options below say goes before both.
    #[arg(long, global = true, value_name = "OPTIONS", value_parser = gc_options)]
    gc: Option<String>,

    /// Most MiB that the heap may hold [default: the collector's, half of physical memory]
    #[arg(long, global = true, value_name = "MIB")]
    heap_limit: Option<NonZero<usize>>,

    /// How a cycle keeps the heap as it was when it began, and how it hears of writes [default: the best that holds here]
    ///
    /// SNAPSHOT is one of: preimage (the write barrier saves a page before its first write), forkcow (the kernel's
    /// copy-on-write keeps the page), stw (every thread stands still while the heap is marked).
    ///
    /// DELIVERY is how writes are noticed. For preimage: signal (the writing thread gets SIGBUS), monitor (a thread reads
    /// events), protect (mprotect; the writing thread gets SIGSEGV). For forkcow and stw: async (the kernel remembers the
    /// written pages), none.
    ///
    /// DOOR is the way to the userfaultfd, for signal, monitor and async: user-call (the system call, for writes by user
    /// code only), call (the system call), device (/dev/userfaultfd).
    ///
    /// What is left out is chosen; what is named is used, or the program says why it cannot be. The environment variable
    /// PALIMPSEST_RUNG does the same where this option is not given.
    #[arg(long, global = true, value_name = "SNAPSHOT[/DELIVERY[/DOOR]]", visible_alias = "snapshot")]
    rung: Option<Wish>,

    /// Start a cycle at least every so many MiB allocated [default: the collector decides]
    #[arg(long, global = true, value_name = "MIB")]
    cycle_every: Option<NonZero<usize>>,

    /// Processes that mark a snapshot, 1 to 8 [default: the collector's, by the number of processors]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=8))]
    workers: Option<u8>,

    /// Print the rung that the heap stands on, a line about every cycle, and how long the pauses were, on standard error
    #[arg(long, global = true)]
    pub(crate) gc_log: bool,

    /// Write what went on in one cycle to this file, as JSON for the report: the longest full one that kept its snapshot
    ///
    /// A thread counts traps every half millisecond meanwhile, so the figures of such a run are for nothing else.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) timeline: Option<PathBuf>,

    /// A cycle every so many allocations, each verified, and what it frees poisoned: slow, for finding bugs
    #[arg(long, global = true, value_name = "ALLOCATIONS")]
    stress: Option<NonZero<u64>>,
}

/// What to run. Sizes are those of the programs in C.
#[derive(Clone, Copy, Subcommand)]
pub(crate) enum Workload {
    /// Ellis, Kovac and Boehm's GCBench: binary trees of many depths beside a live tree
    ///
    /// A stretch tree of depth MAX, dropped; a live tree of depth LIVE and an array of 4,000,000 doubles, kept; then
    /// for the depths 4, 6 .. MAX, as many trees as make up twice the stretch tree, built top-down (child pointers
    /// written into live nodes), and as many bottom-up. A node is two pointers and two 32-bit integers.
    Gcbench {
        /// Depth of the live tree
        #[arg(default_value_t = 18, value_parser = clap::value_parser!(u32).range(1..=28))]
        live: u32,
        /// Depth of the stretch tree and of the deepest others
        #[arg(default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=28))]
        max: u32,
    },
    /// The Benchmarks Game's binary-trees: nothing but small short-lived objects, on one thread or several
    ///
    /// A stretch tree of depth N+1, dropped; a live one of depth N; for the depths 4, 6 .. N, 2^(N-depth+4) trees
    /// built bottom-up, counted and dropped, dealt out over THREADS. A node is two pointers.
    Binarytrees {
        /// Depth of the live tree and of the deepest others
        #[arg(value_name = "N", default_value_t = 18, value_parser = clap::value_parser!(u32).range(1..=28))]
        depth: u32,
        /// Threads that allocate, each attached to the heap
        #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
        threads: u32,
    },
    /// A window of messages with payloads, the oldest replaced each time: the longest insert is the figure
    ///
    /// An array of WINDOW slots; WINDOW x TIMES messages, message i into slot i mod WINDOW. A message is a node
    /// (payload, the payload of the message before, its number) and a filled payload of 1024 bytes without pointers.
    Msgmap {
        /// Messages that are live at a time
        #[arg(default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1..))]
        window: u32,
        /// How often the whole window is replaced
        #[arg(default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..))]
        times: u32,
    },
    /// Random pointer writes all over a big live graph: the adversary of a barrier that traps by page
    ///
    /// MIB x 16384 nodes of 64 bytes (four pointers to random earlier nodes, four words), all in one array. Each
    /// operation rewires a random pointer in each of two random nodes and allocates a node that lives for 1024
    /// operations. The build is reported as build_s and its latencies are not.
    Graph {
        /// MiB of nodes
        #[arg(default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
        mib: u32,
        /// Operations; 0 is one a node
        #[arg(default_value_t = 0)]
        ops: u64,
    },
    /// Larson and Krishnan's server: threads that replace blocks which threads before them have allocated
    ///
    /// THREADS tables of SLOTS blocks. A block has 16 to 1024 bytes without pointers, at random. In a round a thread replaces as
    /// many random blocks of its table as there are slots, and reads those that it drops; then it ends, and a new thread goes on
    /// with the table, until ROUNDS rounds are over. Every replacement is timed; the first filling of the tables is not.
    Larson {
        /// Threads at a time, each attached to the heap
        #[arg(default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
        threads: u32,
        /// Blocks that each of them holds
        #[arg(default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
        slots: u32,
        /// Rounds, each with a new thread
        #[arg(default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },
    /// A server that answers requests from a table of sessions: what a client waits, pauses and queues included
    ///
    /// SESSIONS sessions are live, each with a history of 16 requests and a small map: some sixty objects. A request builds a tree
    /// of 20 to 30 nodes with a text each and evaluates it, takes the place of the oldest request in the history of a random
    /// session, enters a text into its map, and makes an answer out of the history.
    ///
    /// RATE requests a second arrive at fixed times, whatever became of those before. latency_ms has the time from the scheduled
    /// arrival to the answer, so a request that waits behind a slow one counts as slow itself; under `service p50` and so on it
    /// has the time of the work alone, and slow_ops_ms those of them that took long. Between requests a thread sleeps, or polls
    /// where the next one is nearer than 20 microseconds. Filling the table is reported as build_s.
    Server {
        /// Sessions that are live
        #[arg(default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
        sessions: u32,
        /// Requests, all threads together
        #[arg(default_value_t = 300_000)]
        requests: u64,
        /// Requests a second, all threads together; 0 is one after the other without waiting
        #[arg(default_value_t = 50_000)]
        rate: u32,
        /// Threads, each of which serves the sessions that are its own
        #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
        threads: u32,
    },
    /// Short-lived objects beside a live heap of any size, with as many writes to old objects as asked for: for scaling
    ///
    /// MIB MiB of trees of 21 nodes of 64 bytes, and a table of their roots. Each operation allocates a node that is garbage after
    /// the next one, and reads what it leads to; WRITES of 1000 operations also make a random old node refer to a random root. A
    /// thread has a part of the trees for itself. Every operation is timed; the build is reported as build_s.
    Churn {
        /// MiB of trees
        #[arg(default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
        mib: u32,
        /// Of a thousand operations, so many that write to an old node
        #[arg(default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1000))]
        writes: u32,
        /// Operations, all threads together; 0 is two a node, which allocates twice the live heap
        #[arg(default_value_t = 0)]
        ops: u64,
        /// Threads, which also build the trees
        #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
        threads: u32,
    },
}

impl Workload {
    /// The workload's name, as on the command line.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Gcbench { .. } => "gcbench",
            Self::Binarytrees { .. } => "binarytrees",
            Self::Msgmap { .. } => "msgmap",
            Self::Graph { .. } => "graph",
            Self::Larson { .. } => "larson",
            Self::Server { .. } => "server",
            Self::Churn { .. } => "churn",
        }
    }

    /// Its sizes, as they go into the result.
    pub(crate) fn sizes(&self) -> String {
        match self {
            Self::Gcbench { live, max } => format!("{live} {max}"),
            Self::Binarytrees { depth, threads } => format!("{depth} {threads}"),
            Self::Msgmap { window, times } => format!("{window} {times}"),
            Self::Graph { mib, ops } => format!("{mib} {ops}"),
            Self::Larson { threads, slots, rounds } => format!("{threads} {slots} {rounds}"),
            Self::Server { sessions, requests, rate, threads } => {
                format!("{sessions} {requests} {rate} {threads}")
            }
            Self::Churn { mib, writes, ops, threads } => format!("{mib} {writes} {ops} {threads}"),
        }
    }
}

impl Options {
    /// Applies the collector's settings.
    pub(crate) fn configure(
        &self,
        builder: HeapBuilder<PlainPointers>,
    ) -> Result<HeapBuilder<PlainPointers>, Error> {
        let mut builder = builder.options(self.gc.as_deref().unwrap_or_default())?;
        if let Some(wish) = self.rung {
            builder = builder.rung(wish);
        }
        if let Some(mib) = self.heap_limit {
            builder = builder.limit(mib.get().saturating_mul(MIB));
        }
        if let Some(mib) = self.cycle_every {
            builder = builder.cycle_every(mib.get().saturating_mul(MIB));
        }
        if let Some(workers) = self.workers {
            builder = builder.workers(workers.into());
        }
        if let Some(allocations) = self.stress {
            builder = builder.stress(allocations.get());
        }
        if self.gc_log {
            builder = builder.on_cycle(|record| eprintln!("{record}"));
        }
        Ok(builder)
    }
}
