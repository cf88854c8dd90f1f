//! The `lox` command: where programs come from, exit codes, and the options of the collector.

mod harness;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::Stdio;

use harness::{lox, run};

fn program(name: &str, source: &str) -> PathBuf {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, source).expect("the test's folder is writable");
    file
}

const GARBAGE: &str = "class N {} var kept; for (var i = 0; i < 200000; i = i + 1) { kept = N(); kept.i = i; } \
                       print kept.i;";

#[test]
fn programs_come_from_files_and_from_standard_input() {
    let file = program("from-file.lox", "print \"file\";");
    assert_eq!(run(lox().arg(file), b"").stdout, "file\n");
    assert_eq!(run(&mut lox(), b"print \"input\";").stdout, "input\n");
    assert_eq!(run(lox().arg("-"), b"print \"dash\";").stdout, "dash\n");
}

#[test]
fn each_way_to_fail_has_its_exit_code() {
    for (source, code) in [("", 0), ("print 1;", 0), ("print ;", 65), ("nil();", 70)] {
        assert_eq!(run(&mut lox(), source.as_bytes()).code, Some(code), "{source}");
    }
    for file in ["/nonexistent/program.lox", "/"] {
        let outcome = run(lox().arg(file), b"");
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(74), ""), "{file}");
        assert!(outcome.stderr.starts_with(&format!("lox: cannot read {file}: ")), "{}", outcome.stderr);
    }
    for arguments in [
        &["--no-such-option"][..],
        &["one.lox", "two.lox"],
        &["--heap-limit", "-1"],
        &["--heap-limit", "0"],
        &["--heap-limit", "99999999999999999999"],
        &["--gc-stress", "0"],
        &["--gc", "limt=16M"],
        &["--gc", "cycle-every=0"],
        &["--gc", "verify"],
        &["--rung", "none"],
        &["--rung", "preimage/async"],
        &["--gc-stats=xml"],
    ] {
        let outcome = run(lox().args(arguments), b"");
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(64), ""), "{arguments:?}");
        assert!(!outcome.stderr.is_empty());
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let help = run(lox().arg("--help"), b"");
    assert_eq!(help.code, Some(0));
    for option in [
        "FILE",
        "--heap-limit",
        "--gc <OPTIONS>",
        "PALIMPSEST_OPTIONS",
        "--rung",
        "PALIMPSEST_RUNG",
        "--cycle-every",
        "--gc-stats",
        "--gc-log",
        "--gc-stress",
        "Exit status",
    ] {
        assert!(help.stdout.contains(option), "{option}");
    }
    for option in palimpsest::options::all() {
        let line = format!("{}={}", option.name, option.value);
        assert!(help.stdout.contains(&line) && help.stdout.contains(option.meaning), "{line}");
    }
    let version = run(lox().arg("--version"), b"");
    assert_eq!((version.code, version.stdout), (Some(0), format!("lox {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn what_was_printed_comes_before_the_error() {
    let outcome = run(&mut lox(), b"print 1;\nprint 2;\nnil.x;");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(70), "1\n2\n"));
    assert_eq!(outcome.stderr, "Only instances have properties.\n[line 3] in script\n");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let file = program("endless-output.lox", "while (true) print \"line\";");
    let mut child =
        lox().arg(file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "line\n");
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!((child.wait().unwrap().code(), errors.as_str()), (Some(0), ""));
}

#[test]
fn statistics_as_json_are_the_last_line_of_standard_error() {
    for (source, code) in [(GARBAGE, 0), ("print 1; nil();", 70), ("print ;", 65)] {
        let outcome =
            run(lox().args(["--gc-stats=json", "--gc-log", "--cycle-every", "1"]), source.as_bytes());
        assert_eq!(outcome.code, Some(code));
        let last = outcome.stderr.lines().last().expect("a line of statistics");
        let statistics: serde_json::Value = serde_json::from_str(last).expect("the line is JSON");
        assert!(statistics["cycles"].is_u64() && statistics["snapshot"].is_string(), "{last}");
    }
    let human = run(lox().arg("--gc-stats"), b"");
    assert!(human.code == Some(0) && !human.stderr.is_empty());
}

#[test]
fn the_log_ends_with_how_long_the_pauses_were() {
    let outcome = run(lox().args(["--gc-log", "--gc", "cycle-every=1M"]), GARBAGE.as_bytes());
    let last = outcome.stderr.lines().last().expect("a log");
    assert!(last.starts_with("pauses: ") && last.contains("p50") && last.contains("p99.9"), "{last}");
    assert!(outcome.stderr.lines().any(|line| line.starts_with("cycle ")), "{}", outcome.stderr);
}

#[test]
fn options_of_the_collector_come_from_the_nearest() {
    for (arguments, variable, rung) in [
        (&["--gc", "rung=stw"][..], "rung=forkcow", "stw, forced by the program"),
        (&["--gc", "rung=forkcow", "--rung", "stw"], "", "stw, forced by the program"),
        (&["--gc", "limit=64M"], "rung=stw", "stw, forced by PALIMPSEST_OPTIONS"),
    ] {
        let mut command = lox();
        command.args(arguments).args(["--gc-stats=json"]);
        command.env("PALIMPSEST_OPTIONS", variable).env_remove("PALIMPSEST_RUNG");
        let outcome = run(&mut command, b"");
        let statistics: serde_json::Value = serde_json::from_str(&outcome.stderr).expect("JSON");
        assert_eq!(statistics["ladder"], rung, "{arguments:?} {variable}");
    }
    let outcome = run(lox().env("PALIMPSEST_OPTIONS", "limit=1"), b"");
    assert_eq!(outcome.code, Some(70));
    assert_eq!(outcome.stderr, "lox: cannot create the heap: PALIMPSEST_OPTIONS: `limit=1`: at least 1M\n");
    let outcome = run(lox().args(["--gc", "limt=16M"]), b"");
    assert!(outcome.stderr.contains("did you mean `limit`?"), "{}", outcome.stderr);
}

#[test]
fn the_collector_works_in_every_mode() {
    for mode in [
        &["--rung", "preimage"][..],
        &["--rung", "preimage/protect"],
        &["--rung", "forkcow"],
        &["--rung", "stw"],
        &["--snapshot", "stw"],
        &["--cycle-every", "1", "--gc-log"],
        &["--heap-limit", "16"],
        &["--gc", "limit=16M,cycle-every=1M,rung=forkcow,verify=on"],
        &["--gc-stress", "20000"],
        &["--rung", "stw", "--gc-stress", "20000"],
    ] {
        let outcome = run(lox().args(mode), GARBAGE.as_bytes());
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (Some(0), "199999\n"),
            "{mode:?}: {}",
            outcome.stderr
        );
        assert_eq!(outcome.stderr.is_empty(), !mode.contains(&"--gc-log"), "{mode:?}: {}", outcome.stderr);
    }
}
