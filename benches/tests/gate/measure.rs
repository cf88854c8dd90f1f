//! Runs `counted` and gathers its figures: the instructions, and what cycles take on each rung.

use std::path::Path;
use std::process::Command;

use palimpsest::{Heap, PlainPointers, Snapshot, Wish};
use serde_json::Value;

use crate::figures::{Counted, Figures, least};
use crate::trace::{Cycle, Failure, Party, count_calls, count_steps};

/// The program as it is built for tests.
const COUNTED: &str = env!("CARGO_BIN_EXE_counted");

/// Names one that is built as the library ships.
const SHIPS: &str = "PALIMPSEST_COUNTED";

/// Every kind of rung there is.
const RUNGS: [&str; 7] = [
    "preimage/signal",
    "preimage/monitor",
    "preimage/protect",
    "forkcow",
    "forkcow/async",
    "stw",
    "stw/async",
];

/// Instructions of the fast paths.
pub fn instructions(figures: &mut Figures) {
    let Ok(program) = std::env::var(SHIPS) else {
        println!(
            "skipped: instructions: {SHIPS} names no program that is built as it ships; `.ci/gate` does"
        );
        return;
    };
    let steps = |section: &str| -> Result<f64, Failure> {
        let (steps, says) = count_steps(Path::new(&program), &["instructions", section])?;
        assert_eq!(says["ships"], true, "{program} has assertions: build it with --release");
        Ok(steps as f64)
    };
    let each = |less: &str, more: &str, times: f64| Ok::<_, Failure>((steps(more)? - steps(less)?) / times);
    let count = || -> Result<Counted, Failure> {
        let mut counted = Counted::from([
            ("a store into a page that is not armed".into(), each("no-store", "store", 1.0)?),
            ("a safepoint".into(), each("polls4", "polls8", 4.0)?),
        ]);
        for (what, section) in [("object", "pairs"), ("leaf object", "leaves")] {
            let [less, more] = ["64", "128"].map(|times| format!("{section}{times}"));
            let fast = each(&less, &more, 64.0)?;
            let block = each(&more, &format!("{section}-across"), 1.0)?;
            let average = fast + block / SMALL_OBJECTS_OF_A_BLOCK;
            counted.insert(format!("a small {what}, written, in a loop"), fast);
            counted.insert(
                format!("the same with its share of a new block, {what}"),
                (average * 100.0).round() / 100.0,
            );
            counted.insert(format!("a new block, {what}"), block);
        }
        Ok(counted)
    };
    if let Some(counted) = unless_denied("instructions", count()) {
        figures.add(["instructions", std::env::consts::ARCH], counted);
    }
}

/// Objects of 16 bytes that a block has room for.
const SMALL_OBJECTS_OF_A_BLOCK: f64 = 4096.0;

/// What cycles take, on each rung that is there.
pub fn rungs(figures: &mut Figures) {
    for rung in RUNGS {
        let wish: Wish = rung.parse().expect("a rung");
        let snapshot = match Heap::builder(PlainPointers).limit(1 << 20).rung(wish).build() {
            Ok(heap) => heap.ladder().chosen().snapshot,
            Err(why) => {
                println!("skipped: {rung}: {why}");
                continue;
            }
        };
        let mut cycle = match unless_denied(rung, cycles_in_time(rung)) {
            Some((cycles, says)) => {
                add_calls(figures, rung, &cycles);
                let mut cycle = of_cycles(figures, rung, &says);
                // The first rounds may inherit more than the later ones: what nobody wrote to since is shared.
                cycle.insert("forks".into(), least_of(cycles.iter().map(|cycle| cycle.forks)));
                if snapshot != Snapshot::StopTheWorld {
                    let private = least_of(cycles.iter().map(|cycle| cycle.private));
                    cycle.insert("private bytes of the worker".into(), private);
                }
                cycle
            }
            // The library's own figures need no tracer.
            None => of_cycles(figures, rung, &plainly(&["cycles", rung])),
        };
        if snapshot != Snapshot::StopTheWorld {
            cycle.extend(numbers(&plainly(&["writes", rung])));
        }
        figures.add(["cycle", rung], cycle);
    }
}

/// Cycles that took no longer than they need, and what the program says of them.
///
/// From 50 ms of marking on the collector looks at its worker now and then. On a machine so busy that all cycles are marked so slowly it
/// is tried again, and in the end they count as they are.
fn cycles_in_time(rung: &str) -> Result<(Vec<Cycle>, Value), Failure> {
    let waits =
        |cycle: &Cycle| cycle.calls.get(&Party::Collector).and_then(|calls| calls.get("ppoll")).copied();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let (mut cycles, says) = count_calls(Path::new(COUNTED), &["cycles", rung])?;
        let in_time = |cycle: &Cycle| waits(cycle).unwrap_or(0.0) <= 1.0;
        if cycles.iter().any(in_time) {
            cycles.retain(in_time);
        } else if attempts < 5 {
            continue;
        }
        return Ok((cycles, says));
    }
}

/// The system calls of each party.
fn add_calls(figures: &mut Figures, rung: &str, cycles: &[Cycle]) {
    for (party, name) in [
        (Party::Mutator, "mutator"),
        (Party::Collector, "collector"),
        (Party::Monitor, "monitor"),
        (Party::Worker, "worker"),
    ] {
        let rounds: Vec<_> =
            cycles.iter().map(|cycle| cycle.calls.get(&party).cloned().unwrap_or_default()).collect();
        let mut calls = least(&rounds);
        calls.retain(|_, count| *count > 0.0);
        if !calls.is_empty() {
            figures.add(["calls", rung, name], calls);
        }
    }
}

/// The figures of a cycle, the least of each; enters those of the heap.
fn of_cycles(figures: &mut Figures, rung: &str, says: &Value) -> Counted {
    figures.add(["heap", rung], numbers(&says["heap"]));
    let rounds: Vec<_> = says["cycles"].as_array().expect("cycles").iter().map(numbers).collect();
    least(&rounds)
}

fn numbers(figures: &Value) -> Counted {
    let figures = figures.as_object().expect("figures by name");
    figures.iter().map(|(name, value)| (name.clone(), value.as_f64().expect("a number"))).collect()
}

fn least_of(values: impl Iterator<Item = u64>) -> f64 {
    values.min().expect("there were cycles") as f64
}

/// What the program says without being traced.
fn plainly(arguments: &[&str]) -> Value {
    let mut command = Command::new(COUNTED);
    command.args(arguments).env_remove("PALIMPSEST_RUNG").env_remove("PALIMPSEST_OPTIONS");
    let output = command.output().expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    serde_json::from_slice(&output.stdout).expect("figures")
}

/// What was counted, if tracing is allowed.
fn unless_denied<T>(what: &str, counted: Result<T, Failure>) -> Option<T> {
    match counted {
        Ok(counted) => Some(counted),
        Err(Failure::Denied(why)) => {
            println!("skipped: what a tracer counts of {what}: {why}");
            None
        }
        Err(Failure::Broken(why)) => panic!("{what}: {why}"),
    }
}
