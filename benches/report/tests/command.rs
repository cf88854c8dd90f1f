//! The whole command on stand-ins for the programs: what it runs, what it writes, and what it says of programs that misbehave.

mod stage;

use palimpsest_report::results::{Results, Run};
use stage::{Stage, code};
use std::fs;
use std::time::{Duration, Instant};

const GRAPH: [&str; 6] = ["--part", "programs", "--only", "graph", "--rounds", "3"];

#[test]
fn a_report_has_every_peer_in_every_round_and_each_round_begins_with_another() {
    let stage = Stage::new("all-is-well");
    let output = stage.report(&GRAPH);
    assert_eq!(code(&output), Some(0));
    let results = stage.results();
    // Six rungs but for the one that is taken by itself and the one that is refused, then six peers.
    let round = |number| -> Vec<&str> {
        results.runs.iter().filter(|run| run.round == number).map(|run| run.peer.as_str()).collect()
    };
    let first = round(0);
    assert_eq!(first.len(), 6 + 6, "{first:?}");
    assert_eq!(first[..2], ["palimpsest", "palimpsest preimage/monitor"]);
    assert!(!first.contains(&"palimpsest preimage/signal"), "that is what `palimpsest` is");
    for (number, expected) in [(1, 1), (2, 2)] {
        let mut turned = first.clone();
        turned.rotate_left(expected);
        assert_eq!(round(number), turned);
    }
    assert_eq!(results.runs.len(), 36, "warm-ups do not count");
    assert_eq!(stage.count("peer-malloc graph"), 4, "and there was one");
    let refused =
        results.skipped.iter().find(|(who, _)| who == "palimpsest stw/async").expect("the refused rung");
    assert!(refused.1.contains("cannot be had here"), "{}", refused.1);
    assert!(
        results.machine.iter().any(|(name, value)| name == "ladder" && value == "preimage/signal/user-call")
    );
    let report = fs::read_to_string(stage.out().join("report.md")).expect("tables");
    assert!(report.contains("#### graph 512 0") && report.contains("| bdwgc-inc |"), "{report}");
    assert!(report.contains("](pictures/"), "{report}");
    assert!(stage.out().join("report.html").exists() && stage.out().join("results-small.json").exists());
}

#[test]
fn another_checksum_is_a_warning_and_a_failure() {
    let stage = Stage::new("liar");
    stage.program("peer-mimalloc", "checksum=8");
    assert_eq!(code(&stage.report(&GRAPH)), Some(1));
    let warnings = stage.results().warnings;
    let told = warnings
        .iter()
        .find(|warning| warning.contains("checksums of graph 512 0 differ"))
        .expect("a warning");
    assert!(told.contains("8 (mimalloc)"), "{told}");
}

#[test]
fn a_program_that_hangs_is_killed_with_its_children_and_the_others_are_measured() {
    let stage = Stage::new("hangs");
    let child = stage.directory.join("child");
    let hang = format!("sleep 1000 & echo $! >'{}'; wait", child.display());
    stage.program("peer-malloc", &hang);
    let start = Instant::now();
    let output = stage.report(&[&GRAPH[..], &["--limit", "1", "--peer", "malloc,bump"]].concat());
    assert!(start.elapsed() < Duration::from_secs(60));
    assert_eq!(code(&output), Some(0), "it is not ours");
    let results = stage.results();
    assert!(
        results
            .warnings
            .iter()
            .any(|warning| warning.contains("malloc") && warning.contains("more than 1 s"))
    );
    assert_eq!(peers(&results), ["bump"; 3]);
    assert_eq!(stage.count("peer-malloc graph"), 1, "once is enough");
    let child = fs::read_to_string(child).expect("it has started a child");
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.trim()));
    assert!(stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")), "its child is still there");
}

#[test]
fn programs_that_die_or_fail_or_say_nothing_are_told_of() {
    let stage = Stage::new("fails");
    stage.program("peer-malloc", "kill -SEGV $$");
    stage.program("peer-mimalloc", "echo 'out of luck' >&2; exit 7");
    stage.program("peer-bump", "exit 0");
    let output = stage.report(&[&GRAPH[..], &["--peer", "malloc,mimalloc,bump,bdwgc"]].concat());
    assert_eq!(code(&output), Some(0));
    let results = stage.results();
    for (peer, why) in
        [("malloc", "signal 11"), ("mimalloc", "exit code 7: out of luck"), ("bump", "printed nothing")]
    {
        let on = format!("graph 512 0 on {peer}, warming up: ");
        assert!(
            results.warnings.iter().any(|told| told.starts_with(&on) && told.contains(why)),
            "{:?}",
            results.warnings
        );
    }
    assert_eq!(peers(&results), ["bdwgc"; 3]);
}

#[test]
fn ours_must_not_fail() {
    let stage = Stage::new("ours-fails");
    stage.program("workload", "if [ $1 = graph ]; then echo 'workload: out of memory' >&2; exit 1; fi");
    let output = stage.report(&[&GRAPH[..], &["--peer", "palimpsest,malloc"]].concat());
    assert_eq!(code(&output), Some(1));
    assert_eq!(peers(&stage.results()), ["malloc"; 3]);
}

