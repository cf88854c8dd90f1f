//! The command line: formats and exit codes.

mod support;

use palimpsest_doctor::conformance::{self, Verdict};
use std::process::Command;
use support::{conformance, doctor, run};

#[test]
fn json_holds_every_row_that_was_asked() {
    let run = conformance(&["--only", "second-uffd/"]);
    assert_eq!(run.code(), Some(0), "{}", run.errors());
    let report = run.report();
    let asked = conformance::rows().filter(|(question, _)| question.name == "second-uffd").count();
    assert_eq!(report.rows.len(), asked);
    assert!(!report.kernel.is_empty());
    assert!(report.rows.iter().all(|row| !row.expected.is_empty() && !row.observed.is_empty()));
}

#[test]
fn text_and_markdown_show_the_same_rows() {
    let only = ["--conformance", "--only", "second-uffd/shared/sigbus"];
    let text = doctor(&only).text();
    let markdown = doctor(&[&only[..], &["--markdown"]].concat()).text();
    assert!(text.contains("second-uffd:"), "{text}");
    assert!(markdown.contains("### second-uffd"), "{markdown}");
    assert!(markdown.contains("| shared | sigbus |"), "{markdown}");
}

#[test]
fn an_answer_that_does_not_come_in_time_is_hung_and_exits_with_1() {
    let run = conformance(&["--only", "signal-storm/shared/mprotect", "--deadline", "0"]);
    assert_eq!(run.report().rows[0].verdict, Verdict::Hung);
    assert_eq!(run.code(), Some(1));
}

#[test]
fn a_question_that_is_killed_is_reported_with_its_signal() {
    // A memory file of any size is over this limit, and the kernel kills for that.
    let script = "ulimit -f 0; exec \"$0\" --conformance --json --only first-write/shared/mprotect";
    let run = run(Command::new("sh").args(["-c", script, env!("CARGO_BIN_EXE_doctor")]));
    let row = &run.report().rows[0];
    assert_eq!((row.verdict, run.code()), (Verdict::Died, Some(1)), "{row:?}");
    assert!(row.observed.contains("SIGXFSZ"), "{}", row.observed);
}

#[test]
fn what_cannot_be_asked_is_a_usage_error() {
    for arguments in [
        &["--conformance", "--only", "no such question"][..],
        &["--conformance", "--json", "--markdown"],
        &["--only", "first-write"],
        &["--ask", "first-write/nowhere/sigbus"],
        &["--frobnicate"],
    ] {
        let run = doctor(arguments);
        assert_eq!(run.code(), Some(2), "{arguments:?}: {}", run.text());
        assert!(!run.errors().is_empty());
    }
}

#[test]
fn row_names_are_found_again() {
    for (question, setting) in conformance::rows() {
        let name = conformance::row_name(question, setting);
        let (found, its) = conformance::find(&name).expect("a row");
        assert_eq!((found.name, its), (question.name, setting));
    }
}
