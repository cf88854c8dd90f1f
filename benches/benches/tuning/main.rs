//! What each option does to a workload it matters for: runs the workload with several settings in turn, in processes of their
//! own, and prints medians as tables in Markdown, one for each group of options in the book's chapter on tuning.
//!
//! The first setting of a row is what the others are compared with. Within a round all settings of a row take turns, so that
//! what the machine does beside is spread over all of them.

mod settings;

use std::io::{self, Write};
use std::process::{Command, ExitCode};

use clap::Parser;
use serde_json::Value;

use settings::{GROUPS, Group, Row};

/// Measures what the collector's options do to the workloads, and prints tables in Markdown.
///
/// Progress is on standard error. It takes about ten minutes, with --quick two, and 6 GiB of memory. Run it on an idle
/// machine.
#[derive(Parser)]
#[command(name = "tuning")]
struct Options {
    /// Three rounds instead of five
    #[arg(long)]
    quick: bool,

    /// Only the groups in whose name this occurs: memory, pacing, snapshots, workers
    filter: Option<String>,

    /// What `cargo bench` passes. Without it, as under `cargo test --benches`, nothing is measured.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if !options.bench {
        return ExitCode::SUCCESS;
    }
    let rounds = if options.quick { 3 } else { 5 };
    let asked_for = |group: &&Group| options.filter.as_ref().is_none_or(|filter| group.name.contains(filter));
    for group in GROUPS.iter().filter(asked_for) {
        if let Err(error) = measure(group, rounds) {
            eprintln!("tuning: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Runs a group's rows and prints its table.
fn measure(group: &Group, rounds: usize) -> io::Result<()> {
    println!("**{}**, medians of {rounds} rounds\n", group.name);
    println!(
        "| workload | setting | wall | CPU | peak memory | cycles | pause p99 / max | longest operation |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for row in group.rows {
        let runs = run_in_turns(row, rounds)?;
        let medians: Vec<Figures> = runs.iter().map(|runs| Figures::median(runs)).collect();
        for (setting, figures) in row.settings.iter().zip(&medians) {
            let setting = if setting.is_empty() { "as it is".into() } else { format!("`{setting}`") };
            println!("| `{}` | {setting} | {} |", row.workload, figures.beside(&medians[0]));
        }
    }
    println!();
    io::stdout().flush()
}

fn run_in_turns(row: &Row, rounds: usize) -> io::Result<Vec<Vec<Figures>>> {
    let mut runs = vec![Vec::new(); row.settings.len()];
    for round in 1..=rounds {
        for (setting, runs) in row.settings.iter().zip(&mut runs) {
            eprintln!("tuning: {} with `{setting}`, round {round} of {rounds}", row.workload);
            runs.push(run(row.workload, setting)?);
        }
    }
    Ok(runs)
}

/// One run of the program that has the workloads.
fn run(workload: &str, setting: &str) -> io::Result<Figures> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_workload"));
    command.args(workload.split(' '));
    if !setting.is_empty() {
        command.args(["--gc", setting]);
    }
    let output = command.env_remove("PALIMPSEST_OPTIONS").env_remove("PALIMPSEST_RUNG").output()?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("`workload {workload} --gc {setting}` failed: {text}")));
    }
    Ok(Figures::read(&serde_json::from_slice(&output.stdout)?))
}

/// What is measured of a run.
#[derive(Clone, Copy, Default)]
struct Figures {
    wall_s: f64,
    cpu_s: f64,
    peak_mib: f64,
    cycles: f64,
    p99_ms: f64,
    pause_ms: f64,
    /// Not for all workloads.
    longest_ms: Option<f64>,
}

impl Figures {
    fn read(report: &Value) -> Self {
        let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
        Self {
            wall_s: number(&report["wall_s"]),
            cpu_s: number(&report["cpu_s"]),
            peak_mib: number(&report["peak_rss_mib"]),
            cycles: number(&report["gcs"]),
            p99_ms: number(&report["gc"]["pause_p99_ms"]),
            pause_ms: number(&report["gc"]["pause_max_ms"]),
            longest_ms: report["max_pause_ms"].as_f64(),
        }
    }

    fn median(runs: &[Self]) -> Self {
        let of = |figure: &dyn Fn(&Self) -> f64| {
            let mut all: Vec<f64> = runs.iter().map(figure).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        Self {
            wall_s: of(&|run| run.wall_s),
            cpu_s: of(&|run| run.cpu_s),
            peak_mib: of(&|run| run.peak_mib),
            cycles: of(&|run| run.cycles),
            p99_ms: of(&|run| run.p99_ms),
            pause_ms: of(&|run| run.pause_ms),
            longest_ms: runs[0].longest_ms.map(|_| of(&|run| run.longest_ms.unwrap_or(f64::NAN))),
        }
    }

    /// The cells of a row: figures, and what is compared as ratios to the first setting's.
    fn beside(&self, first: &Self) -> String {
        let ratio = |a: f64, b: f64| format!("{:.2} x", a / b);
        let longest = self.longest_ms.map_or("".into(), |ms| format!("{ms:.2} ms"));
        format!(
            "{:.2} s, {} | {:.2} s, {} | {:.0} MiB, {} | {:.0} | {:.2} / {:.2} ms | {longest}",
            self.wall_s,
            ratio(self.wall_s, first.wall_s),
            self.cpu_s,
            ratio(self.cpu_s, first.cpu_s),
            self.peak_mib,
            ratio(self.peak_mib, first.peak_mib),
            self.cycles,
            self.p99_ms,
            self.pause_ms,
        )
    }
}
