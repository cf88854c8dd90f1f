//! What the program says when it is asked for the wrong thing, or for too much.

mod support;

use support::{errors, workload};

#[test]
fn wrong_arguments_exit_with_2_and_say_which() {
    for (arguments, names) in [
        ("", "Usage"),
        ("sort 3", "sort"),
        ("gcbench many", "many"),
        ("gcbench 0", "LIVE"),
        ("binarytrees 8 17", "THREADS"),
        ("msgmap 300 1", "TIMES"),
        ("graph 1 5000 --snapshot never", "preimage, stw"),
        ("graph 1 5000 --heap-limit 0", "--heap-limit"),
    ] {
        let output = workload(arguments);
        assert_eq!(output.status.code(), Some(2), "`{arguments}`");
        assert!(errors(&output).contains(names), "`{arguments}` does not name {names}: {}", errors(&output));
        assert!(output.stdout.is_empty(), "`{arguments}`");
    }
}

#[test]
fn help_explains_each_workload() {
    let output = workload("--help");
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in ["gcbench", "binarytrees", "msgmap", "graph", "--heap-limit", "--cycle-every", "--stress"] {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn too_small_a_heap_exits_with_1_and_says_what_to_raise() {
    let output = workload("msgmap 100000 2 --heap-limit 32");
    assert_eq!(output.status.code(), Some(1), "{}", errors(&output));
    assert!(errors(&output).contains("--heap-limit"), "{}", errors(&output));
    assert!(output.stdout.is_empty());
}

#[test]
fn log_has_its_own_stream() {
    let output = workload("binarytrees 12 1 --cycle-every 1 --gc-log");
    assert!(output.status.success(), "{}", errors(&output));
    assert!(!errors(&output).is_empty(), "cycles are logged");
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1, "the result alone");
}
