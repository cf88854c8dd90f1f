//! The program whose work is counted: the regression gate (`tests/gate`) runs it, under a tracer, and compares what it counts
//! with the bounds in `gate.toml`.
//!
//! Nothing here is timed and nothing is left to chance: sizes, write patterns and cycles are fixed, no cycle begins by itself, and
//! one worker marks. Each command does one thing between marks ([`mark`]), which the tracer sees, and prints what the library
//! itself counted as one line of JSON.

mod cycles;
mod graph;
mod instructions;
mod mark;
mod shared;
mod writes;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use palimpsest::Wish;

/// Does a fixed piece of work, for the regression gate to count what it takes.
#[derive(Parser)]
#[command(name = "counted")]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Explicit cycles over a fixed graph, with a fixed write pattern between them.
    Cycles {
        /// The rung, as for PALIMPSEST_RUNG
        rung: Wish,
    },
    /// One cycle, and a fixed write pattern while it keeps its snapshot.
    Writes {
        /// The rung; one that forks
        rung: Wish,
    },
    /// One section of instructions.
    Instructions {
        /// Its name
        section: instructions::Section,
    },
}

fn main() -> ExitCode {
    match run(Options::parse().command) {
        Ok(counted) => {
            println!("{counted}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("counted: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<serde_json::Value, Box<dyn Error>> {
    match command {
        Command::Cycles { rung } => cycles::run(rung),
        Command::Writes { rung } => writes::run(rung),
        Command::Instructions { section } => instructions::run(section),
    }
}
