//! The timeline of one cycle is what the report reads, and its parts follow one another as those of a cycle do.

mod support;

use palimpsest_report::results::{Span, Timeline};
use support::{errors, workload};

fn timeline(arguments: &str, file: &str) -> Timeline {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
    let output = workload(&format!("{arguments} --timeline {}", file.display()));
    assert!(output.status.success(), "{}", errors(&output));
    serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("a timeline")
}

/// What a moment may lose where durations are added.
const BIT: f64 = 1e-6;

#[test]
fn parts_of_a_cycle_are_in_order() {
    let timeline =
        timeline("churn 8 500 2000000 1 --snapshot forkcow --gc young=off --cycle-every 4", "forkcow.json");
    assert_eq!(timeline.of, "churn 8 500 2000000 1");
    let [(program, pauses), (collector, parts), (_, marking)] = &timeline.rows[..] else {
        panic!("three rows: {timeline:?}");
    };
    assert_eq!((program.as_str(), collector.as_str()), ("program", "collector"));
    let [pause] = &pauses[..] else { panic!("one pause: {timeline:?}") };
    let [marking] = &marking[..] else { panic!("one marking: {timeline:?}") };
    assert!(marking.from_ms > pause.from_ms && marking.from_ms <= pause.to_ms + BIT, "{timeline:?}");
    let part = |name: &str| parts.iter().find(|part| part.name == name).expect(name);
    let fork = part("fork");
    assert!(pause.from_ms <= fork.from_ms && fork.to_ms <= pause.to_ms + BIT, "{timeline:?}");
    assert!(part("sweep").from_ms + BIT >= marking.to_ms, "{timeline:?}");
    let is_sane = |span: &Span| span.from_ms >= 0.0 && span.to_ms > span.from_ms;
    assert!(timeline.rows.iter().flat_map(|(_, spans)| spans).all(is_sane), "{timeline:?}");
    assert!(parts.is_sorted_by(|one, next| one.from_ms <= next.from_ms + BIT), "{timeline:?}");
}

/// Where the machine has a barrier, its rounds are there, and the traps that it took.
#[test]
fn a_barrier_has_rounds_and_traps() {
    if std::env::var_os(palimpsest::ladder::VARIABLE).is_some() {
        eprintln!("skipped: {} is set, and this is about the best rung", palimpsest::ladder::VARIABLE);
        return;
    }
    let timeline = timeline("churn 16 1000 3000000 1 --gc young=off --cycle-every 8", "best.json");
    let rounds = timeline.rows[1].1.iter().filter(|part| part.name.starts_with("arm round")).count();
    let traps: u64 = timeline.traps.iter().map(|&(_, traps)| traps).sum();
    assert_eq!(rounds > 0, traps > 0, "{timeline:?}");
    let next_to_each_other =
        |one: &(f64, u64), next: &(f64, u64)| (next.0 - one.0 - timeline.traps_every_ms).abs() < 1e-9;
    assert!(timeline.traps.is_sorted_by(next_to_each_other), "{timeline:?}");
}

#[test]
fn without_such_a_cycle_there_is_none() {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("none.json");
    let output = workload(&format!("binarytrees 8 1 --snapshot stw --timeline {}", file.display()));
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    assert!(errors(&output).contains("no timeline"), "{}", errors(&output));
}
