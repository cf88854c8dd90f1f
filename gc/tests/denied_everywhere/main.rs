//! Every system call fails in turn: each kind of call, in the program, in its workers and in a child that the host forks, at its
//! first time, its second, and so on, with each error that is plausible; once, or from then on. Each time a program in a process of
//! its own does something of everything ([`scenario`]), on each rung. What may come of it is listed ([`expected`]), and what must
//! not is a crash, a hang, an object that is lost, a child or a descriptor that is left behind.
//!
//! `cargo test` makes some hundred of these runs. `.ci/faults` makes all, ten thousand: `PALIMPSEST_FAULTS=1` asks for them, and
//! `PALIMPSEST_FAULTS=20` for each twentieth.

#[path = "../common/mod.rs"]
mod common;
mod expected;
mod report;
mod scenario;

use common::chapter::has_table;
use expected::{Outcome, ROWS, Row, table};
use palimpsest_runtime::sys::inject::{Call, Role};
use report::Report;
use scenario::Fault;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The heap's own choice, and what is not reached by that.
const RUNGS: [&str; 7] =
    ["", "preimage/monitor", "preimage/protect", "forkcow", "forkcow/async", "stw", "stw/async"];

const NAME: &str = "each_call_that_fails_has_the_outcome_that_is_listed";

/// Longer than this a run takes only if somebody sleeps who should have been woken: workers have more patience.
const LONGEST: Duration = Duration::from_secs(15);

/// Runs at once on each processor: they wait most of the time.
const AT_ONCE: usize = 4;

/// At most so many times of one call, one error and one rung are tried.
const MOST: u64 = 12;

/// One run.
struct Run {
    rung: &'static str,
    fault: Fault,
}

/// At which of `made` calls, of which `built` were made before the heap was there, one fails.
fn occurrences(all: bool, built: u64, made: u64) -> BTreeSet<u32> {
    let each = (0..made).step_by(made.div_ceil(MOST).max(1) as usize).filter(|_| all);
    [0, built].into_iter().chain(each).filter(|at| *at < made).map(|at| at as u32).collect()
}

/// The runs of a row on a rung, where `dry` is a run without a fault.
fn runs(all: bool, index: usize, row: &Row, rung: &'static str, dry: &Report) -> Vec<Run> {
    let made = dry.made.get(&(row.role, row.call)).copied().unwrap_or(0);
    let built = if row.role == Role::Program { dry.built.get(&row.call).copied().unwrap_or(0) } else { 0 };
    let mut runs = Vec::new();
    for errno in 0..if all { row.errnos.len() } else { 1 } {
        for after in occurrences(all, built, made) {
            let times = [u32::MAX, 1].into_iter().skip(usize::from(!row.may_last));
            for times in times.take(if all { 2 } else { 1 }) {
                runs.push(Run { rung, fault: Fault { row: index, errno, after, times } });
            }
        }
    }
    runs
}

/// What was seen of one row.
#[derive(Default)]
struct Seen {
    runs: u64,
    dealt: u64,
    outcomes: BTreeMap<Outcome, String>,
}

