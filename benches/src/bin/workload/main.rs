//! The four whole-program workloads on the collector, one a run, with one line of JSON as the result.
//!
//! The same programs exist in C, D, Go, OCaml, Java and Rust for other collectors and for explicit frees. What makes
//! them comparable: the same objects in the same order from the same random numbers, so the checksum of what was read
//! through pointers is equal everywhere, and the same figures under the same names ([`report`]). What the C program
//! holds in a static is a registered root here; what it holds in a local is found by scanning the stack.
//!
//! A workload is a module with a `run` that takes an attached [`Mutator`](palimpsest::Mutator) and returns an
//! [`Outcome`](report::Outcome). To read one, start with [`gcbench`].

mod binarytrees;
mod gcbench;
mod graph;
mod latency;
mod msgmap;
mod objects;
mod options;
mod random;
mod report;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use palimpsest::{Heap, PlainPointers, StackScan};

use options::{Options, Workload};
use report::Report;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("workload: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<String, Box<dyn Error>> {
    let heap = options.configure(Heap::builder(PlainPointers))?.build()?;
    if options.gc_log {
        eprintln!("rung {}", heap.ladder());
    }
    let mut mutator = heap.attach(StackScan::Conservative)?;
    let start = Instant::now();
    let outcome = match options.workload {
        Workload::Gcbench { live, max } => gcbench::run(&mut mutator, live, max),
        Workload::Binarytrees { depth, threads } => binarytrees::run(&mut mutator, depth, threads),
        Workload::Msgmap { window, times } => msgmap::run(&mut mutator, window, times),
        Workload::Graph { mib, ops } => graph::run(&mut mutator, mib, ops),
    }?;
    let report = Report::new(&options.workload, start.elapsed(), outcome, heap.stats());
    let pauses = heap.pauses();
    // Ends the collector too, so that its log cannot go on after this.
    drop((mutator, heap));
    if options.gc_log {
        eprintln!("pauses: {pauses}");
    }
    Ok(serde_json::to_string(&report)?)
}
