//! A session: entries share their globals, and an error ends the entry but not the session.

use palimpsest_lox::{HeapOptions, InterpretError, Vm};

/// Fails unless `condition` holds in the session.
fn assert_holds(vm: &mut Vm, condition: &str) {
    let outcome = vm.run_entry(&format!("if (!({condition})) nil();"));
    assert!(outcome.is_ok(), "{condition}: {outcome:?}");
}

fn session(stress: Option<u64>) -> Vm {
    Vm::new(&HeapOptions { stress, ..HeapOptions::default() }).expect("the collector works here")
}

#[test]
fn globals_last_from_entry_to_entry() {
    let mut vm = session(Some(2));
    vm.run_entry("var a = 1; class A { init(n) { this.n = n + a; } }").unwrap();
    vm.run_entry("fun make(n) { return A(n); }").unwrap();
    vm.run_entry("a = 10;").unwrap();
    assert_holds(&mut vm, "make(5).n == 15");
}

#[test]
fn errors_leave_the_session_as_it_was() {
    let mut vm = session(Some(2));
    vm.run_entry("var a = 1; var get; fun f(n) { fun g() { return n; } get = g; n = n + 1; nil(); }")
        .unwrap();
    for _ in 0..3 {
        assert!(matches!(vm.run_entry("{ var b = 2; f(5); }"), Err(InterpretError::Runtime(_))));
        assert!(matches!(vm.run_entry("var = ;"), Err(InterpretError::Compile(_))));
        assert!(matches!(vm.run_entry("fun f() { fun g() { class A {"), Err(InterpretError::Compile(_))));
        assert!(matches!(vm.run_entry("late;"), Err(InterpretError::Runtime(_))));
        assert_holds(&mut vm, "a == 1 and get() == 6");
    }
    vm.run_entry("var late = 3;").unwrap();
    assert_holds(&mut vm, "late == 3");
}

#[test]
fn a_full_heap_can_be_used_again() {
    let mut vm = Vm::new(&HeapOptions { limit: Some(16 << 20), ..HeapOptions::default() }).unwrap();
    for _ in 0..3 {
        let outcome = vm.run_entry("{ class N {} var n; while (true) { var m = N(); m.next = n; n = m; } }");
        let Err(InterpretError::Runtime(message)) = outcome else { panic!("{outcome:?}") };
        assert!(message.starts_with("Out of memory.\n"), "{message}");
        assert_holds(&mut vm, "\"a\" + \"b\" == \"ab\"");
    }
}

#[test]
fn two_sessions_are_separate() {
    let (mut one, mut other) = (session(None), session(None));
    one.run_entry("var a = 1;").unwrap();
    assert!(other.run_entry("a;").is_err());
    assert_holds(&mut one, "a == 1");
}

#[test]
fn a_program_without_end_runs_out_of_steps() {
    let mut vm = session(None);
    vm.print_to(std::io::sink());
    for program in ["while (true) {}", "fun f(n) { if (n == 0) return; f(n - 1); f(n - 1); } f(60);"] {
        vm.limit_steps(100_000);
        let outcome = vm.run_entry(program);
        assert!(matches!(&outcome, Err(InterpretError::Runtime(why)) if why.starts_with("Too many steps.")));
    }
    // The steps are used up for good.
    assert!(vm.run_entry("1;").is_err());
    vm.limit_steps(1000);
    assert_holds(&mut vm, "1 + 1 == 2");
}