impl Seen {
    /// Whether a run in which a call failed so many times ended as its row says.
    fn enter(&mut self, row: &Row, times: u32, report: Report) -> Result<(), String> {
        self.runs += 1;
        self.dealt += report.dealt;
        let mut wrong = String::new();
        for (outcome, why) in report.met {
            if let Some(objection) = row.objects(outcome, &why, times) {
                writeln!(wrong, "{outcome:?}, {objection}: {why}").expect("a string");
            }
            self.outcomes.insert(outcome, why);
        }
        if report.took > LONGEST {
            writeln!(wrong, "it took {:?}: somebody was not woken", report.took).expect("a string");
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

#[test]
fn each_call_that_fails_has_the_outcome_that_is_listed() {
    if report::is_played_here() {
        return;
    }
    let share = std::env::var("PALIMPSEST_FAULTS").ok().map(|text| text.parse::<usize>().expect("a number"));
    let (all, is_whole) = (share.is_some(), share == Some(1));
    let mut todo: Vec<Run> = Vec::new();
    let mut has_all_rungs = true;
    for rung in RUNGS {
        let dry = report::run(NAME, rung, None).expect("a run without a fault");
        if let Some((Outcome::Refused, why)) = dry.met.first() {
            eprintln!("skipped: {why}");
            has_all_rungs = false;
            continue;
        }
        for (index, row) in ROWS.iter().enumerate() {
            if all || todo.iter().all(|run| run.fault.row != index) {
                todo.extend(runs(all, index, row, rung, &dry));
            }
        }
    }
    let mut number = 0;
    todo.retain(|_| {
        number += 1;
        share.is_none_or(|share| number % share == 0)
    });
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(String::new()));
    let (begin, told) = (Instant::now(), AtomicUsize::new(0));
    let seen: Vec<Mutex<Seen>> = ROWS.iter().map(|_| Mutex::default()).collect();
    std::thread::scope(|s| {
        for _ in 0..AT_ONCE * std::thread::available_parallelism().map_or(1, usize::from) {
            s.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Relaxed);
                    let Some(Run { rung, fault }) = todo.get(number) else { break };
                    let minutes = begin.elapsed().as_secs() as usize / 60;
                    if all && told.fetch_max(minutes, Relaxed) < minutes {
                        eprintln!("{number} of {} runs in {minutes} min", todo.len());
                    }
                    let row = &ROWS[fault.row];
                    let result = report::run(NAME, rung, Some(*fault));
                    let mut seen = seen[fault.row].lock().expect("no panic");
                    if let Err(why) = result.and_then(|report| seen.enter(row, fault.times, report)) {
                        let (role, call, errno) = (row.role, row.call, row.errnos[fault.errno]);
                        let Fault { after, times, .. } = fault;
                        let text = format!(
                            "{rung:?}: {role:?} {call:?}: {errno} after {after}, {times} times: {why}"
                        );
                        eprintln!("{text}");
                        writeln!(wrong.lock().expect("no panic"), "{text}").expect("a string");
                    }
                }
            });
        }
    });
    let seen: Vec<Seen> = seen.into_iter().map(|seen| seen.into_inner().expect("no panic")).collect();
    let mut wrong = wrong.into_inner().expect("no panic");
    for (row, seen) in ROWS.iter().zip(&seen) {
        let name = format!("{:?} {:?}", row.role, row.call);
        println!("{name}: {} runs, {} calls failed: {:?}", seen.runs, seen.dealt, seen.outcomes.keys());
        // Whether a call is made, and what a worker or a child comes to, depends on the moment. Of all runs some will do.
        if has_all_rungs && is_whole && seen.runs == 0 {
            writeln!(wrong, "{name}: no program makes this call").expect("a string");
        }
        let must_be_seen = is_whole && seen.runs > 0 && row.role == Role::Program;
        if must_be_seen && seen.dealt == 0 {
            writeln!(wrong, "{name} was never made to fail").expect("a string");
        }
        if must_be_seen && seen.outcomes.is_empty() && !row.may.is_empty() {
            writeln!(wrong, "{name}: none of {:?} was seen", row.may).expect("a string");
        }
    }
    let dealt = |of: &dyn Fn(&Row) -> bool| -> u64 {
        ROWS.iter().zip(&seen).filter(|(row, _)| of(row)).map(|(_, seen)| seen.dealt).sum()
    };
    // A thread that cannot sleep tries again and again.
    let sleeps = |row: &Row| row.call == Call::FutexWait;
    println!(
        "faults: {} runs, in which {} system calls were made to fail, and {} times a thread was not let sleep",
        todo.len(),
        dealt(&|row| !sleeps(row)),
        dealt(&sleeps)
    );
    assert!(wrong.is_empty(), "{wrong}");
}

/// A kind of call that no row is about would never fail.
#[test]
fn every_kind_of_call_is_listed() {
    let listed = |call: &&Call| ROWS.iter().any(|row| row.call == **call || row.also.contains(*call));
    let missing: Vec<_> = Call::ALL.iter().filter(|call| !listed(call)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_table_in_the_docs_is_this_one() {
    has_table("faults.md", "gc/tests/denied_everywhere", &table());
}
