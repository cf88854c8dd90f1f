//! Lox sources: what they do does not depend on what the collector does.

use crate::rungs;
use palimpsest_lox::{HeapOptions, InterpretError, Vm};
use std::cell::RefCell;
use std::io::{self, Write};
use std::rc::Rc;

/// Bytes of heap, instructions, and bytes of output that a program may have.
const LIMIT: usize = 2 << 20;
const STEPS: u64 = 6_000;
const PRINTED: usize = 1 << 20;

/// Compiles and runs a source twice: with the world stopped for every cycle and few of them; and on another rung, with a cycle every few
/// allocations, each verified, what is freed filled with a pattern. Output and end are the same.
pub fn lox_source(bytes: &[u8]) {
    let source = String::from_utf8_lossy(bytes);
    let plain = HeapOptions { rung: Some("stw".parse().expect("a rung")), ..HeapOptions::default() };
    let choice = bytes.iter().fold(bytes.len() as u8, |sum, byte| sum.wrapping_mul(31) ^ byte);
    let hard = HeapOptions {
        rung: Some(rungs::pick(choice)),
        stress: Some(3 + u64::from(choice) * 4),
        workers: Some(1 + usize::from(choice % 2)),
        ..HeapOptions::default()
    };
    let (wanted, found) = (run(&source, plain), run(&source, hard));
    // How much fits depends on what is garbage and not yet found to be; and the clock runs.
    let differs_by_nature = |end: &End| end.error.contains("Out of memory") || source.contains("clock");
    if !differs_by_nature(&wanted) && !differs_by_nature(&found) {
        assert_eq!(wanted, found, "of {source:?}");
    }
}

/// What a program printed, and how it ended.
#[derive(PartialEq, Eq, Debug)]
struct End {
    printed: String,
    error: String,
}

fn run(source: &str, options: HeapOptions) -> End {
    let mut vm = match Vm::new(&HeapOptions { limit: Some(LIMIT), ..options }) {
        Ok(vm) => vm,
        Err(why) => panic!("no interpreter: {why}"),
    };
    let printed = Printed::default();
    vm.limit_steps(STEPS);
    vm.print_to(printed.clone());
    let error = match vm.run_script(source) {
        Ok(()) => String::new(),
        Err(InterpretError::Compile(errors) | InterpretError::Runtime(errors)) => {
            assert!(!errors.is_empty());
            errors
        }
        Err(InterpretError::Output(why)) => why.to_string(),
    };
    let printed = String::from_utf8_lossy(&printed.0.borrow()).into_owned();
    End { printed, error }
}

/// Where a program prints to: as much as it may.
#[derive(Clone, Default)]
struct Printed(Rc<RefCell<Vec<u8>>>);

impl Write for Printed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.borrow_mut();
        if all.len() + bytes.len() > PRINTED {
            return Err(io::Error::other("too much output"));
        }
        all.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