#[test]
fn a_peer_that_is_not_there_is_skipped_with_its_reason() {
    let stage = Stage::new("missing");
    stage.program("peer-bdwgc", "echo 'install libgc-dev' >&2; exit 3");
    let output = stage.report(&["--quick", "--part", "programs", "--peer", "bdwgc,malloc", "--rounds", "1"]);
    assert_eq!(code(&output), Some(0));
    let results = stage.results();
    assert!(results.skipped.contains(&("bdwgc".into(), "install libgc-dev".into())), "{:?}", results.skipped);
    assert_eq!(stage.count("peer-bdwgc"), 1, "it is not asked again on the other workloads");
    assert_eq!(peers(&results), ["malloc"; 7]);
}

#[test]
fn memory_is_that_of_all_processes_and_gives_no_times() {
    let stage = Stage::new("memory");
    // Both hold a part of this; the shell itself does not.
    let hold = "for k in 1 2; do head -c 20000000 /dev/zero | tail -c 20000000 | (sleep 0.3; wc -c >/dev/null) & done; wait";
    stage.program("peer-malloc", hold);
    let output = stage.report(&["--part", "memory", "--only", "graph", "--peer", "malloc"]);
    assert_eq!(code(&output), Some(0));
    let runs = stage.results().runs;
    let [Run { pss_mib: Some(pss), .. }] = &runs[..] else { panic!("one run with its memory: {runs:?}") };
    assert!(*pss > 36.0 && *pss < 200.0, "{pss}");
    let report = fs::read_to_string(stage.out().join("report.md")).expect("tables");
    assert!(report.contains("| malloc | - | - |"), "no times: {report}");
}

#[test]
fn a_worker_that_outlives_its_program_is_a_part_of_its_processor_time() {
    let stage = Stage::new("orphan");
    stage.program("peer-malloc", "while :; do :; done & sleep 1");
    assert_eq!(
        code(&stage.report(&["--part", "programs", "--only", "graph", "--rounds", "1", "--peer", "malloc"])),
        Some(0)
    );
    let runs = stage.results().runs;
    assert!(runs[0].cpu_s > 0.1, "what it left behind had a second, and counts as {} s", runs[0].cpu_s);
}

#[test]
fn a_timeline_is_taken_down() {
    let stage = Stage::new("timeline");
    assert_eq!(code(&stage.report(&["--part", "timeline", "--quick"])), Some(0));
    let timeline = stage.results().timeline.expect("a timeline");
    assert_eq!(timeline.rows[0].1[0].name, "marking");
}

#[test]
fn after_a_signal_there_is_what_was_measured() {
    let stage = Stage::new("interrupted");
    stage.program("peer-bump", r#"if grep -qs '"peer":"bump"' out/results.json; then sleep 1000; fi"#);
    let mut command = stage.command(&[&GRAPH[..], &["--peer", "malloc,bump"]].concat());
    let report = command.current_dir(&stage.directory).spawn().expect("the report starts");
    let deadline = Instant::now() + Duration::from_secs(60);
    // Warming up, round 0, and the run that does not end by itself.
    while stage.count("peer-bump graph") < 3 {
        assert!(Instant::now() < deadline, "it does not come to the last run");
        std::thread::sleep(Duration::from_millis(10));
    }
    let id = rustix::process::Pid::from_child(&report);
    rustix::process::kill_process(id, rustix::process::Signal::INT).expect("a signal");
    let output = report.wait_with_output().expect("its end");
    assert_eq!(code(&output), Some(130));
    let results = stage.results();
    assert_eq!(results.runs.iter().filter(|run| run.round == 0).count(), 2);
    assert!(
        results.warnings.iter().any(|warning| warning.contains("interrupted after")),
        "{:?}",
        results.warnings
    );
    assert!(stage.out().join("report.md").exists());
}

#[test]
fn results_can_be_drawn_again() {
    let stage = Stage::new("again");
    assert_eq!(code(&stage.report(&[&GRAPH[..], &["--peer", "malloc,bump"]].concat())), Some(0));
    let tables = stage.out().join("report.md");
    let first = fs::read_to_string(&tables).expect("tables");
    fs::remove_file(&tables).expect("remove");
    let file = stage.out().join("results.json");
    let file = file.to_str().expect("a name");
    assert_eq!(code(&stage.report(&["--draw", file])), Some(0));
    assert_eq!(fs::read_to_string(&tables).expect("tables"), first);
    fs::write(stage.out().join("other.json"), "{}").expect("write");
    let other = stage.out().join("other.json");
    assert_eq!(code(&stage.report(&["--draw", other.to_str().expect("a name")])), Some(2));
}

#[test]
fn a_filter_that_means_nobody_is_refused_with_the_names_that_there_are() {
    let stage = Stage::new("nobody");
    let output = stage.report(&["--part", "programs", "--only", "grahp"]);
    assert_eq!(code(&output), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there are binarytrees, churn"));
    let output = stage.report(&["--part", "programs", "--peer", "mallocs"]);
    assert_eq!(code(&output), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bdwgc-inc"));
}

#[test]
fn no_more_runs_are_begun_after_the_budget() {
    let stage = Stage::new("budget");
    stage.program("peer-malloc", "sleep 1.1");
    let output = stage.report(&[&GRAPH[..], &["--peer", "malloc,bump", "--budget", "1"]].concat());
    assert_eq!(code(&output), Some(2), "nothing was measured but warm-ups");
    assert!(stage.results().warnings.iter().any(|warning| warning.contains("was over before the last")));
    assert!(stage.count("peer-") <= 2);
}

/// Who ran, in the order of the runs.
fn peers(results: &Results) -> Vec<&str> {
    results.runs.iter().map(|run| run.peer.as_str()).collect()
}
