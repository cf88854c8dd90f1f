//! Random programs against a model, on every rung; `programs/mod.rs` says what a program is and what is compared.
//!
//! Without more words a rung has 48 programs, always the same ones: a change is not refused for what it did not do. `PROPTEST_CASES`
//! asks for as many others, and `PALIMPSEST_PROGRAM_SEED` says where they come from; both are printed. A program that fails is printed in its smallest form, and can be run again from a file:
//!
//! ```sh
//! PALIMPSEST_PROGRAM=failed.txt cargo test -p palimpsest-gc --test random_programs programs_on_file -- --nocapture
//! ```
//!
//! Programs run in a process of their own: one that takes it down is made smaller as well, and kept in the test's folder for temporary
//! files, `target/tmp`. What has failed once belongs into `tests/programs`, where every file is run on every rung.

mod common;
mod programs;

use common::rungs;
use palimpsest::Wish;
use programs::apart::{self, Apart};
use programs::{Counts, Op, Program, Sabotage, ops, run};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Programs on each rung, where nobody says how many.
const CASES: u32 = 48;
/// Where they come from.
const SEED: u64 = 1;

/// How long operations are taken out of a program that fails.
const MOST_TO_MAKE_SMALL: Duration = Duration::from_secs(60);

/// Operations of a program.
const OPERATIONS: std::ops::Range<usize> = 1..150;

fn operation() -> impl Strategy<Value = Op> {
    let words = Op::ALL.iter().map(|(weight, word)| (*weight, Just(*word)));
    let word = proptest::strategy::Union::new_weighted(words.collect());
    (word, any::<[u8; 3]>()).prop_map(|(word, operands)| Op::of(word, operands).expect("a word of the table"))
}

fn program() -> impl Strategy<Value = Program> {
    (any::<u8>(), prop::collection::vec(operation(), OPERATIONS))
        .prop_map(|(bits, ops)| Program { options: ops::options(bits), ops })
}

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

