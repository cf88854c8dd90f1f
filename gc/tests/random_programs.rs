//! Random programs against a model, on every rung; `programs/mod.rs` says what a program is and what is compared.
//!
//! Without more words a rung has 48 programs, always the same ones: a change is not refused for what it did not do. `PROPTEST_CASES`
//! asks for as many others, and `PALIMPSEST_PROGRAM_SEED` says where they come from; both are printed. A program that fails is printed in its smallest form, and can be run again from a file:
//!
//! ```sh
//! PALIMPSEST_PROGRAM=failed.txt cargo test -p palimpsest-gc --test random_programs programs_on_file -- --nocapture
//! ```
//!
//! The program that is running is in the test's folder for temporary files, `target/tmp`, if it takes the process down. What has
//! failed once belongs into `tests/programs`, where every file is run on every rung.

mod common;
mod programs;

use common::rungs;
use programs::{Counts, Op, Program, Sabotage, ops, run};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Programs on each rung, where nobody says how many.
const CASES: u32 = 48;
/// Where they come from.
const SEED: u64 = 1;

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

/// Runs random programs until one fails, and returns that in its smallest form, with what was wrong.
fn search(
    seed: u64,
    cases: u32,
    check: impl Fn(&Program) -> Result<Counts, String>,
) -> (Counts, Option<(Program, String)>) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_time: 10_000,
        max_shrink_iters: 1_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let counts = RefCell::new(Counts::default());
    let outcome = runner.run(&program(), |program| {
        *counts.borrow_mut() += check(&program).map_err(TestCaseError::fail)?;
        Ok(())
    });
    match outcome {
        Ok(()) => (counts.into_inner(), None),
        Err(TestError::Fail(why, program)) => {
            (counts.into_inner(), Some(without_what_is_not_needed(program, why.to_string(), check)))
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
    let mut at_once = program.ops.len();
    while at_once > 0 {
        let (mut k, before) = (0, program.ops.len());
        while k < program.ops.len() {
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

/// Where a program is while it runs.
fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.txt", name.replace('/', "-")))
}

#[test]
fn random_programs_agree_with_the_model() {
    let cases = number_from("PROPTEST_CASES").map(|cases| cases as u32);
    let seed = number_from("PALIMPSEST_PROGRAM_SEED").unwrap_or_else(|| match cases {
        None => SEED,
        Some(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos() as u64,
    });
    let cases = cases.unwrap_or(CASES);
    println!("PALIMPSEST_PROGRAM_SEED={seed} PROPTEST_CASES={cases}");
    let mut all = Counts::default();
    for rung in rungs() {
        let at = place(&format!("running-{rung}"));
        let (counts, failed) = search(seed, cases, |program| {
            std::fs::write(&at, program.to_string()).map_err(|e| e.to_string())?;
            run(program, Some(rung), None)
        });
        std::fs::remove_file(&at).expect("the program that ran");
        println!("{rung}: {counts}");
        if let Some((program, why)) = failed {
            let kept = place(&format!("failed-{rung}"));
            std::fs::write(&kept, program.to_string()).expect("room for the program");
            panic!("{rung}, seed {seed}: {why}\n{program}\nThe program is in {}", kept.display());
        }
        all += counts;
    }
    println!("all: {all}");
    assert!(all.cycles > all.programs && all.weak_cut > 0 && all.finalized > 0, "{all}");
}

/// Every file in `tests/programs`, or the one that the environment names, on every rung.
#[test]
fn programs_on_file_agree_with_the_model() {
    let files: Vec<PathBuf> = match std::env::var_os("PALIMPSEST_PROGRAM") {
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
    for file in files {
        let text = std::fs::read_to_string(&file).expect("a program");
        let program: Program = text.parse().unwrap_or_else(|why| panic!("{}: {why}", file.display()));
        for rung in rungs() {
            // What else runs at the time makes a difference.
            for _ in 0..3 {
                all += run(&program, Some(rung), None)
                    .unwrap_or_else(|why| panic!("{} on {rung}: {why}", file.display()));
            }
        }
    }
    println!("{all}");
}

/// What is wrong is noticed, and made small.
fn is_noticed(sabotage: Sabotage, most: usize, says: &[&str]) {
    // The one with the shortest cycles, of those that are asked for.
    let rung = rungs().pop();
    let (counts, failed) = search(1, 400, |program| run(program, rung, Some(sabotage)));
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
#[test]
fn references_that_are_not_registered_are_noticed() {
    let (bag, others, young) =
        ("alloc 5 8\n", "alloc 1 239\n".repeat(40), "alloc 1 0\nwrite 0 0 41\nunroot 41\n");
    let text = format!("heap young=on\n{bag}{others}collect\nyoung\n{young}young\nchurn 15\ncheck");
    let program: Program = text.parse().expect("a program");
    let mut noticed = 0;
    for rung in rungs() {
        let counts = run(&program, Some(rung), None).expect("nothing is wrong");
        if counts.young > 0 {
            let why =
                run(&program, Some(rung), Some(Sabotage::HiddenReferences)).expect_err("an object is lost");
            println!("{rung}: {why}");
            noticed += 1;
        }
    }
    println!("{noticed} rungs that remember what is written");
}

#[test]
fn a_program_is_what_its_text_says() {
    let (_, failed) = search(7, 100, |program| {
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
