//! Every workload reads through its pointers what the C program with explicit frees reads, however often the heap is
//! collected, and reports it with the names that the programs for other collectors use.

mod support;

use serde_json::Value;
use support::{errors, workload};

/// Arguments, and the checksum that the C program prints for them.
const RUNS: [(&str, u64); 5] = [
    ("gcbench 8 10", 62_906),
    ("binarytrees 8 1", 147_454),
    ("binarytrees 8 3", 147_454),
    ("msgmap 300 3", 617_551),
    ("graph 1 5000", 71_170_329),
];

/// Runs every workload with these settings and hands each result to `inspect`.
fn each(settings: &str, inspect: impl Fn(&str, &Value)) {
    for (run, checksum) in RUNS {
        let arguments = format!("{run} {settings}");
        let output = workload(&arguments);
        assert!(output.status.success(), "`{arguments}`: {}: {}", output.status, errors(&output));
        let result: Value = serde_json::from_slice(&output.stdout).expect("one JSON value");
        assert_eq!(result["checksum"], checksum, "`{arguments}`");
        inspect(run, &result);
    }
}

fn cycles_went_well(run: &str, result: &Value) {
    assert_ne!(result["gc"]["cycles"], 0, "{run}: {result}");
    assert_eq!(result["gc"]["failures"], 0, "{run}: {result}");
}

#[test]
fn by_default() {
    each("", |run, result| {
        let mut expected = vec!["wall_s", "cpu_s", "peak_rss_mib", "alloc_mib", "gc_max_pause_ms"];
        if run.starts_with("graph") {
            expected.push("build_s");
        }
        if run.starts_with("graph") || run.starts_with("msgmap") {
            expected.extend(["max_pause_ms", "p999_ms", "p99_ms", "p50_ms"]);
        }
        for name in expected {
            assert!(result[name].is_f64(), "{run}: {name} in {result}");
        }
        assert_eq!(result["peer"], "palimpsest");
        let (workload, params) = run.split_once(' ').expect("a name and sizes");
        assert_eq!((&result["workload"], &result["params"]), (&workload.into(), &params.into()));
        assert_eq!(result["gcs"], result["gc"]["cycles"], "{run}");
    });
}

#[test]
fn with_frequent_cycles() {
    each("--cycle-every 1", |_, _| ());
}

#[test]
fn with_the_world_stopped() {
    each("--snapshot stw --cycle-every 1", |_, _| ());
}

#[test]
fn under_stress() {
    each("--stress 500", cycles_went_well);
}

#[test]
fn under_stress_with_the_world_stopped() {
    each("--snapshot stw --stress 500", cycles_went_well);
}
