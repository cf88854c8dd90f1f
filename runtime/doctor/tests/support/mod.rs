//! Running `doctor`, and reading what it prints.

#![allow(dead_code, reason = "each test file uses a part of it")]

use palimpsest_doctor::conformance::report::Report;
use std::process::{Command, Output};

/// What a run of `doctor` printed, and how it ended.
pub struct Run(Output);

/// Runs `doctor` with these arguments.
pub fn doctor(arguments: &[&str]) -> Run {
    run(Command::new(env!("CARGO_BIN_EXE_doctor")).args(arguments))
}

/// Runs `doctor --conformance --json`.
pub fn conformance(arguments: &[&str]) -> Run {
    doctor(&[&["--conformance", "--json"], arguments].concat())
}

/// Runs a prepared command.
pub fn run(command: &mut Command) -> Run {
    Run(command.output().expect("doctor runs"))
}

impl Run {
    /// The exit code.
    pub fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    /// Standard output.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    /// Standard error.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    /// The table that it printed as JSON.
    pub fn report(&self) -> Report {
        serde_json::from_slice(&self.0.stdout)
            .unwrap_or_else(|e| panic!("no report ({e}): {}{}", self.text(), self.errors()))
    }
}
