//! What each rung of the ladder costs: the first write to a page for each delivery, and the pause for each snapshot, each
//! beside the floor of its bare system calls. Prints one table in Markdown.
//!
//! A *floor* ([`sides::floor`]) is the smallest program that does the same: the system calls, and no state of pages, no objects, no
//! thread that could come in between. What is above it is ours.
//!
//! How the figures are made:
//!
//! * Each part runs in a process of its own, so that neither the page tables nor the threads of one burden the next.
//! * Within it, ours and the floor take turns ([`turns`]): on a shared machine minutes differ by more than the two do. Medians
//!   are compared.
//! * Both have the same kind of memory, populated and warmed by a turn that is not counted.
//! * What ends a turn (a child's exit, its reaping, opening pages again) is outside of the time measured.
//!
//! Read [`first_write`] and [`pause`] for what is measured. `--help` says what can be left out.

mod first_write;
mod options;
mod pause;
#[path = "../support/sides/mod.rs"]
mod sides;
mod table;
mod turns;

use std::io::Write;
use std::process::{Command, ExitCode, Stdio};
use std::{env, io};

use clap::Parser;

use options::{Options, Part};
use table::{Row, Table};

/// What a part's process prints: its rows, or why there are none.
type Outcome = Result<Vec<Row>, String>;

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match options.part {
        Some(part) => run_here(part, options.rounds),
        None => run_all(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ladder: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The whole table.
fn run_all(options: &Options) -> io::Result<()> {
    let parts = options.parts();
    if parts.is_empty() {
        // The command line names another bench.
        return Ok(());
    }
    let mut table = Table::new(options);
    for (number, part) in parts.iter().enumerate() {
        eprintln!("{} of {}: {part}", number + 1, parts.len());
        match run_apart(*part, options.rounds_of(*part)) {
            Ok(rows) => table.add(rows),
            Err(why) => {
                eprintln!("  not measured: {why}");
                table.skip(*part, &why);
            }
        }
    }
    writeln!(io::stdout(), "{table}")
}

/// Runs a part in a process of its own: this program once more.
fn run_apart(part: Part, rounds: usize) -> Outcome {
    let run = || {
        Command::new(env::current_exe()?)
            .args(["--part", &part.to_string(), "--rounds", &rounds.to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?
            .wait_with_output()
    };
    let output = run().map_err(|error| format!("its process did not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("its process ended with {}", output.status));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?
}

/// Such a process's work.
fn run_here(part: Part, rounds: usize) -> io::Result<()> {
    let outcome: Outcome = match part {
        Part::FirstWrite(delivery) => first_write::measure(delivery, rounds),
        Part::Pause(snapshot, mib) => pause::measure(snapshot, mib, rounds),
    }
    .map_err(|error| error.to_string());
    Ok(serde_json::to_writer(io::stdout(), &outcome)?)
}
