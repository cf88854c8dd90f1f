//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use palimpsest::Wish;
use palimpsest::options::OptionError;

use crate::heap::HeapOptions;

const ABOUT: &str = "Runs programs in Lox, the language of the book Crafting Interpreters.";

const LONG_ABOUT: &str = "\
Runs programs in Lox, the language of the book Crafting Interpreters.

With FILE, runs the program in it; with -, or when standard input is not a terminal, the program is read from \
standard input. Otherwise starts a session in which every entry is run at once.

All objects live in the heap of the Palimpsest garbage collector, which marks in a forked snapshot of the \
process while the program goes on. The options let you watch it and push it around.";

const EXIT_STATUS: &str = "\
Exit status: 0 if all went well, 64 for a wrong command line, 65 if the program has compile errors, 70 if it ended \
with a run-time error (also Stack overflow. and Out of memory.), 74 if a file cannot be read or the output not be \
written.

Example: lox --gc-stats --cycle-every 16 program.lox";

/// What stands below the options: those of the collector's table, and how the program exits.
fn after_help() -> String {
    format!("{}\n\n{EXIT_STATUS}", palimpsest::options::help())
}

/// Looks at options of the collector before anything is made of them.
fn gc_options(text: &str) -> Result<String, OptionError> {
    palimpsest::options::check(text).map(|()| text.into())
}

/// What the command line says.
#[derive(Parser, Debug)]
#[command(name = "lox", version, about = ABOUT, long_about = LONG_ABOUT, after_help = EXIT_STATUS, after_long_help = after_help())]
pub struct Options {
    /// The program to run; - is standard input
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Options of the collector: name=value, with commas between them; --help lists them
    ///
    /// As in --gc limit=256M,cycle-every=16M,verify=on. The variable PALIMPSEST_OPTIONS has such a list too, for options that are
    /// not given here; and what the options below say goes before both.
    #[arg(long, value_name = "OPTIONS", value_parser = gc_options)]
    gc: Option<String>,

    /// Most memory that the heap may take, in MiB [default: half of the machine's]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    heap_limit: Option<u64>,

    /// How a collection cycle gets a frozen view of the heap [default: the best that this machine allows]
    ///
    /// One of preimage (the page barrier saves what the program overwrites; pauses do not grow with the heap), forkcow (the
    /// kernel copies what the program overwrites; the pause grows with the heap) and stw (the program stands still while the
    /// heap is marked). After preimage, how writes are noticed: /signal, /monitor or /protect; after the others /async, to
    /// count written pages; and then the way to the userfaultfd: /user-call, /call or /device. If it cannot be had here, the
    /// program ends with a message that says what to change. The variable PALIMPSEST_RUNG does the same.
    #[arg(long, value_name = "RUNG", visible_alias = "snapshot")]
    rung: Option<Wish>,

    /// Start a collection cycle at least every so many MiB of allocation
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    cycle_every: Option<u64>,

    /// Print what the collector did to standard error when the program ends; json prints one line
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "human"
    )]
    pub gc_stats: Option<StatsFormat>,

    /// Processes that mark a snapshot of the heap, 1 to 8 [default: by the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=8))]
    workers: Option<u8>,

    /// Print a line about every collection cycle to standard error, and at the end how long the pauses were
    #[arg(long)]
    pub gc_log: bool,

    /// Run a collection cycle every N allocations, and verify the heap after each (slow)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    gc_stress: Option<u64>,
}

/// How statistics are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum StatsFormat {
    /// For reading
    Human,
    /// One line, the last of standard error: a JSON object
    Json,
}

impl Options {
    /// The options that are the heap's.
    pub fn heap(&self) -> HeapOptions {
        let bytes = |mebibytes: u64| (mebibytes as usize) << 20;
        HeapOptions {
            limit: self.heap_limit.map(bytes),
            rung: self.rung,
            cycle_every: self.cycle_every.map(bytes),
            workers: self.workers.map(usize::from),
            stress: self.gc_stress,
            others: self.gc.clone().unwrap_or_default(),
            log: self.gc_log,
        }
    }
}
