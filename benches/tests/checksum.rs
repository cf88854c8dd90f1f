//! Every workload reads through its pointers what the C program with explicit frees reads, however often the heap is
//! collected, and reports it with the names that the programs for other collectors use.

mod support;

use palimpsest::Wish;
use palimpsest::ladder::Machine;
use serde_json::Value;
use support::runs::{LATENCIES, RUNS, is_timed};
use support::{errors, workload};

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

/// Start and length of each pause.
fn pauses(result: &Value) -> Vec<(f64, f64)> {
    let pauses = result["pauses_ms"].as_array().expect("a list").iter();
    pauses.map(|span| (span[0].as_f64().expect("a start"), span[1].as_f64().expect("a length"))).collect()
}

fn cycles_went_well(run: &str, result: &Value) {
    let pauses = pauses(result);
    // Where a thread is woken late, as on a busy machine, a pause may last into the next one.
    assert!(pauses.is_sorted_by(|one, next| one.0 < next.0), "one after the other: {result}");
    assert!(pauses.iter().all(|pause| pause.0 >= 0.0 && pause.1 > 0.0), "{result}");
    assert!(pauses.len() as u64 >= result["gcs"].as_u64().expect("cycles"), "{result}");
    let longest = pauses.iter().map(|pause| pause.1).fold(0.0, f64::max);
    let told = result["gc"]["pause_max_ms"].as_f64().expect("a pause");
    // The collector's own figure is from a histogram; a cycle that ended after it was asked for is in the list alone.
    assert!(longest >= told * 0.9, "{longest} and {told}: {result}");
    assert_ne!(result["gc"]["cycles"], 0, "{run}: {result}");
    assert_eq!(result["gc"]["failures"], 0, "{run}: {result}");
}

#[test]
fn by_default() {
    each("", |run, result| {
        let mut expected = vec!["wall_s", "cpu_s", "peak_rss_mib", "alloc_mib", "gc_max_pause_ms"];
        if ["graph", "server", "churn"].iter().any(|name| run.starts_with(name)) {
            expected.push("build_s");
        }
        if is_timed(run) {
            expected.extend(["max_pause_ms", "p999_ms", "p99_ms", "p50_ms"]);
        }
        for name in expected {
            assert!(result[name].is_f64(), "{run}: {name} in {result}");
        }
        assert_eq!(result["peer"], "palimpsest");
        let (workload, params) = run.split_once(' ').expect("a name and sizes");
        assert_eq!((&result["workload"], &result["params"]), (&workload.into(), &params.into()));
        assert_eq!(result["gcs"], result["gc"]["cycles"], "{run}");
        let latencies = result["latency_ms"].as_object().expect("named latencies");
        assert_eq!(LATENCIES.iter().all(|name| latencies.contains_key(*name)), is_timed(run), "{result}");
        assert_eq!(latencies.contains_key("service p99.9"), run.starts_with("server"), "{result}");
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

/// Where the machine has it. That it has not is the ladder's business, and is tested there.
fn on_rung(rung: &str) {
    let wish: Wish = rung.parse().expect("a rung");
    let machine = Machine::look();
    if let Err(why) =
        wish.candidates().iter().map(|rung| machine.allows(rung)).reduce(Result::or).expect("some")
    {
        return eprintln!("skipped: {why}");
    }
    for settings in ["--cycle-every 1", "--stress 500"] {
        each(&format!("--rung {rung} {settings}"), |run, result| {
            let stands_on = result["gc"]["rung"].as_str().expect("a rung");
            assert!(stands_on.starts_with(rung), "{run}: {stands_on}");
            if settings.starts_with("--stress") {
                cycles_went_well(run, result);
            }
        });
    }
}

#[test]
fn with_a_monitor() {
    on_rung("preimage/monitor");
}

#[test]
fn with_mprotect() {
    on_rung("preimage/protect");
}

#[test]
fn with_copy_on_write() {
    on_rung("forkcow");
}

#[test]
fn with_tracked_copy_on_write() {
    on_rung("forkcow/async");
}

#[test]
fn with_the_world_stopped_and_tracked() {
    on_rung("stw/async");
}
