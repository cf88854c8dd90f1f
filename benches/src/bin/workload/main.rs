//! Whole programs on the collector, one a run, with one line of JSON as the result.
//!
//! The same programs exist in C, in `benches/peers`, for other allocators and collectors. What makes
//! them comparable: the same objects in the same order from the same random numbers, so the checksum of what was read
//! through pointers is equal everywhere, and the same figures under the same names ([`report`]). What the C program
//! holds in a static is a registered root here; what it holds in a local is found by scanning the stack.
//!
//! A workload is a module with a `run` that takes an attached [`Mutator`](palimpsest::Mutator) and returns an
//! [`Outcome`](report::Outcome). To read one, start with [`gcbench`].

mod binarytrees;
mod churn;
mod gcbench;
mod graph;
mod larson;
mod latency;
mod msgmap;
mod objects;
mod options;
mod pauses;
mod random;
mod report;
mod server;
mod slow;
mod threads;
mod timeline;

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use palimpsest::{Heap, PlainPointers, StackScan};

use options::{Options, Workload};
use pauses::Pauses;
use report::Report;
use server::Load;
use timeline::{Recorder, Sampler};

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
    let (pauses, recorder) = (Pauses::default(), Recorder::default());
    let mut builder = options.configure(Heap::builder(PlainPointers))?.listener(pauses.clone());
    if options.timeline.is_some() {
        builder = builder.listener(recorder.clone());
    }
    let heap = builder.build()?;
    if options.gc_log {
        eprintln!("rung {}", heap.ladder());
    }
    let mut mutator = heap.attach(StackScan::Conservative)?;
    let sampler = options.timeline.is_some().then(|| Sampler::start(&heap));
    let (start, start_ms) = (Instant::now(), heap.age().as_secs_f64() * 1e3);
    let outcome = match options.workload {
        Workload::Gcbench { live, max } => gcbench::run(&mut mutator, live, max),
        Workload::Binarytrees { depth, threads } => binarytrees::run(&mut mutator, depth, threads),
        Workload::Msgmap { window, times } => msgmap::run(&mut mutator, start, window, times),
        Workload::Graph { mib, ops } => graph::run(&mut mutator, start, mib, ops),
        Workload::Larson { threads, slots, rounds } => {
            larson::run(&mut mutator, start, threads, slots, rounds)
        }
        Workload::Server { sessions, requests, rate, threads } => {
            server::run(&mut mutator, start, Load { sessions, requests, rate, threads })
        }
        Workload::Churn { mib, writes, ops, threads } => {
            churn::run(&mut mutator, start, mib, writes, ops, threads)
        }
    }?;
    let wall = start.elapsed();
    let samples = sampler.map(Sampler::end);
    let mut report = Report::new(&options.workload, wall, outcome, heap.stats());
    let (histogram, end_ms) = (heap.pauses(), heap.age().as_secs_f64() * 1e3);
    // Ends the collector too, so that its log cannot go on after this.
    drop((mutator, heap));
    report.pauses_ms = pauses.between(start_ms, end_ms);
    if options.gc_log {
        eprintln!("pauses: {histogram}");
    }
    if let (Some(file), Some(samples)) = (&options.timeline, samples) {
        let of = format!("{} {}", options.workload.name(), options.workload.sizes());
        timeline::write(file, &recorder.timeline(of, &samples)?)?;
    }
    Ok(serde_json::to_string(&report)?)
}
