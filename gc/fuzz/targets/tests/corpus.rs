//! The fuzz targets without a fuzzer: every input that is checked in, and variations of them.
//!
//! `PALIMPSEST_FUZZ_SEED` says which variations; it is printed. `PALIMPSEST_FUZZ_INPUTS` says how many there are, as a multiple of what
//! a test run has. The input that is being run is in `target/tmp` if it takes the process down.

use palimpsest_fuzz_targets::TARGETS;
use std::path::{Path, PathBuf};

/// Variations of inputs, in a test run: as many as take a few seconds.
const VARIATIONS: [(&str, u64); 4] =
    [("lox_source", 50), ("options_string", 200), ("c_calls", 120), ("heap_operations", 20)];

/// A stream of numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

fn number_from(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// An input from others: bytes changed, taken out, doubled, or taken from another input.
fn vary(random: &mut Random, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut input = inputs[random.below(inputs.len())].clone();
    for _ in 0..1 + random.below(6) {
        let at = random.below(input.len() + 1);
        let to = input.len().min(at + random.below(20));
        match random.below(5) {
            0 if at < input.len() => input[at] = random.below(256) as u8,
            1 => drop(input.drain(at..to)),
            2 => {
                let piece = input[at..to].to_vec();
                input.splice(at..at, piece);
            }
            3 => {
                let other = &inputs[random.below(inputs.len())];
                let from = random.below(other.len() + 1);
                let piece = &other[from..other.len().min(from + random.below(40))];
                input.splice(at..at, piece.iter().copied());
            }
            _ => input.insert(at, random.below(256) as u8),
        }
    }
    input
}

#[test]
fn inputs_that_are_checked_in_and_variations() {
    let (seed, times) = (number_from("PALIMPSEST_FUZZ_SEED", 1), number_from("PALIMPSEST_FUZZ_INPUTS", 1));
    println!("PALIMPSEST_FUZZ_SEED={seed} PALIMPSEST_FUZZ_INPUTS={times}");
    for (name, target) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(name);
        let files = std::fs::read_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
        let mut files: Vec<PathBuf> = files.map(|entry| entry.expect("a file").path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has no inputs");
        let inputs: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).expect("an input")).collect();
        let running = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
        let run = |input: &[u8]| {
            std::fs::write(&running, input).expect("room for an input");
            target(input);
        };
        inputs.iter().for_each(|input| run(input));
        let (_, variations) = VARIATIONS.iter().find(|(of, _)| *of == name).expect("a target");
        let mut random = Random(seed);
        for _ in 0..variations * times {
            run(&vary(&mut random, &inputs));
        }
        std::fs::remove_file(&running).expect("the input that ran");
        println!("{name}: {} inputs, {} variations", inputs.len(), variations * times);
    }
}