/// Runs random programs until one fails, and returns that, in its smallest form or as it is, with what was wrong.
fn search(
    seed: u64,
    cases: u32,
    small: bool,
    check: impl Fn(&Program) -> Result<Counts, String>,
) -> (Counts, Option<(Program, String)>) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_time: 10_000,
        max_shrink_iters: if small { 1_000 } else { 0 },
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let counts = RefCell::new(Counts::default());
    let first = Cell::new(None);
    let outcome = runner.run(&program(), |program| {
        let ran = check(&program).inspect_err(|_| {
            let so_far = counts.borrow().programs + 1;
            first.set(first.get().or(Some(so_far)));
        });
        *counts.borrow_mut() += ran.map_err(TestCaseError::fail)?;
        Ok(())
    });
    match outcome {
        Ok(()) => (counts.into_inner(), None),
        Err(TestError::Fail(why, program)) => {
            let (program, why) = if small {
                without_what_is_not_needed(program, why.to_string(), check)
            } else {
                (program, why.to_string())
            };
            let first = first.get().expect("a program that has failed");
            (counts.into_inner(), Some((program, format!("program {first}: {why}"))))
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// Takes out operations for as long as it fails, first many at a time: what proptest has made smaller may be needed no more.
fn without_what_is_not_needed(
    mut program: Program,
    mut why: String,
    check: impl Fn(&Program) -> Result<Counts, String>,
) -> (Program, String) {
    let (mut at_once, start) = (program.ops.len(), Instant::now());
    while at_once > 0 {
        let (mut k, before) = (0, program.ops.len());
        while k < program.ops.len() && start.elapsed() < MOST_TO_MAKE_SMALL {
            let mut smaller = program.clone();
            smaller.ops.drain(k..program.ops.len().min(k + at_once));
            match check(&smaller) {
                Ok(_) => k += at_once,
                Err(also) => (program, why) = (smaller, also),
            }
        }
        // One by one until none can go.
        if at_once > 1 || program.ops.len() == before {
            at_once /= 2;
        }
    }
    (program, why)
}

/// A file of this test's own.
fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.txt", name.replace('/', "-")))
}

/// The process in which a test runs programs on a rung.
fn apart(test: &'static str, rung: Wish, sabotage: Option<Sabotage>) -> RefCell<Apart> {
    RefCell::new(Apart::new(test, rung, sabotage, place(&format!("said-{test}-{rung}"))))
}

#[test]
fn random_programs_agree_with_the_model() {
    if apart::serve() {
        return;
    }
    let cases = number_from("PROPTEST_CASES").map(|cases| cases as u32);
    let seed = number_from("PALIMPSEST_PROGRAM_SEED").unwrap_or_else(|| match cases {
        None => SEED,
        Some(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos() as u64,
    });
    let cases = cases.unwrap_or(CASES);
    // Unless it is only asked whether one fails.
    let small = std::env::var_os("PALIMPSEST_PROGRAM_AS_IT_IS").is_none();
    println!("PALIMPSEST_PROGRAM_SEED={seed} PROPTEST_CASES={cases}");
    let mut all = Counts::default();
    for rung in rungs() {
        let apart = apart("random_programs_agree_with_the_model", rung, None);
        let (counts, failed) = search(seed, cases, small, |program| apart.borrow_mut().run(program));
        println!("{rung}: {counts}");
        if let Some((program, why)) = failed {
            let kept = place(&format!("failed-{rung}"));
            std::fs::write(&kept, program.to_string()).expect("room for the program");
            panic!("{rung}, seed {seed}: {why}\n{program}\nThe program is in {}", kept.display());
        }
        has_met_the_barrier(rung, &counts);
        all += counts;
    }
    println!("all: {all}");
    assert!(all.cycles > all.programs && all.weak_cut > 0 && all.finalized > 0, "{all}");
    assert!(all.children > 0, "{all}");
}

/// Programs are worth something if cycles are in the middle of marking when they write, and if what they write to was armed.
fn has_met_the_barrier(rung: Wish, counts: &Counts) {
    let name = rung.to_string();
    if counts.programs < CASES.into() {
        return;
    }
    if !name.starts_with("stw") {
        assert!(counts.held >= counts.programs && counts.fallbacks * 10 < counts.cycles, "{rung}: {counts}");
    }
    assert!(!name.starts_with("preimage") || counts.preimages >= counts.programs, "{rung}: {counts}");
}

/// Every file in `tests/programs`, or the one that the environment names, on every rung.
#[test]
fn programs_on_file_agree_with_the_model() {
    if apart::serve() {
        return;
    }
    let named = std::env::var_os("PALIMPSEST_PROGRAM");
    let files: Vec<PathBuf> = match &named {
        Some(file) => vec![file.into()],
        None => {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
            let files = std::fs::read_dir(folder).expect("the folder of programs");
            let files = files.map(|entry| entry.expect("a file").path());
            files.filter(|path| path.extension().is_some_and(|extension| extension == "txt")).collect()
        }
    };
    assert!(!files.is_empty());
    let mut all = Counts::default();
    for rung in rungs() {
        let apart = apart("programs_on_file_agree_with_the_model", rung, None);
        for file in &files {
            let text = std::fs::read_to_string(file).expect("a program");
            let program: Program = text.parse().unwrap_or_else(|why| panic!("{}: {why}", file.display()));
            // What else runs at the time makes a difference.
            for _ in 0..3 {
                // One that is named is looked at: in this process, where a debugger is.
                let ran = if named.is_some() {
                    run(&program, Some(rung), None)
                } else {
                    apart.borrow_mut().run(&program)
                };
                all += ran.unwrap_or_else(|why| panic!("{} on {rung}: {why}", file.display()));
            }
        }
    }
    println!("{all}");
}

/// What is wrong is noticed, and made small.
fn is_noticed(sabotage: Sabotage, most: usize, says: &[&str]) {
    // The one with the shortest cycles, of those that are asked for.
    let rung = rungs().pop();
    let (counts, failed) = search(1, 400, true, |program| run(program, rung, Some(sabotage)));
    let (program, why) = failed.unwrap_or_else(|| panic!("{sabotage:?} was not noticed: {counts}"));
    println!("{sabotage:?}, noticed after {counts}: {why}\n{program}");
    assert!(says.iter().any(|says| why.contains(says)), "{why}");
    assert!(program.ops.len() <= most, "{} operations:\n{program}", program.ops.len());
    // The text is enough to see it again.
    let again: Program = program.to_string().parse().expect("its own text");
    assert_eq!(again, program);
    run(&again, rung, Some(sabotage)).expect_err("the same program is wrong again");
}

#[test]
fn an_object_that_is_lost_is_noticed() {
    is_noticed(Sabotage::LostRoot, 5, &["marked", "is alive", "word", "queued"]);
}

#[test]
fn garbage_that_is_kept_is_noticed() {
    is_noticed(Sabotage::KeptRoot, 3, &["objects were marked, and", "queued"]);
}

/// References outside of the heap that nobody told the collector of: a cycle of the young loses what only they lead to. For that
/// the object has to be old, and nothing written to its page since.
fn with_hidden_references() -> Program {
    let (bag, others, young) =
        ("alloc 5 8\n", "alloc 1 239\n".repeat(40), "alloc 1 0\nwrite 0 0 41\nunroot 41\n");
    let text = format!("heap young=on\n{bag}{others}collect\nyoung\n{young}young\nchurn 15\ncheck");
    text.parse().expect("a program")
}

/// The rungs on which those are lost.
fn rungs_that_remember(program: &Program) -> Vec<Wish> {
    let remembers = |rung: &Wish| run(program, Some(*rung), None).expect("nothing is wrong").young > 0;
    rungs().into_iter().filter(remembers).collect()
}

#[test]
fn references_that_are_not_registered_are_noticed() {
    let program = with_hidden_references();
    let rungs = rungs_that_remember(&program);
    for rung in &rungs {
        let why =
            run(&program, Some(*rung), Some(Sabotage::HiddenReferences)).expect_err("an object is lost");
        println!("{rung}: {why}");
    }
    println!("{} rungs that remember what is written", rungs.len());
}

#[test]
fn a_program_that_takes_its_process_down_is_made_smaller() {
    if apart::serve() {
        return;
    }
    let program = with_hidden_references();
    let test = "a_program_that_takes_its_process_down_is_made_smaller";
    let Some(rung) = rungs_that_remember(&program).pop() else { return };
    let apart = apart(test, rung, Some(Sabotage::HiddenAndVerified));
    let check = |program: &Program| apart.borrow_mut().run(program);
    let why = check(&program).expect_err("the verifier finds it");
    assert!(why.contains("SIGABRT"), "{why}");
    // What has nothing to do with it goes again.
    let mut larger = program.clone();
    larger.ops.splice(10..10, [Op::Block { times: 1 }; 20]);
    larger.ops.extend([Op::Check {}; 20]);
    let (smaller, why) = without_what_is_not_needed(larger, why, check);
    println!("{rung}: {why}\n{smaller}");
    assert!(why.contains("SIGABRT") && smaller.ops.len() <= program.ops.len(), "{why}\n{smaller}");
    // It has a new process for each, and says what is right.
    let fine: Program = "heap\nalloc 1 2\ncollect".parse().expect("a program");
    assert_eq!(check(&fine).map(|counts| counts.programs), Ok(1));
}

#[test]
fn a_program_is_what_its_text_says() {
    let (_, failed) = search(7, 100, true, |program| {
        let again: Program = program.to_string().parse()?;
        if again == *program { Ok(Counts::default()) } else { Err(format!("{again}")) }
    });
    assert_eq!(failed, None);
    for wrong in
        ["", "alloc 1 2", "heap\nfrobnicate", "heap\nalloc 1", "heap\nalloc 1 2 3", "heap\nwrite 1 2 x"]
    {
        assert!(wrong.parse::<Program>().is_err(), "{wrong}");
    }
}
