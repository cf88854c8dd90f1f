//! Programs in C, compiled by the system's compiler against the header that is checked in: each in `c/` is about one thing, and
//! ends with a line that says so.

mod programs;

use programs::{Library, Outcome, compile, compiler_has, is_installed, run, source};
use std::process::Command;

/// Compiles a program of `c/`, links it to the static library, and runs it.
fn passes(name: &str) {
    let outcome = run(&mut compile(name, Library::Static, &[]));
    assert_passed(name, &outcome);
}

fn assert_passed(name: &str, outcome: &Outcome) {
    let said = outcome.stdout.lines().last().unwrap_or_default();
    let begin = format!("{name}: ");
    assert!(
        outcome.code == Some(0) && said.starts_with(&begin),
        "{name} ended with {:?}\n{}\n{}",
        outcome.code,
        outcome.stdout,
        outcome.stderr
    );
}

macro_rules! programs {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            passes(stringify!($name));
        })*

        /// No program is forgotten.
        #[test]
        fn all_programs_are_run() {
            let mut there: Vec<String> = std::fs::read_dir(source("")).expect("the folder of programs is readable")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name in UTF-8"))
                .filter_map(|name| name.strip_suffix(".c").map(str::to_owned))
                .collect();
            there.sort();
            let mut run = vec![$(stringify!($name)),*];
            run.sort();
            assert_eq!(there, run);
        }
    };
}

programs! {
    events finalizers fork fork_threads hello inline kernel_io layouts maps memory misuse options roots threads trace weak
}

#[test]
fn the_shared_library_serves_as_well() {
    for name in ["hello", "misuse"] {
        assert_passed(name, &run(&mut compile(name, Library::Shared, &[])));
    }
}

#[test]
fn undefined_behaviour_is_looked_for() {
    let sanitizer = ["-fsanitize=undefined", "-fno-sanitize-recover=all"];
    if !compiler_has("cc", &sanitizer) {
        eprintln!("skipped: the C compiler has no -fsanitize=undefined");
        return;
    }
    for name in ["hello", "layouts", "trace", "inline"] {
        assert_passed(name, &run(&mut compile(name, Library::Static, &sanitizer)));
    }
}

#[test]
fn valgrind_finds_nothing() {
    if !is_installed("valgrind") {
        eprintln!("skipped: valgrind is not installed");
        return;
    }
    // Valgrind knows no userfaultfd, and of the memory of objects it knows nothing: this is about the interface's own.
    for name in ["events", "maps", "memory", "misuse", "options", "weak"] {
        let program = compile(name, Library::Static, &[]);
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--error-exitcode=99", "--quiet"]).arg(program.get_program());
        assert_passed(name, &run(valgrind.env("PALIMPSEST_RUNG", "stw")));
    }
}

#[test]
fn the_header_is_cxx_as_well() {
    if !compiler_has("c++", &[]) {
        eprintln!("skipped: there is no C++ compiler");
        return;
    }
    let mut compiler = Command::new("c++");
    compiler.args([
        "-x",
        "c++",
        "-std=c++11",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Werror",
        "-fsyntax-only",
        "-include",
    ]);
    compiler.arg(programs::include().join("palimpsest.h")).arg("/dev/null");
    let outcome = run(&mut compiler);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
}
