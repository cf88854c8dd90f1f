//! `doctor` without arguments: what this machine offers, and whether the collector can run.

mod support;

use palimpsest_doctor::examination::{Examination, Offer};
use std::process::Command;
use support::{Run, doctor, run};

fn examination(run: &Run) -> Examination {
    serde_json::from_str(&run.text()).unwrap_or_else(|e| panic!("{e}: {}{}", run.text(), run.errors()))
}

#[test]
fn it_names_the_rung_a_heap_would_stand_on() {
    let run = doctor(&["--json"]);
    let found = examination(&run);
    assert_eq!(run.code(), Some(i32::from(!found.can_run())));
    let text = doctor(&[]).text();
    for name in ["user-call", "device", "signal", "protect", "fork"] {
        assert!(text.contains(name), "{name} is not in {text}");
    }
    if let Some(rung) = found.rung {
        assert!(text.contains(&format!("stands on: {rung}")), "{text}");
    }
}

#[test]
fn where_userfaultfd_is_denied_it_says_what_to_change() {
    let run = doctor(&["--deny-userfaultfd", "--json"]);
    let found = examination(&run);
    assert!(found.doors.iter().all(|Offer { refused, .. }| refused.is_some()), "{found:?}");
    assert!(found.features.is_empty());
    assert!(found.changes.iter().any(|change| change.contains("seccomp")), "{:?}", found.changes);
    assert!(found.rung.is_none_or(|rung| !rung.contains("signal")));
}

#[test]
fn a_forced_rung_that_cannot_be_had_exits_with_1_and_a_reason() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doctor"));
    let run = run(command.args(["--deny-userfaultfd", "--json"]).env("PALIMPSEST_RUNG", "preimage/monitor"));
    let found = examination(&run);
    assert_eq!((run.code(), found.rung), (Some(1), None));
    assert!(!found.changes.is_empty());
}

#[test]
fn a_rung_that_does_not_exist_is_an_answer_and_no_panic() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doctor"));
    let run = run(command.env("PALIMPSEST_RUNG", "preimage/magic"));
    assert_eq!(run.code(), Some(1));
    assert!(run.text().contains("magic"), "{}", run.text());
}
