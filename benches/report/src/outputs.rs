//! The files of a report.

use crate::results::Results;
use crate::{draw, tables};
use std::fs;
use std::io;
use std::path::Path;
use thiserror::Error;

/// Most bytes of a `results.json` that is kept beside the documentation.
pub const KEPT: usize = 300 << 10;

/// What the sentence takes that says what was left out.
const ROOM: usize = 200;

/// Why a report could not be written, or read.
#[derive(Debug, Error)]
pub enum Trouble {
    /// A file.
    #[error("{0}: {1}")]
    File(String, #[source] io::Error),
    /// The pictures.
    #[error("the pictures cannot be drawn: {0}")]
    Draw(#[from] draw::Error),
    /// The results of a file are none.
    #[error("{0} has no results of a report: {1}")]
    Content(String, #[source] serde_json::Error),
}

/// Reads a `results.json`.
///
/// # Errors
/// Where there is none.
pub fn read(path: &Path) -> Result<Results, Trouble> {
    let text = fs::read_to_string(path).map_err(|error| Trouble::File(path.display().to_string(), error))?;
    serde_json::from_str(&text).map_err(|error| Trouble::Content(path.display().to_string(), error))
}

/// Writes `results.json`, so that there is a complete one at any time.
///
/// # Errors
/// Where the directory cannot be written to.
pub fn save(results: &Results, directory: &Path) -> io::Result<()> {
    let text = serde_json::to_string(results)?;
    let (new, file) = (directory.join("results.json.new"), directory.join("results.json"));
    fs::write(&new, text)?;
    fs::rename(new, file)
}

/// Writes all that is made of the results: the pictures, the tables, the page that has both, and `results-small.json` where they can
/// be made small enough to be kept. What an earlier report has left in the directory is replaced.
///
/// # Errors
/// Where the directory cannot be written to, or something cannot be drawn.
pub fn write(results: &Results, directory: &Path) -> Result<(), Trouble> {
    let pictures = directory.join("pictures");
    let failed = |path: &Path, error| Trouble::File(path.display().to_string(), error);
    let file = |path: &Path, text: &str| fs::write(path, text).map_err(|error| failed(path, error));
    fs::create_dir_all(&pictures).map_err(|error| failed(&pictures, error))?;
    for entry in fs::read_dir(&pictures).map_err(|error| failed(&pictures, error))? {
        let path = entry.map_err(|error| failed(&pictures, error))?.path();
        if path.extension().is_some_and(|it| it == "svg") {
            fs::remove_file(&path).map_err(|error| failed(&path, error))?;
        }
    }
    let mut names = Vec::new();
    for (name, svg) in draw::pictures(results)? {
        file(&pictures.join(&name), &svg)?;
        names.push(name);
    }
    file(&directory.join("report.md"), &tables::report(results, &names))?;
    file(&directory.join("report.html"), &draw::page(results)?)?;
    let kept = directory.join("results-small.json");
    match small(results, KEPT) {
        Some(text) => file(&kept, &text),
        None if kept.exists() => fs::remove_file(&kept).map_err(|error| failed(&kept, error)),
        None => Ok(()),
    }
}

/// The results in at most `limit` bytes, for drawing them again: without lists of slow operations and statistics, and of each run's pauses only
/// the longest, as many as there is room for. Nothing where that is not enough.
pub fn small(results: &Results, limit: usize) -> Option<String> {
    let mut results = results.clone();
    for run in &mut results.runs {
        run.slow_ops_ms.clear();
        run.gc = serde_json::Value::Null;
        // Microseconds.
        for (start, length) in &mut run.pauses_ms {
            (*start, *length) = (rounded(*start), rounded(*length));
        }
        run.latency_ms.values_mut().for_each(|value| *value = (*value * 1e6).round() / 1e6);
    }
    let most = results.runs.iter().map(|run| run.pauses_ms.len()).max().unwrap_or(0);
    let mut text = serde_json::to_string(&results).ok()?;
    let mut keep = most;
    while text.len() > limit.saturating_sub(ROOM) && keep > 0 {
        keep /= 2;
        for run in &mut results.runs {
            let mut pauses = std::mem::take(&mut run.pauses_ms);
            pauses.sort_by(|a, b| b.1.total_cmp(&a.1));
            pauses.truncate(keep);
            pauses.sort_by(|a, b| a.0.total_cmp(&b.0));
            run.pauses_ms = pauses;
        }
        text = serde_json::to_string(&results).ok()?;
    }
    if keep < most {
        results.warnings.push(format!(
            "this file has only the {keep} longest pauses of each run; the tables were made from all"
        ));
        text = serde_json::to_string(&results).ok()?;
    }
    (text.len() <= limit).then_some(text)
}

/// To a thousandth.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::tests::run;

    fn many() -> Results {
        let pauses: Vec<(f64, f64)> =
            (0..500).map(|k| (f64::from(k) + 0.123_456_7, f64::from(k % 50) * 0.1)).collect();
        let runs = (0..20).map(|_| run("graph", "bdwgc", 1.0, &pauses)).collect();
        Results { runs, ..Results::default() }
    }

    #[test]
    fn small_results_are_results_with_the_longest_pauses() {
        let results = many();
        let text = small(&results, 60_000).expect("that is enough room");
        assert!(text.len() <= 60_000);
        let read: Results = serde_json::from_str(&text).unwrap();
        assert_eq!(read.runs.len(), 20);
        let kept = &read.runs[0].pauses_ms;
        assert!(kept.len() > 10 && kept.len() < 500, "{}", kept.len());
        assert!(kept.iter().all(|&(_, length)| length > 3.0), "the longest");
        assert!(kept.is_sorted_by(|a, b| a.0 < b.0), "in their order");
        assert!(read.warnings[0].contains("longest pauses"), "and it says so");
    }

    #[test]
    fn what_fits_is_kept_whole_and_what_cannot_fit_is_not_kept() {
        let results = many();
        let read: Results = serde_json::from_str(&small(&results, 1 << 20).unwrap()).unwrap();
        assert_eq!(read.runs[0].pauses_ms.len(), 500);
        assert_eq!(read.runs[0].pauses_ms[0].0, 0.123);
        assert!(read.warnings.is_empty());
        assert_eq!(small(&results, 100), None);
    }
}
