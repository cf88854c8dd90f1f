//! The language: our own programs, which cover all of it by topic, and those of *Crafting Interpreters* where they lie
//! beside the workspace. Each is run plain and with a verified collection cycle every few allocations.

mod harness;

use std::path::{Path, PathBuf};

use harness::{judge, lox, programs_in, run};

fn own_programs() -> Vec<PathBuf> {
    let programs = programs_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs"));
    assert!(programs.len() >= 50);
    programs
}

/// The programs of the book, without those that are not for a whole Lox: `scanning` and `expressions` test parts of an
/// interpreter, `limit` tests limits that are much higher here, and `benchmark` is for timing.
fn programs_of_the_book() -> Vec<PathBuf> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().expect("the package's own folder");
    let folder = package.join("../../../shared/lox-tests");
    if !folder.is_dir() {
        eprintln!("skipped: no folder shared/lox-tests beside the workspace");
        return Vec::new();
    }
    let mut programs = programs_in(&folder);
    programs.retain(|program| {
        let topic = program.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        match topic {
            Some("scanning" | "expressions" | "benchmark") => false,
            Some("limit") => program.ends_with("stack_overflow.lox"),
            _ => true,
        }
    });
    programs
}

#[test]
fn own_programs_do_what_they_say() {
    judge(&own_programs(), false);
}

#[test]
fn own_programs_do_what_they_say_under_stress() {
    judge(&own_programs(), true);
}

#[test]
fn programs_of_the_book_do_what_they_say() {
    judge(&programs_of_the_book(), false);
}

#[test]
fn programs_of_the_book_do_what_they_say_under_stress() {
    judge(&programs_of_the_book(), true);
}

fn benchmarks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/benchmarks")
}

/// Those that are measured take about a second each, optimised. Each begins with its size, and says what it prints with a small one.
#[test]
fn benchmarks_compute_what_they_say() {
    let programs = programs_in(&benchmarks());
    assert!(programs.len() >= 6);
    for program in &programs {
        let source = std::fs::read_to_string(program).expect("a program");
        let said = source.lines().find_map(|line| line.strip_prefix("// With size ")).expect("a small size");
        let (size, answer) = said.split_once(" it prints: ").expect("an answer");
        let given = source.lines().find(|line| line.starts_with("var size = ")).expect("a size");
        let outcome = run(&mut lox(), source.replace(given, &format!("var size = {size};")).as_bytes());
        assert_eq!(outcome.code, Some(0), "{}: {}", program.display(), outcome.stderr);
        assert!(outcome.stdout.lines().eq(answer.split(", ")), "{}: {}", program.display(), outcome.stdout);
    }
    if cfg!(debug_assertions) {
        return eprintln!("skipped: whole benchmarks take too long without optimisation");
    }
    judge(&programs, false);
}

/// The programs that show the interpreter off. `rewriting` prints times and is only quick when optimised.
#[test]
fn showcase_programs_do_what_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let (rewriting, others): (Vec<PathBuf>, Vec<PathBuf>) =
        programs_in(&folder).into_iter().partition(|program| program.ends_with("rewriting.lox"));
    let others: Vec<PathBuf> =
        others.into_iter().filter(|program| !program.starts_with(benchmarks())).collect();
    judge(&others, false);
    if cfg!(debug_assertions) {
        eprintln!("skipped: rewriting.lox takes too long without optimisation");
        return;
    }
    let outcome = run(lox().args(rewriting), b"");
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert!(
        outcome.stdout.ends_with("Every page of the library is as it should be.\n"),
        "{}",
        outcome.stdout
    );
}
