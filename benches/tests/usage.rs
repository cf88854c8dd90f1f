//! What the program says when it is asked for the wrong thing, or for too much.

mod support;

use support::{errors, workload, workload_with};

#[test]
fn wrong_arguments_exit_with_2_and_say_which() {
    for (arguments, names) in [
        ("", "Usage"),
        ("sort 3", "sort"),
        ("gcbench many", "many"),
        ("gcbench 0", "LIVE"),
        ("binarytrees 8 17", "THREADS"),
        ("msgmap 300 1", "TIMES"),
        ("larson 65 10 1", "THREADS"),
        ("server 10 10 -1", "-1"),
        ("churn 1 1001", "WRITES"),
        ("graph 1 5000 --snapshot never", "preimage, forkcow or stw"),
        ("graph 1 5000 --rung preimage/never", "signal, monitor, protect or async"),
        ("graph 1 5000 --rung preimage/async", "afterwards"),
        ("graph 1 5000 --rung preimage/signal/window", "user-call, call or device"),
        ("graph 1 5000 --heap-limit 0", "--heap-limit"),
        ("graph 1 5000 --gc limt=1G", "did you mean `limit`?"),
        ("graph 1 5000 --gc cycle-every=0", "at least 64K"),
    ] {
        let output = workload(arguments);
        assert_eq!(output.status.code(), Some(2), "`{arguments}`");
        assert!(errors(&output).contains(names), "`{arguments}` does not name {names}: {}", errors(&output));
        assert!(output.stdout.is_empty(), "`{arguments}`");
    }
}

#[test]
fn help_explains_each_workload() {
    let output = workload("--help");
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in [
        "gcbench",
        "binarytrees",
        "msgmap",
        "graph",
        "larson",
        "server",
        "churn",
        "--timeline",
        "--heap-limit",
        "--cycle-every",
        "--stress",
    ] {
        assert!(text.contains(word), "{word}");
    }
    for word in [
        "--snapshot",
        "forkcow",
        "stw",
        "monitor",
        "protect",
        "async",
        "user-call",
        "device",
        "PALIMPSEST_RUNG",
        "PALIMPSEST_OPTIONS",
    ] {
        assert!(text.contains(word), "{word}, of --rung");
    }
    for option in palimpsest::options::all() {
        assert!(text.contains(&format!("{}={}", option.name, option.value)), "{}", option.name);
    }
}

#[test]
fn too_small_a_heap_exits_with_1_and_says_what_to_raise() {
    let output = workload("msgmap 100000 2 --heap-limit 32");
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    assert!(errors(&output).contains("--heap-limit"), "{}", errors(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn log_has_its_own_stream() {
    let output = workload("binarytrees 16 1 --cycle-every 1 --gc-log");
    assert!(output.status.success(), "{}", errors(&output));
    let log = errors(&output);
    let mut lines = log.lines();
    assert!(lines.next().is_some_and(|line| line.starts_with("rung ")), "the rung comes first: {log}");
    assert!(lines.next().is_some_and(|line| line.starts_with("cycle ")), "cycles are logged: {log}");
    assert!(lines.last().is_some_and(|line| line.starts_with("pauses: ")), "and how they were: {log}");
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("the result alone");
    for figure in ["pause_p50_ms", "pause_p90_ms", "pause_p99_ms", "pause_p999_ms", "pause_max_ms"] {
        assert!(result["gc"][figure].is_f64(), "{figure}");
    }
}

#[test]
fn rung_is_named_by_option_or_environment() {
    for (option, variable, rung) in [
        ("--rung stw", "", "stw, forced by the program"),
        ("--rung stw/none", "nonsense", "stw, forced by the program"),
        ("", "stw", "stw, forced by PALIMPSEST_RUNG"),
        ("--gc rung=stw", "forkcow", "stw, forced by the program"),
    ] {
        let output = workload_with(&format!("binarytrees 8 1 {option}"), &[("PALIMPSEST_RUNG", variable)]);
        assert!(output.status.success(), "{}", errors(&output));
        let result: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON value");
        assert_eq!(result["gc"]["ladder"], rung, "{option} {variable}");
    }
}

#[test]
fn environment_that_names_no_rung_exits_with_1_and_says_so() {
    let output = workload_with("binarytrees 8 1", &[("PALIMPSEST_RUNG", "nonsense")]);
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    assert!(errors(&output).contains("PALIMPSEST_RUNG=nonsense"), "{}", errors(&output));
    assert!(output.stdout.is_empty());
}
