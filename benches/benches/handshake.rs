//! What it costs to stop the world, by how many threads there are and what they do: the time from the request to stop until
//! all have stopped ([`CycleRecord::stop_ms`](palimpsest::CycleRecord::stop_ms)). Prints one table in Markdown.
//!
//! * `floor`: threads that do nothing but look at one word, and count themselves when it says so (`support/sides/floor`).
//! * `polling`: each thread does nothing but poll.
//! * `allocating`: each allocates small objects and keeps none, so that polls are as far apart as in a program.
//! * `blocking`: each waits in the kernel, in a blocking region, and counts as stopped already.
//!
//! Median and longest of so many cycles over a heap that is nearly empty. With more threads than processors a thread that is to
//! stop may have to wait for one first, and the longest figures are those of the scheduler.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use palimpsest::{Heap, Kind, PlainPointers, StackScan};

#[path = "support/sides/mod.rs"]
mod sides;
use sides::floor::gathering::Gathering;

const THREADS: [usize; 5] = [1, 2, 4, 8, 16];

#[derive(Clone, Copy, PartialEq)]
enum Doing {
    Polling,
    Allocating,
    Blocking,
}

const ALL: [(&str, Doing); 3] =
    [("polling", Doing::Polling), ("allocating", Doing::Allocating), ("blocking", Doing::Blocking)];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    if arguments
        .iter()
        .any(|argument| !argument.starts_with("--") && !"handshake".contains(argument.as_str()))
    {
        // The command line names another bench.
        return;
    }
    let cycles = if quick { 50 } else { 500 };
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "Microseconds until all threads had stopped, median (longest) of {cycles} cycles; {processors} processors.\n"
    );
    println!("| threads | floor | polling | allocating | blocking |\n| ---: | ---: | ---: | ---: | ---: |");
    for threads in THREADS {
        eprintln!("handshake: {threads} threads, floor");
        let floor = cell(&measure_floor(threads, cycles));
        let cells = ALL.map(|(name, doing)| {
            eprintln!("handshake: {threads} threads {name}");
            cell(&measure(threads, doing, cycles))
        });
        println!("| {threads} | {floor} | {} |", cells.join(" | "));
    }
}

/// Median and longest of what is in order.
fn cell(stops: &[f64]) -> String {
    format!("{:.1} ({:.0})", stops[stops.len() / 2], stops[stops.len() - 1])
}

/// How long it takes to stop these threads if they do nothing else, in microseconds, in order.
fn measure_floor(threads: usize, cycles: usize) -> Vec<f64> {
    let gathering = Gathering::default();
    let mut stops: Vec<f64> = std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| gathering.run());
        }
        std::thread::sleep(Duration::from_millis(20));
        let stops = (0..cycles).map(|_| gathering.stop(threads as u32).as_secs_f64() * 1e6).collect();
        gathering.end();
        stops
    });
    stops.sort_by(f64::total_cmp);
    stops
}

/// How long each of so many cycles took to stop these threads, in microseconds, in order.
fn measure(threads: usize, doing: Doing, cycles: usize) -> Vec<f64> {
    let heap = Heap::builder(PlainPointers).limit(256 << 20).min_headroom(64 << 20).build().expect("a heap");
    let (begin, done) = (Barrier::new(threads + 1), AtomicBool::new(false));
    let mut stops = Vec::new();
    std::thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| {
                let mut mutator = heap.attach(StackScan::None).expect("attached");
                mutator.blocking(|| begin.wait());
                while !done.load(Relaxed) {
                    match doing {
                        Doing::Polling => mutator.poll(),
                        Doing::Allocating => {
                            mutator.alloc(Kind::LEAF, 64).expect("nothing is kept");
                        }
                        Doing::Blocking => {
                            mutator.blocking(|| std::thread::sleep(Duration::from_millis(20)));
                        }
                    }
                }
            });
        }
        begin.wait();
        let mut mutator = heap.attach(StackScan::None).expect("attached");
        for cycle in 0..cycles + 5 {
            // A thread that the last pause put to sleep counts as stopped until it runs again.
            mutator.blocking(|| std::thread::sleep(Duration::from_millis(3)));
            let record = mutator.collect();
            // The first ones populate tables.
            if cycle >= 5 {
                stops.push(record.stop_ms * 1e3);
            }
        }
        drop(mutator);
        done.store(true, Relaxed);
    });
    stops.sort_by(f64::total_cmp);
    stops
}
