//! Every peer reads through its pointers what the others read, and says so with the same names.

#[path = "../../tests/support/runs.rs"]
mod runs;

use runs::{LATENCIES, RUNS, is_timed};
use serde_json::Value;
use std::process::{Command, Output};

const MANUAL: [(&str, &str); 3] = [
    ("malloc", env!("CARGO_BIN_EXE_peer-malloc")),
    ("mimalloc", env!("CARGO_BIN_EXE_peer-mimalloc")),
    ("bump", env!("CARGO_BIN_EXE_peer-bump")),
];
const BDWGC: &str = env!("CARGO_BIN_EXE_peer-bdwgc");

fn run(program: &str, arguments: &str, variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program);
    for variable in ["PEER", "GC_MARKERS", "GC_ENABLE_INCREMENTAL"] {
        command.env_remove(variable);
    }
    command
        .args(arguments.split_whitespace())
        .envs(variables.iter().copied())
        .output()
        .expect("the peer starts")
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs all workloads on a peer and looks at what they have in common.
fn each(peer: &str, program: &str, variables: &[(&str, &str)], inspect: impl Fn(&str, &Value)) {
    for (arguments, checksum) in RUNS {
        let output = run(program, arguments, variables);
        assert!(output.status.success(), "{peer} {arguments}: {}: {}", output.status, errors(&output));
        let result: Value = serde_json::from_slice(&output.stdout).expect("one JSON value");
        assert_eq!(result["checksum"], checksum, "{peer} {arguments}");
        assert_eq!(result["peer"], peer);
        let (workload, params) = arguments.split_once(' ').expect("a name and sizes");
        assert_eq!((&result["workload"], &result["params"]), (&workload.into(), &params.into()));
        for name in ["wall_s", "cpu_s", "peak_rss_mib"] {
            assert!(result[name].is_f64(), "{peer} {arguments}: {name} in {result}");
        }
        let latencies = result["latency_ms"].as_object().expect("named latencies");
        assert_eq!(
            LATENCIES.iter().all(|name| latencies.contains_key(*name)),
            is_timed(arguments),
            "{result}"
        );
        assert_eq!(latencies.contains_key("service p99.9"), workload == "server", "{result}");
        let is_slow = |op: &Value| op[1].as_f64().is_some_and(|length| length >= 0.1);
        assert!(result["slow_ops_ms"].as_array().expect("a list").iter().all(is_slow), "{result}");
        inspect(arguments, &result);
    }
}

#[test]
fn without_a_collector() {
    for (peer, program) in MANUAL {
        each(peer, program, &[], |run, result| {
            assert_eq!(
                (&result["gcs"], &result["pauses_ms"]),
                (&0.into(), &Value::Array(Vec::new())),
                "{run}"
            );
        });
    }
}

/// `false`, and a line, where the library was not there when this was compiled.
fn has_bdwgc() -> bool {
    let output = run(BDWGC, "--help", &[]);
    if output.status.code() == Some(3) {
        eprintln!("skipped: {}", errors(&output));
        assert_eq!(errors(&output).lines().count(), 1);
        return false;
    }
    assert!(output.status.success(), "{}", errors(&output));
    true
}

#[test]
fn with_bdwgc() {
    if !has_bdwgc() {
        return;
    }
    for (variable, markers, incremental) in
        [("GC_MARKERS=1", 1, false), ("GC_MARKERS=2", 2, false), ("GC_ENABLE_INCREMENTAL=1", 1, true)]
    {
        each("bdwgc", BDWGC, &[variable.split_once('=').expect("a value")], |run, result| {
            assert_eq!(result["gc"]["incremental"], incremental, "{run}: {result}");
            // A library that was compiled without them has one whatever it is asked for.
            let has = result["gc"]["markers"].as_i64().expect("a number");
            assert!((1..=markers).contains(&has), "{run}: {result}");
            let pauses = result["pauses_ms"].as_array().expect("a list");
            let longest = pauses.iter().filter_map(|pause| pause[1].as_f64()).fold(0.0, f64::max);
            assert_eq!(Some(longest), result["gc_max_pause_ms"].as_f64(), "{run}: {result}");
            if run.starts_with("gcbench") {
                assert!(result["gcs"].as_u64() > Some(0) && longest > 0.0, "{run}: {result}");
            }
        });
    }
}

#[test]
fn wrong_arguments_exit_with_2_and_say_which() {
    for (peer, program) in MANUAL {
        for (arguments, names) in [
            ("", "Usage"),
            ("sort 3", "sort"),
            ("gcbench many", "many"),
            ("gcbench -1", "-1"),
            ("gcbench 0", "LIVE"),
            ("binarytrees 8 17", "THREADS"),
            ("churn 1 1001", "WRITES"),
            ("larson 1 2 3 4", "`4`"),
        ] {
            let output = run(program, arguments, &[]);
            assert_eq!(output.status.code(), Some(2), "{peer} {arguments}");
            assert!(errors(&output).contains(names), "{peer} `{arguments}`: {}", errors(&output));
            assert!(output.stdout.is_empty(), "{peer} {arguments}");
        }
    }
}

#[test]
fn help_lists_the_workloads() {
    for (peer, program) in MANUAL {
        let output = run(program, "--help", &[]);
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for (arguments, _) in RUNS {
            let (workload, _) = arguments.split_once(' ').expect("a name and sizes");
            assert!(text.contains(workload), "{peer}: {workload}");
        }
    }
}
