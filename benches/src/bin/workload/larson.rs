//! Larson: a server's threads, each with a table of blocks that earlier threads have allocated.
//!
//! After Larson and Krishnan, "Memory allocation for long-running server applications" (1998). For an allocator with explicit
//! frees the difficulty is that a thread frees what another has allocated; for a collector it is many threads that come and go,
//! objects of all sizes up to a kilobyte, and a table that is overwritten at random. The blocks have no pointers; the tables do.

use std::sync::mpsc::{self, Sender};
use std::thread::{self, Scope};
use std::time::Instant;

use palimpsest::{Address, Error, Heap, PlainPointers, StackScan};

use crate::latency::Latency;
use crate::objects::{self, Mutator};
use crate::random::Random;
use crate::report::Outcome;

/// Words of the smallest block, and how many sizes there are: 16 to 1024 bytes.
const LEAST_WORDS: usize = 2;
const SIZES: u64 = 127;

/// What a thread hands on to the next one.
struct Line {
    /// The table, which a handle keeps.
    table: Address,
    slots: u64,
    rounds: u32,
    /// Blocks allocated so far.
    blocks: u64,
    random: Random,
    sum: u64,
    latency: Latency,
}

type Ended = Sender<Result<Line, Error>>;

/// Runs the workload: `threads` at a time, each with `slots` slots, which as many threads one after another replace as there are
/// rounds.
pub(crate) fn run(
    mutator: &mut Mutator,
    origin: Instant,
    threads: u32,
    slots: u32,
    rounds: u32,
) -> Result<Outcome, Error> {
    let heap = mutator.heap().clone();
    let tables: Vec<Address> =
        (0..threads).map(|_| Address::from_ptr(objects::pointers::<u64>(mutator, slots as usize))).collect();
    let _tables: Vec<_> = tables.iter().map(|&table| heap.handle(table)).collect();

    let (ended, lines) = mpsc::channel();
    mutator.blocking(|| {
        thread::scope(|scope| {
            for (index, &table) in tables.iter().enumerate() {
                let random = Random::of(index as u64);
                let latency = Latency::start(origin, threads);
                let slots = slots.into();
                let line = Line { table, slots, rounds, blocks: 0, random, sum: 0, latency };
                let (heap, ended) = (&heap, ended.clone());
                scope.spawn(move || serve(scope, heap, line, ended));
            }
        });
    });
    drop(ended);

    let (mut sum, mut latency) = (0u64, Latency::start(origin, threads));
    for line in lines {
        let line = line?;
        sum = sum.wrapping_add(line.sum);
        latency.merge(&line.latency);
        for slot in 0..slots as usize {
            mutator.poll();
            // SAFETY: within the table, every slot of which was filled.
            sum =
                sum.wrapping_add(unsafe { objects::read_words(*line.table.as_ptr::<*mut u64>().add(slot)) });
        }
    }
    Ok(Outcome { latency: Some(latency), ..Outcome::new(sum) })
}

/// One thread's life: a round, and then a new thread for what is left.
fn serve<'scope>(
    scope: &'scope Scope<'scope, '_>,
    heap: &'scope Heap<PlainPointers>,
    mut line: Line,
    ended: Ended,
) {
    let mut mutator = match heap.attach(StackScan::Conservative) {
        Ok(mutator) => mutator,
        Err(error) => return tell(&ended, Err(error)),
    };
    if line.blocks == 0 {
        for slot in 0..line.slots as usize {
            let block = block(&mut mutator, &mut line);
            // SAFETY: within the table.
            unsafe { line.table.as_ptr::<*mut u64>().add(slot).write(block) };
        }
    }
    line.latency.skip();
    for _ in 0..line.slots {
        let slot = line.random.below(line.slots);
        let block = block(&mut mutator, &mut line);
        // SAFETY: within the table, every slot of which holds a block; the old one is read before the next safepoint.
        unsafe {
            let old = line.table.as_ptr::<*mut u64>().add(slot).replace(block);
            line.sum = line.sum.wrapping_add(objects::read_words(old));
        }
        line.latency.lap();
    }
    drop(mutator);
    line.rounds -= 1;
    if line.rounds > 0 {
        scope.spawn(move || serve(scope, heap, line, ended));
    } else {
        tell(&ended, Ok(line));
    }
}

fn block(mutator: &mut Mutator, line: &mut Line) -> *mut u64 {
    let len = LEAST_WORDS + line.random.below(SIZES);
    line.blocks += 1;
    objects::words(mutator, len, line.blocks)
}

fn tell(ended: &Ended, line: Result<Line, Error>) {
    ended.send(line).expect("whoever runs the workload waits for all lines");
}
