//! The command `report`: builds the programs, runs them, and writes down what came of it.

use clap::Parser;
use palimpsest_report::arguments::Arguments;
use palimpsest_report::command;
use std::process::ExitCode;

fn main() -> ExitCode {
    command::run(&Arguments::parse()).unwrap_or_else(|error| {
        eprintln!("report: {error}");
        ExitCode::from(command::NOTHING)
    })
}
