//! Sources and programs that mean harm: each has to end with the right exit code and a message, in reasonable time, and
//! never with a crash.

mod harness;

use std::path::PathBuf;

use harness::{Outcome, lox, run};

/// Runs `source` from a file of its own.
fn run_source(name: &str, source: &[u8], options: &[&str]) -> Outcome {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, source).expect("the test's folder is writable");
    let outcome = run(lox().args(options).arg(&file), b"");
    std::fs::remove_file(&file).expect("the test's own file");
    outcome
}

fn assert_compile_error(outcome: &Outcome, error: &str) {
    let shown = &outcome.stderr[..outcome.stderr.len().min(1000)];
    assert_eq!(outcome.code, Some(65), "{shown}");
    assert!(outcome.stderr.contains(error), "{shown}");
    assert_eq!(outcome.stdout, "");
}

fn assert_runtime_error(outcome: &Outcome, error: &str) {
    let shown = &outcome.stderr[..outcome.stderr.len().min(1000)];
    assert_eq!(outcome.code, Some(70), "{shown}");
    assert!(outcome.stderr.starts_with(error), "{shown}");
}

#[test]
fn nesting_is_bounded_whatever_nests() {
    let nesting = [
        "(",
        "-",
        "!",
        "{",
        "f(",
        "a = ",
        "if (1) ",
        "while (1) ",
        "for (;;) ",
        "fun f() {",
        "class A { m() {",
        "if (1) {} else {",
        "a.b(",
        "1 + (",
        "1 and (",
        "{ fun f() {",
    ];
    for piece in nesting {
        let source = piece.repeat(1_000_000);
        assert_compile_error(&run_source("deep.lox", source.as_bytes(), &[]), "Nesting too deep.");
    }
}

#[test]
fn what_does_not_nest_may_be_long() {
    let many = 20_000;
    let additions = format!("print {}1;", "1 + ".repeat(many));
    let choices = format!("print {}2;", "false or ".repeat(many));
    let calls = format!("fun f() {{ return f; }} f{}; print 3;", "()".repeat(many));
    let branches = format!("{}print 4;", "if (false) {} else ".repeat(many));
    let properties = format!("class A {{}} var a = A(); a.a = a; a{}; print 5;", ".a".repeat(many));
    for (source, printed) in
        [(additions, "20001\n"), (choices, "2\n"), (calls, "3\n"), (branches, "4\n"), (properties, "5\n")]
    {
        let outcome = run_source("long.lox", source.as_bytes(), &[]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), printed), "{}", outcome.stderr);
    }
}

#[test]
fn a_full_heap_is_a_runtime_error() {
    let endless = [
        "class N {} var n = nil; while (true) { var m = N(); m.next = n; n = m; }",
        "var s = \"text\"; while (true) s = s + s;",
        "class N {} fun grow(n) { var m = N(); m.next = n; return grow2(m); } fun grow2(n) { \
         for (;;) { fun f() { return n; } var m = N(); m.f = f; m.n = n; n = m; } } grow(nil);",
    ];
    for program in endless {
        let outcome = run_source("full.lox", program.as_bytes(), &["--heap-limit", "16"]);
        assert_runtime_error(&outcome, "Out of memory.\n[line 1] in ");
    }
}

#[test]
fn garbage_without_end_fits_in_a_small_heap() {
    let program = "class N {} var kept; for (var i = 0; i < 300000; i = i + 1) { \
                   kept = N(); kept.a = N(); kept.a.b = kept; } print kept.a.b == kept;";
    let outcome = run_source("garbage.lox", program.as_bytes(), &["--heap-limit", "16"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "true\n"), "{}", outcome.stderr);
}

#[test]
fn a_heap_too_small_for_the_program_text_is_a_runtime_error() {
    let source = format!("print \"{}\";", "x".repeat(20 << 20));
    assert_runtime_error(
        &run_source("large.lox", source.as_bytes(), &["--heap-limit", "16"]),
        "Out of memory.\n",
    );
}

#[test]
fn endless_recursion_is_a_runtime_error_with_a_short_trace() {
    let outcome = run_source("recursion.lox", b"class A { init() { this.m(); } m() { A(); } }\nA();", &[]);
    assert_runtime_error(&outcome, "Stack overflow.\n[line 1] in ");
    assert!(outcome.stderr.lines().count() < 100);
    assert!(outcome.stderr.ends_with("[line 2] in script\n"));
}

#[test]
fn text_that_is_no_text() {
    assert_compile_error(&run_source("utf8.lox", b"print 1;\nprint \xff;", &[]), "[line 2] Error: ");
    assert_compile_error(&run_source("open.lox", b"\"abc\n\n", &[]), "[line 3] Error: Unterminated string.");
    assert_compile_error(
        &run_source("nul.lox", b"print 1;\n\0\0\0", &[]),
        "[line 2] Error: Unexpected character.",
    );
    let outcome = run_source("nul-in-string.lox", b"print \"a\0b\";", &[]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "a\0b\n"));
    let binary: Vec<u8> =
        (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8 & 0x7f).collect();
    assert_eq!(run_source("noise.lox", &binary, &[]).code, Some(65));
}

#[test]
fn errors_without_end_are_cut_off() {
    let outcome = run_source("errors.lox", "var;\n".repeat(1_000_000).as_bytes(), &[]);
    assert_compile_error(&outcome, "Too many errors.");
    assert!(outcome.stderr.lines().count() < 200);
}

#[test]
fn large_sources_run() {
    let megabytes = |piece: &str, size: usize| piece.repeat((size << 20) / piece.len());
    let statements = megabytes("x = x + 1;\n", 20);
    let count = statements.lines().count();
    let sources = [
        (format!("var x = 0; {statements} print x;"), format!("{count}\n")),
        (format!("{} print 2;", megabytes("// nothing\n", 20)), "2\n".to_owned()),
        (format!("var s = \"{}\"; print 3;", megabytes("text", 20)), "3\n".to_owned()),
        (format!("var {}; print 4;", megabytes("long_name", 20)), "4\n".to_owned()),
        (format!("print {}; print 5;", megabytes("0", 20)), "0\n5\n".to_owned()),
        (megabytes("fun f() { return 1; }\n", 20) + "print 6;", "6\n".to_owned()),
    ];
    for (source, printed) in sources {
        let outcome = run_source("large-source.lox", source.as_bytes(), &[]);
        assert_eq!((outcome.code, outcome.stdout), (Some(0), printed), "{}", outcome.stderr);
    }
}

#[test]
fn limits_of_the_bytecode_are_compile_errors() {
    let locals: String = (0..70_000).map(|index| format!("var v{index};")).collect();
    let outcome = run_source("locals.lox", format!("{{ {locals} }}").as_bytes(), &[]);
    assert_compile_error(&outcome, "Too many local variables in function.");

    let huge_body = format!("while (false) {{ {} }}", "1;".repeat(9 << 20));
    assert_compile_error(&run_source("loop.lox", huge_body.as_bytes(), &[]), "Loop body too large.");
}

#[test]
fn more_constants_than_a_byte_counts() {
    let numbers: String = (0..100_000).map(|index| format!("x = x + {index}.5;")).collect();
    let outcome = run_source("constants.lox", format!("var x = 0; {numbers} print x;").as_bytes(), &[]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(0), "5000000000\n"), "{}", outcome.stderr);
}
