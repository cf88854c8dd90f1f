//! What a program says of its run: one line of JSON with the names that all programs use, or the statistics of the interpreter.
//!
//! Elapsed time is the program's own figure, from the beginning of the workload to its end. Processor time is the kernel's, of the
//! process and all that it has started, from their start to their end: a program cannot know what a worker takes that outlives the
//! workload.

use super::process::Outcome;
use crate::plan::{Peer, Set};
use crate::results::{Part, Run};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The line of a workload. What a program has nothing to say about may be left out; time and checksum may not.
#[derive(Deserialize)]
struct Line {
    wall_s: f64,
    peak_rss_mib: f64,
    checksum: Value,
    #[serde(default)]
    gcs: u64,
    #[serde(default)]
    pauses_ms: Vec<(f64, f64)>,
    #[serde(default)]
    slow_ops_ms: Vec<(f64, f64)>,
    #[serde(default)]
    latency_ms: BTreeMap<String, f64>,
    #[serde(default)]
    gc: Value,
}

/// The run that a program's output tells of.
///
/// # Errors
/// A sentence that says what is wrong with it.
pub fn run(set: &Set, peer: &Peer, round: u32, outcome: &Outcome, noisy: bool) -> Result<Run, String> {
    let line = if set.part == Part::Lox { interpreted(outcome)? } else { workload(outcome)? };
    if line.wall_s < 0.0 {
        return Err("its time is negative".into());
    }
    Ok(Run {
        part: set.part,
        peer: peer.name.clone(),
        workload: set.workload.clone(),
        params: set.params.clone(),
        x: set.x,
        round,
        wall_s: line.wall_s,
        cpu_s: outcome.cpu_s,
        pss_mib: outcome.pss_mib,
        rss_mib: line.peak_rss_mib,
        gcs: line.gcs,
        pauses_ms: line.pauses_ms,
        slow_ops_ms: line.slow_ops_ms,
        latency_ms: line.latency_ms,
        checksum: match line.checksum {
            Value::String(text) => text,
            other => other.to_string(),
        },
        gc: line.gc,
        noisy,
    })
}

/// The last line of standard output.
fn workload(outcome: &Outcome) -> Result<Line, String> {
    let last =
        outcome.stdout.lines().rev().find(|line| !line.trim().is_empty()).ok_or("it printed nothing")?;
    serde_json::from_str(last).map_err(|error| {
        let beginning: String = last.chars().take(60).collect();
        format!("its last line is no result: {error}: {beginning}")
    })
}

/// The interpreter knows nothing of workloads: the time is that of the process, the checksum is what the program printed, and the
/// statistics are the last line of standard error. It keeps no list of pauses.
fn interpreted(outcome: &Outcome) -> Result<Line, String> {
    let gc: Value = serde_json::from_str(outcome.last_words())
        .map_err(|error| format!("its last line on standard error are no statistics: {error}"))?;
    Ok(Line {
        wall_s: outcome.wall.as_secs_f64(),
        peak_rss_mib: outcome.rss_mib,
        checksum: Value::String(digest(outcome.stdout.trim())),
        gcs: gc["cycles"].as_u64().ok_or("its statistics have no cycles")?,
        pauses_ms: Vec::new(),
        slow_ops_ms: Vec::new(),
        latency_ms: BTreeMap::new(),
        gc,
    })
}

/// A short text as it is, a long one as a number that differs where the texts do.
fn digest(text: &str) -> String {
    if text.len() <= 40 && !text.contains('\n') {
        return text.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Needs;
    use crate::run::process::End;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;
    use std::time::Duration;

    fn outcome(stdout: &str, stderr: &str) -> Outcome {
        Outcome {
            end: End::Itself(ExitStatus::from_raw(0)),
            stdout: stdout.into(),
            stderr: stderr.into(),
            wall: Duration::from_millis(1500),
            cpu_s: 2.0,
            rss_mib: 30.0,
            pss_mib: Some(12.5),
        }
    }

    fn read(part: Part, stdout: &str, stderr: &str) -> Result<Run, String> {
        let needs = Needs { live_mib: 1.0, total_mib: 1.0 };
        let set = Set {
            part,
            workload: "graph".into(),
            params: "512 0".into(),
            arguments: Vec::new(),
            x: 3.0,
            peers: Vec::new(),
            rounds: 1,
            warm_up: false,
            memory: false,
            needs,
        };
        run(&set, &Peer::program("bdwgc", "peer-bdwgc"), 4, &outcome(stdout, stderr), true)
    }

    #[test]
    fn a_line_becomes_a_run() {
        let line = r#"{"peer":"x","wall_s":1.25,"cpu_s":9,"peak_rss_mib":99.5,"gcs":3,"pauses_ms":[[10,0.5],[20.5,1]],
            "slow_ops_ms":[[1.5,0.2]],"latency_ms":{"p50":0.01,"service p50":0.005},"checksum":18446744073709551615,
            "gc":{"rung":"stw"},"build_s":7}"#
            .replace('\n', " ");
        let run = read(Part::Programs, &format!("some words\n{line}\n\n"), "").unwrap();
        assert_eq!(
            (run.peer.as_str(), run.workload.as_str(), run.params.as_str()),
            ("bdwgc", "graph", "512 0")
        );
        assert_eq!((run.x, run.round, run.noisy, run.pss_mib), (3.0, 4, true, Some(12.5)));
        assert_eq!((run.wall_s, run.cpu_s, run.rss_mib, run.gcs), (1.25, 2.0, 99.5, 3));
        assert_eq!(run.pauses_ms, [(10.0, 0.5), (20.5, 1.0)]);
        assert_eq!(run.latency_ms["service p50"], 0.005);
        assert_eq!(run.checksum, "18446744073709551615");
        assert_eq!(run.gc["rung"], "stw");
    }

    #[test]
    fn what_a_peer_has_not_is_empty() {
        let run = read(Part::Programs, r#"{"wall_s":1,"peak_rss_mib":1,"checksum":"af"}"#, "").unwrap();
        assert_eq!((run.gcs, run.pauses_ms.len(), run.checksum.as_str()), (0, 0, "af"));
        assert!(run.gc.is_null());
    }

    #[test]
    fn no_result_is_refused_with_a_reason() {
        for (stdout, reason) in [
            ("", "printed nothing"),
            ("done", "no result"),
            (r#"{"wall_s":1}"#, "missing field"),
            (r#"{"wall_s":null,"peak_rss_mib":1,"checksum":1}"#, "invalid type"),
            (r#"{"wall_s":-1,"peak_rss_mib":1,"checksum":1}"#, "negative"),
        ] {
            let error = read(Part::Programs, stdout, "").unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn the_interpreter_is_measured_from_outside() {
        let run = read(Part::Lox, "42\n", "warning\n{\"cycles\":7}\n").unwrap();
        assert_eq!((run.wall_s, run.cpu_s, run.rss_mib), (1.5, 2.0, 30.0));
        assert_eq!((run.gcs, run.checksum.as_str()), (7, "42"));
        let long = |text: &str| read(Part::Lox, text, "{\"cycles\":0}").unwrap().checksum;
        assert_eq!(long("1\n2\n"), long("1\n2"));
        assert_ne!(long("1\n2\n"), long("1\n3\n"));
        assert!(read(Part::Lox, "42", "Stack overflow.").is_err());
    }
}
