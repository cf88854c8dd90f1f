//! The programs that are run: building them, finding them, and asking ours what this machine allows.

use crate::run::{End, Program};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use thiserror::Error;

/// The packages that they are in.
const PACKAGES: [&str; 3] = ["palimpsest-bench", "palimpsest-peers", "palimpsest-lox"];

/// The rungs of the ladder that are worth comparing, from the best down. Doors to the same userfaultfd make no difference to speed.
const RUNGS: [&str; 7] = [
    "preimage/signal",
    "preimage/monitor",
    "preimage/protect",
    "forkcow",
    "forkcow/async",
    "stw",
    "stw/async",
];

/// How long the smallest heap may take.
const PROBE: Duration = Duration::from_secs(60);

/// Why there is nothing to run.
#[derive(Debug, Error)]
pub enum NoPrograms {
    /// Something of the system failed.
    #[error("{0}: {1}")]
    Io(String, #[source] io::Error),
    /// The programs do not compile.
    #[error("building the programs failed")]
    Build,
    /// Ours does not run at all.
    #[error("the workloads do not run here: {0}")]
    Workload(String),
}

/// The directory of the checkout.
pub fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap_or(root)
}

/// Builds all programs in release mode, into the target directory that this program lies in, and says where they are. Cargo shows how
/// far it is.
///
/// # Errors
/// Where Cargo cannot be run, or fails.
pub fn build() -> Result<PathBuf, NoPrograms> {
    let beside = beside()?;
    let target = beside.parent().unwrap_or(&beside);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--bins", "--target-dir"]).arg(target).current_dir(root());
    for package in PACKAGES {
        command.args(["-p", package]);
    }
    let status = command.status().map_err(|error| NoPrograms::Io("cargo".into(), error))?;
    if status.success() { Ok(target.join("release")) } else { Err(NoPrograms::Build) }
}

/// The directory of this program.
///
/// # Errors
/// Where the system does not say.
pub fn beside() -> Result<PathBuf, NoPrograms> {
    let own = std::env::current_exe().map_err(|error| NoPrograms::Io("this program's path".into(), error))?;
    Ok(own.parent().map(Path::to_path_buf).unwrap_or_default())
}

/// The interpreter's benchmark programs, by name.
pub fn lox() -> Vec<PathBuf> {
    let directory = root().join("examples/lox/programs/benchmarks");
    let files =
        std::fs::read_dir(directory).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|it| it == "lox")).collect();
    files.sort();
    files
}

/// What the ladder says on this machine.
#[derive(Clone, Debug)]
pub struct Ladder {
    /// The rung that a heap takes by itself, and what was refused before it.
    pub answer: String,
    /// The other rungs that can be had.
    pub rungs: Vec<String>,
    /// Those that cannot, and why.
    pub refused: Vec<(String, String)>,
}

/// Asks our workloads for a small heap on each rung.
///
/// # Errors
/// Where not even the default runs.
pub fn ladder(programs: &Path, stop: &AtomicBool) -> Result<Ladder, NoPrograms> {
    let ask = |rung: Option<&str>| -> Result<Value, String> {
        let rung = rung.map(|rung| ["--rung".to_owned(), rung.to_owned()]);
        let work = ["binarytrees", "8", "1"].map(str::to_owned);
        let arguments = rung.into_iter().flatten().chain(work).collect();
        let program = Program { path: programs.join("workload"), arguments, environment: Vec::new() };
        let outcome = program
            .run(PROBE, false, stop)
            .map_err(|error| format!("{}: {error}", program.path.display()))?;
        match outcome.end {
            End::Itself(status) if status.success() => {
                let line = outcome.stdout.lines().last().unwrap_or_default();
                serde_json::from_str(line).map_err(|error| error.to_string())
            }
            _ => Err(outcome.last_words().to_owned()),
        }
    };
    let best = ask(None).map_err(NoPrograms::Workload)?;
    let taken = name(best["gc"]["rung"].as_str().unwrap_or_default());
    let answer = best["gc"]["ladder"].as_str().unwrap_or_default().to_owned();
    let mut ladder = Ladder { answer, rungs: Vec::new(), refused: Vec::new() };
    for rung in RUNGS.into_iter().filter(|rung| *rung != taken) {
        match ask(Some(rung)) {
            Ok(_) => ladder.rungs.push(rung.to_owned()),
            Err(why) => ladder.refused.push((format!("palimpsest {rung}"), why)),
        }
    }
    Ok(ladder)
}

/// A rung without its door.
fn name(rung: &str) -> String {
    rung.split('/').take(2).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_do_not_make_another_rung() {
        assert_eq!(name("preimage/signal/user-call"), "preimage/signal");
        assert_eq!(name("stw"), "stw");
    }

    #[test]
    fn nothing_to_run_is_an_error_that_says_so() {
        let error = ladder(Path::new("/nonexistent"), &AtomicBool::new(false)).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/workload"), "{error}");
    }
}
