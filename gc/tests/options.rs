//! Options as a program and its user give them: the same heap whichever way, and the table in the chapter `docs/src/tuning.md`,
//! which this test can write: run it with `PALIMPSEST_WRITE_DOCS=1`.

mod common;

use common::alone;
use common::chapter::has_table;
use palimpsest::options::{self, Group, OptionError};
use palimpsest::{Error, Heap, HeapBuilder, HostFork, PlainPointers, Snapshot, StackScan, ladder};
use std::fmt::Write as _;
use std::time::Duration;

fn builder() -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers)
}

/// Sets or removes a variable in a process of its own.
fn set(variable: &str, value: Option<&str>) {
    // SAFETY: the process has this thread and the test harness's, which waits for it.
    unsafe {
        match value {
            Some(value) => std::env::set_var(variable, value),
            None => std::env::remove_var(variable),
        }
    }
}

const ALL: &str = "limit=16M,preimage-limit=4M,soft-limit=12M,reserve=512K,idle-after=1s,leaf-huge-pages=on,growth=50,\
                   min-headroom=2M,cycle-every=1M,young=off,rung=stw,workers=3,worker-patience=2s,host-fork=copy,stress=1000,\
                   verify=on,poison=on,worker-chaos=1000";

#[test]
fn all_options_through_all_ways_make_the_same_heap() {
    let end = alone("all_options_through_all_ways_make_the_same_heap", || {
        set(ladder::VARIABLE, None);
        for option in options::all() {
            assert!(ALL.contains(&format!("{}=", option.name)), "{}", option.name);
        }
        let by_calls = builder()
            .limit(16 << 20)
            .preimage_limit(4 << 20)
            .soft_limit(12 << 20)
            .reserve(512 << 10)
            .idle_after(Duration::from_secs(1))
            .leaf_huge_pages(true)
            .growth(50)
            .min_headroom(2 << 20)
            .cycle_every(1 << 20)
            .young(false)
            .rung(Snapshot::StopTheWorld)
            .workers(3)
            .worker_patience(Duration::from_secs(2))
            .host_fork(HostFork::Copy)
            .stress(1000)
            .worker_chaos(1000)
            .build()
            .unwrap();
        assert_eq!(by_calls.options(), ALL);
        let by_text = builder().options(ALL).unwrap().build().unwrap();
        assert_eq!(by_text.options(), ALL);
        assert_eq!(by_text.ladder().to_string(), "stw, forced by the program");

        set(options::VARIABLE, Some(ALL));
        let by_environment = builder().build().unwrap();
        assert_eq!(by_environment.options(), ALL);
        assert_eq!(by_environment.ladder().to_string(), "stw, forced by PALIMPSEST_OPTIONS");
        for heap in [by_calls, by_text, by_environment] {
            assert!(heap.attach(StackScan::None).unwrap().collect().number > 0);
        }

        let heap = builder().limit(8 << 20).options("limit=9M,stress=7").unwrap().build().unwrap();
        assert!(
            heap.options().starts_with("limit=8M,") && heap.options().contains("stress=7"),
            "{}",
            heap.options()
        );

        set(ladder::VARIABLE, Some("forkcow"));
        let heap = builder().build().unwrap();
        assert_eq!(
            heap.ladder().to_string(),
            "forkcow, forced by PALIMPSEST_RUNG",
            "it is meant for this alone"
        );
        let heap = builder().options("rung=stw").unwrap().build().unwrap();
        assert_eq!(heap.ladder().to_string(), "stw, forced by the program");
        set(ladder::VARIABLE, Some(""));
        assert_eq!(builder().build().unwrap().options(), ALL, "an empty variable says nothing");

        set(options::VARIABLE, Some("stres=5"));
        let why = builder().limit(16 << 20).build().unwrap_err();
        assert!(matches!(&why, Error::Option(OptionError::Environment { variable: options::VARIABLE, .. })));
        assert!(
            why.to_string().starts_with("PALIMPSEST_OPTIONS: unknown option `stres`; did you mean `stress`?"),
            "{why}"
        );
        set(options::VARIABLE, Some(""));
        assert_eq!(builder().limit(16 << 20).build().unwrap().options(), "limit=16M");
    });
    assert!(end.is_none_or(|status| status.success()));
}

#[test]
fn a_variable_that_is_not_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let end = alone("a_variable_that_is_not_text_is_refused", || {
        // SAFETY: as in `set`.
        unsafe { std::env::set_var(options::VARIABLE, std::ffi::OsStr::from_bytes(b"limit=\xff")) };
        let why = builder().build().unwrap_err().to_string();
        assert!(why.contains(options::VARIABLE) && why.contains("UTF-8"), "{why}");
    });
    assert!(end.is_none_or(|status| status.success()));
}

#[test]
fn what_a_builder_is_given_is_looked_at_when_the_heap_is_made() {
    for (builder, why) in [
        (builder().limit(1000), "`limit=1000`: at least 1M"),
        (builder().limit(usize::MAX), "`limit=18446744073709551615`: at most 4T"),
        (builder().cycle_every(0), "`cycle-every=0`: at least 64K"),
        (builder().preimage_limit(1), "`preimage-limit=1`: at least 64K"),
        (builder().stress(0), "`stress=0`: at least 1"),
        (builder().worker_chaos(0), "`worker-chaos=0`: at least 1"),
        (builder().worker_patience(Duration::ZERO), "`worker-patience=0ns`: at least 1ms"),
        (
            builder().worker_patience(Duration::MAX),
            "`worker-patience=18446744073709551615ns`: at most 86400s",
        ),
    ] {
        let error = builder.build().unwrap_err();
        assert!(matches!(error, Error::Option(OptionError::Value { .. })));
        assert_eq!(error.to_string(), why);
    }
}

#[test]
fn strings_are_refused_at_once_with_what_is_there() {
    let error = builder().options("cycle-every=1").unwrap_err();
    assert_eq!(error.to_string(), "`cycle-every=1`: at least 64K");
    let error = builder().options("heap=1G").unwrap_err().to_string();
    for option in options::all() {
        assert!(error.contains(option.name), "{error}");
    }
    let help = options::help().to_string();
    for option in options::all() {
        let line = format!("{}={}", option.name, option.value);
        assert!(
            help.contains(&line) && help.contains(option.meaning) && help.contains(option.default),
            "{help}"
        );
    }
}

fn section(group: Group) -> &'static str {
    match group {
        Group::Memory => "[memory](#memory)",
        Group::Pacing => "[pacing](#pacing)",
        Group::Snapshots => "[snapshots](#snapshots)",
        Group::Workers => "[workers](#workers)",
        Group::Forks => "[forks](#forks)",
        Group::Testing => "[testing](#testing)",
        other => panic!("{other:?} has no section in the chapter"),
    }
}

fn table() -> String {
    let mut table = String::from("| option | what it does | default | about |\n| --- | --- | --- | --- |\n");
    for option in options::all() {
        let value = option.value.replace('|', "\\|");
        let (name, meaning, default) = (option.name, option.meaning, option.default);
        writeln!(table, "| `{name}={value}` | {meaning} | {default} | {} |", section(option.group))
            .expect("a string");
    }
    table
}

#[test]
fn the_table_in_the_docs_is_this_one() {
    let text = has_table("tuning.md", "gc/tests/options.rs", &table());
    for option in options::all() {
        let anchor = section(option.group).split(['[', ']']).nth(1).expect("the name of a section");
        let heading = format!("\n## {}{}\n", anchor[..1].to_uppercase(), &anchor[1..]);
        assert!(text.contains(&heading), "no section{heading}for {}", option.name);
    }
}
