//! `doctor`: what this machine offers a Palimpsest heap, and whether its kernel keeps to what the barrier relies on.

use clap::Parser;
use palimpsest_doctor::conformance::report::{Report, Row};
use palimpsest_doctor::conformance::{self, ask};
use palimpsest_doctor::examination::Examination;
use palimpsest_doctor::kernel::{process, seccomp};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

const EXIT_CODES: &str = "\
Exit code: 0 if the collector can run here, 1 if not. With --conformance: 0 if every answer is as expected or honestly not \
available, 1 if one is different. 2 for a usage error.";

/// Examines this machine for the Palimpsest collector.
///
/// Without arguments it prints what this kernel offers this user, on which rung of the ladder a heap would stand (how it keeps
/// its snapshot, and how it notices writes), and what to change for a better one.
///
/// With --conformance, the running kernel is asked, question by question, what the collector's write barrier relies on.
/// No privilege is needed. What cannot be asked here (userfaultfd is denied, no huge pages are reserved) is reported as
/// "not available", with the reason.
#[derive(Parser, Debug)]
#[command(name = "doctor", version, after_help = EXIT_CODES)]
struct Arguments {
    /// Put the running kernel to the questions and print a table of the answers.
    #[arg(long)]
    conformance: bool,
    /// Print JSON instead of text.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print Markdown instead of text: the table of the documentation.
    #[arg(long, requires = "conformance")]
    markdown: bool,
    /// Ask only the rows whose name (question/memory/delivery, as in `first-write/shared/sigbus`) contains this.
    #[arg(long, value_name = "SUBSTRING", requires = "conformance")]
    only: Option<String>,
    /// Seconds to wait for one answer. What takes longer is reported as hung.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, requires = "conformance")]
    deadline: u64,
    /// Deny userfaultfd to this process and its children first, as a container's system-call filter may.
    #[arg(long, hide = true)]
    deny_userfaultfd: bool,
    /// Ask one row in this process: how the table asks each of its rows.
    #[arg(long, hide = true, value_name = "ROW")]
    ask: Option<String>,
}

/// The exit code of a wrong command line, as clap's.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("doctor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    if arguments.deny_userfaultfd {
        seccomp::deny_userfaultfd().map_err(|errno| io::Error::from_raw_os_error(errno.0))?;
    }
    if let Some(name) = &arguments.ask {
        return match conformance::find(name) {
            Some((question, setting)) => ask::here(question, setting).map(|()| ExitCode::SUCCESS),
            None => Ok(usage(&format!("there is no row {name}"))),
        };
    }
    if arguments.conformance { conformance(arguments) } else { examine(arguments) }
}

/// What this machine offers, and what to change for more.
fn examine(arguments: &Arguments) -> io::Result<ExitCode> {
    let found = Examination::look();
    let text = if arguments.json {
        format!("{}\n", serde_json::to_string_pretty(&found)?)
    } else {
        found.to_string()
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(if found.can_run() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn usage(error: &str) -> ExitCode {
    eprintln!("doctor: {error}");
    ExitCode::from(USAGE)
}

fn conformance(arguments: &Arguments) -> io::Result<ExitCode> {
    let only = arguments.only.as_deref().unwrap_or("");
    let chosen: Vec<_> = conformance::rows()
        .filter(|(q, setting)| conformance::row_name(q, *setting).contains(only))
        .collect();
    if chosen.is_empty() {
        return Ok(usage(&format!("no row's name contains {only:?}")));
    }
    let progress = io::stderr().is_terminal();
    let mut rows = Vec::new();
    for (question, setting) in &chosen {
        if progress {
            eprint!(
                "\r\x1b[K{}/{} {}",
                rows.len() + 1,
                chosen.len(),
                conformance::row_name(question, *setting)
            );
        }
        let finding = ask::in_process(question, *setting, Duration::from_secs(arguments.deadline))?;
        rows.push(Row::new(question, *setting, finding));
    }
    if progress {
        eprint!("\r\x1b[K");
    }
    let report = Report {
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().into(),
        architecture: std::env::consts::ARCH.into(),
        privileged: process::is_root(),
        rows,
    };
    let text = if arguments.json {
        format!("{}\n", serde_json::to_string_pretty(&report)?)
    } else if arguments.markdown {
        report.markdown()
    } else {
        report.text()
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(if report.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
