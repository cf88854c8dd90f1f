//! One cycle of ours in detail, which a run of its own takes down: recording it costs a thread that looks at counters.

use crate::results::Timeline;
use crate::run::{End, Program};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// Runs `graph`, whose cycles have most to show: traps all over a live heap.
///
/// # Errors
/// A sentence that says why there is none.
pub fn record(
    programs: &Path,
    directory: &Path,
    quick: bool,
    limit: Duration,
    stop: &AtomicBool,
) -> Result<Timeline, String> {
    let file = directory.join("timeline.json");
    let mib = if quick { "64" } else { "512" };
    let arguments = ["--timeline".to_owned(), file.display().to_string(), "graph".to_owned(), mib.to_owned()];
    let program =
        Program { path: programs.join("workload"), arguments: arguments.into(), environment: Vec::new() };
    let outcome =
        program.run(limit, false, stop).map_err(|error| format!("{}: {error}", program.path.display()))?;
    match outcome.end {
        End::Itself(status) if status.success() => {}
        End::Itself(_) => return Err(outcome.last_words().to_owned()),
        End::OverLimit => return Err(format!("it took more than {} s", limit.as_secs_f64())),
        End::Interrupted => return Err("it was interrupted".into()),
    }
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
}
