//! The command line.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit code: 0 if all went well; 1 if peers disagree about what was computed, or one of ours failed; 2 for a wrong command line, or \
if nothing could be measured at all; 130 after Ctrl-C, which keeps what has been measured until then.";

/// Runs the workloads on Palimpsest and on other collectors and allocators, and writes tables and pictures of what came out.
///
/// Builds what it runs. Each round runs every peer of a workload, one after the other; rounds go over all workloads; the first warms
/// up and does not count. It takes more than an hour and wants a machine without other work; --quick takes less than three minutes. Peers
/// that need a library which is not there are left out, and the report says so.
#[derive(Parser, Debug)]
#[command(name = "report", version, after_help = EXIT_CODES)]
pub struct Arguments {
    /// What to measure [default: all]
    #[arg(long = "part", value_name = "PART", value_delimiter = ',', value_enum)]
    pub parts: Vec<Choice>,
    /// Small sizes, three rounds of the programs, one of the rest: shows that it works, and orders of magnitude.
    #[arg(long)]
    pub quick: bool,
    /// Rounds of the programs that count; of curves at most three [default: 5, with --quick 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: Option<u32>,
    /// Only these workloads, or Lox programs, as in graph,server
    #[arg(long, value_name = "WORKLOAD", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Only these peers, as in palimpsest,malloc; a * at the end stands for any ending
    #[arg(long = "peer", value_name = "PEER", value_delimiter = ',')]
    pub peers: Vec<String>,
    /// Where the report goes: results.json, report.md, report.html and pictures
    #[arg(long, value_name = "DIR", default_value = "target/report")]
    pub out: PathBuf,
    /// Seconds that one run may take before it is killed [default: 300, with --quick 30]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400))]
    pub limit: Option<u64>,
    /// Seconds to wait, before a run, for the machine to be quiet [default: 20, with --quick 1]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub wait: Option<u64>,
    /// Seconds after which no more runs are begun [default: none, with --quick 160]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub budget: Option<u64>,
    /// Run the programs that are there, without building them.
    #[arg(long)]
    pub no_build: bool,
    /// Measure nothing: write tables and pictures from a results.json. Several files of one machine, with other parts each, make
    /// one report.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["parts", "quick", "rounds", "only", "peers"])]
    pub draw: Vec<PathBuf>,
    /// Where the programs are [default: beside this one]
    #[arg(long, value_name = "DIR", hide = true, requires = "no_build")]
    pub programs: Option<PathBuf>,
}

/// A part of the report, as it is chosen. `Memory` and `Timeline` are not among those of the results, since they add to others.
#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
pub enum Choice {
    /// Each workload on each peer
    Programs,
    /// Pauses and times against the live heap, 64 MiB to 8 GiB
    LiveHeap,
    /// Times against the number of stores into old objects
    MutationRate,
    /// Times against the number of threads
    Threads,
    /// The interpreter's programs
    Lox,
    /// Memory of the workloads with that of their workers
    Memory,
    /// One cycle in detail
    Timeline,
}

impl Choice {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Programs,
        Self::LiveHeap,
        Self::MutationRate,
        Self::Threads,
        Self::Lox,
        Self::Memory,
        Self::Timeline,
    ];
}

impl Arguments {
    /// The parts to measure, in their order.
    pub fn parts(&self) -> Vec<Choice> {
        Choice::ALL.into_iter().filter(|part| self.parts.is_empty() || self.parts.contains(part)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn parts_are_all_or_those_that_are_named_in_their_order() {
        let parts =
            |line: &[&str]| Arguments::try_parse_from([&["report"], line].concat()).map(|a| a.parts());
        assert_eq!(parts(&[]).unwrap(), Choice::ALL);
        assert_eq!(parts(&["--part", "lox,programs"]).unwrap(), [Choice::Programs, Choice::Lox]);
        assert!(parts(&["--part", "pauses"]).is_err());
        assert!(parts(&["--draw", "results.json", "--quick"]).is_err());
    }
}
