//! Sixteen threads on random graphs, cycles all the time, each verified, workers that are killed and stopped at random; with an odd seed
//! what is freed is poisoned.
//!
//! As a test it lasts some seconds on each rung; `.ci/soak --minutes 10 --seed 7 --rung preimage` makes it last. The seed is
//! printed at the start, and comes from `PALIMPSEST_SOAK_SEED` if that is set. The same seed makes each thread decide the same, one
//! operation after the other: what it allocates, where it stores, when it detaches. What differs from run to run is how the
//! threads and the cycles fall together, which workers are killed and when, and so how far each thread gets in the time.

mod common;

use common::{AtEnd, Node, Nodes, Random, new_node, number_of, rungs};
use palimpsest::{Address, Heap, Kind, Mutator, PlainPointers, RootRange, Snapshot, StackScan, Stats, Wish};
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const THREADS: usize = 16;

/// Slots of a thread's table, and what it remembers of each: the number of the node there and of the two it refers to.
const SLOTS: usize = 400;
type Shadow = [[Option<u64>; 3]; SLOTS];

/// Slots that all threads write to, native memory that is a root.
const SHARED: usize = 64;

/// More cycles than this there are to be, and how long they may take on a machine that is busy with other things.
const FEW: u64 = 5;
const SLOWEST: Duration = Duration::from_secs(60);

/// How long a thread does nothing now and then, and after how many chances for that, which one operation in some thirty is.
const REST: Duration = Duration::from_millis(1);
const RESTS: usize = 10;

/// From this time on some worker has been killed.
const LONG: Duration = Duration::from_secs(60);

/// How often it says how far it is.
const SAYS: Duration = Duration::from_secs(10);

fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

fn seconds() -> Duration {
    Duration::from_secs(number_from("PALIMPSEST_SOAK_SECONDS").unwrap_or(3))
}

/// Says how to do it again, if this is a panic's doing.
struct Again<'a>(&'a str);

impl Drop for Again<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("soak failed; again: {}", self.0);
        }
    }
}

#[test]
fn random_graphs_survive_everything_at_once() {
    let seed = number_from("PALIMPSEST_SOAK_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        now.as_nanos() as u64 % 1_000_000_000
    });
    for rung in rungs() {
        let (minutes, rest) = (seconds().as_secs() / 60, seconds().as_secs() % 60);
        let command =
            format!(".ci/soak --minutes {} --seed {seed} --rung {rung}", minutes + u64::from(rest > 0));
        // Now: a heap that is found corrupt ends the process.
        eprintln!("soak: seed {seed}; again: {command}");
        let _again = Again(&command);
        soak(rung, seed);
    }
}

fn soak(rung: Wish, seed: u64) {
    let builder = Heap::builder(PlainPointers)
        .limit(256 << 20)
        .rung(rung)
        .stress(30_000)
        .poison(seed % 2 == 1)
        .workers(2)
        .worker_chaos(12)
        .worker_patience(Duration::from_millis(300));
    let nodes = Nodes::new(builder);
    let shared: Vec<AtomicPtr<Node>> = (0..SHARED).map(|_| AtomicPtr::new(null_mut())).collect();
    // SAFETY: the words outlive the guard; threads write to them between safepoints only.
    let _roots =
        unsafe { nodes.heap.add_roots(RootRange::Fixed { start: shared.as_ptr().cast(), len: SHARED }) };
    let (done, operations) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    std::thread::scope(|s| {
        for k in 0..THREADS {
            let (nodes, shared, done, operations) = (&nodes, &shared, &done, &operations);
            s.spawn(move || {
                // One that fails ends the others.
                let _ends = AtEnd(done);
                let mut thread = Thread::new(nodes, shared, seed, k);
                while !done.load(Ordering::Relaxed) {
                    operations.fetch_add(thread.work(), Ordering::Relaxed);
                }
            });
        }
        let mut said = start;
        // A busy machine has time for few cycles.
        let is_over = || {
            let time = start.elapsed();
            time >= seconds() && (time > SLOWEST || nodes.heap.stats().cycles > FEW)
        };
        while !is_over() && !done.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(50));
            if said.elapsed() >= SAYS {
                said = Instant::now();
                say(rung, start, &nodes.heap.stats(), operations.load(Ordering::Relaxed));
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let stats = nodes.heap.stats();
    eprintln!("soak is over, seed {seed}:");
    say(rung, start, &stats, operations.load(Ordering::Relaxed));
    assert!(stats.cycles > FEW, "{stats}");
    // It is the barrier, and workers that mark and die, that were to be tried.
    assert!(stats.fallbacks * 4 < stats.cycles, "{stats}");
    assert!(stats.snapshot != Snapshot::Preimage || stats.preimages > stats.cycles, "{stats}");
    let forks = stats.snapshot != Snapshot::StopTheWorld;
    assert!(!forks || seconds() < LONG || killed(&stats) > 0, "{stats}");
}

/// All workers that did not end by themselves: those whose cycle failed, and those whose work the others took over.
fn killed(stats: &Stats) -> u64 {
    stats.lost_workers + stats.failures
}

/// What has been done so far, in a line.
fn say(rung: Wish, start: Instant, stats: &Stats, operations: u64) {
    eprintln!(
        "{rung}: {:.0} s, {operations} operations, {} cycles ({} young), {} workers killed, {} cycles failed, \
         {} fell back, {} takeovers, {} pre-images, {} MiB marked",
        start.elapsed().as_secs_f64(),
        stats.cycles,
        stats.young_cycles,
        killed(stats),
        stats.failures,
        stats.fallbacks,
        stats.takeovers,
        stats.preimages,
        stats.marked_bytes >> 20,
    );
}

/// What one thread does, between being attached and detached.
struct Thread<'a> {
    nodes: &'a Nodes,
    shared: &'a [AtomicPtr<Node>],
    random: Random,
    number: u64,
}

impl<'a> Thread<'a> {
    fn new(nodes: &'a Nodes, shared: &'a [AtomicPtr<Node>], seed: u64, k: usize) -> Self {
        let number = (k as u64) << 40;
        // Each thread has a stream of its own. The generator's state is not 0.
        let stream = (seed << 8 | k as u64 | 1 << 63).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self { nodes, shared, random: Random(stream | 1), number }
    }

    /// Attaches, works on a table of its own and on the shared slots, checks all of it, and detaches. How many operations.
    fn work(&mut self) -> u64 {
        let heap = &self.nodes.heap;
        let scan = [StackScan::None, StackScan::Conservative][self.random.below(2)];
        let mut m = heap.attach(scan).expect("attached");
        // An object of the heap, or native memory, holds the table.
        let native: Box<[Cell<*mut Node>]> = (0..SLOTS).map(|_| Cell::new(null_mut())).collect();
        // SAFETY: outlives the guard, which is declared later.
        let _native =
            unsafe { heap.add_roots(RootRange::Fixed { start: native.as_ptr().cast(), len: SLOTS }) };
        let in_heap = self.random.below(2) == 0;
        let object = m.alloc(Kind::UNIFORM, SLOTS * 8).expect("room for a table").cast::<*mut Node>();
        let _object = heap.handle(Address::from_ptr(object.as_ptr()));
        // SAFETY: an element of either table.
        let slot = |k: usize| unsafe { if in_heap { object.as_ptr().add(k) } else { native[k].as_ptr() } };
        let mut shadow: Shadow = [[None; 3]; SLOTS];
        let operations = 2_000 + self.random.below(30_000) as u64;
        for _ in 0..operations {
            self.step(&mut m, &slot, &mut shadow);
        }
        for (k, expected) in shadow.iter().enumerate() {
            m.poll();
            // SAFETY: what the table refers to is live.
            let found = unsafe { seen(slot(k).read()) };
            assert_eq!(found, *expected, "thread {:#x}, slot {k}", self.number >> 40);
        }
        operations
    }

    fn step(
        &mut self,
        m: &mut Mutator<PlainPointers>,
        slot: &dyn Fn(usize) -> *mut *mut Node,
        shadow: &mut Shadow,
    ) {
        let k = self.random.below(SLOTS);
        self.number += 1;
        let number = self.number;
        match self.random.below(34) {
            0..=9 => {
                let node = new_node(m, self.nodes.kind, null_mut(), number);
                // SAFETY: a slot of the table; no safepoint since the node was made.
                unsafe { slot(k).write(node) };
                shadow[k] = [Some(number), None, None];
            }
            n @ 10..=17 if shadow[k][0].is_some() => {
                let young = new_node(m, self.nodes.kind, null_mut(), number);
                // SAFETY: a node in the table is live; no safepoint since the young one was made.
                unsafe {
                    let node = slot(k).read();
                    let field = if n < 14 { &raw mut (*node).next } else { &raw mut (*node).other };
                    field.write(young);
                }
                shadow[k][if n < 14 { 1 } else { 2 }] = Some(number);
            }
            // Moves a reference from one place to another: what a snapshot has to see in one of them.
            18..=19 => {
                let to = self.random.below(SLOTS);
                let moved = std::mem::take(&mut shadow[k]);
                // SAFETY: slots of the table, without a safepoint in between.
                unsafe {
                    let node = slot(k).replace(null_mut());
                    slot(to).write(node);
                }
                shadow[to] = moved;
            }
            // Hides what a node refers to from a marker that was not there yet: while a cycle is marked, only the snapshot leads there, if
            // the table is native memory.
            24.. if shadow[k][1].is_some() => {
                let to = self.random.below(SLOTS);
                let hidden = shadow[k][1].take();
                // SAFETY: a live node, and slots of the table, without a safepoint in between.
                unsafe {
                    let node = slot(k).read();
                    let next = std::mem::replace(&mut (*node).next, null_mut());
                    slot(to).write(next);
                }
                shadow[to] = [hidden, None, None];
            }
            20 => {
                // SAFETY: a slot of the table.
                let own = unsafe { slot(k).read() };
                let other = self.shared[k % SHARED].swap(own, Ordering::AcqRel);
                if !other.is_null() {
                    number_of(other);
                }
            }
            21 => {
                // Garbage of all sizes, now and then a large object.
                let bytes = match self.random.below(200) {
                    0 => 40_000 + self.random.below(200_000),
                    n => n * 16,
                };
                let kind = [Kind::LEAF, Kind::UNIFORM, Kind::CONSERVATIVE][self.random.below(3)];
                m.alloc(kind, bytes).expect("room");
            }
            // Leaves the processors to the collector: more threads than it has of them would have few cycles among them.
            22 if self.random.below(RESTS) == 0 => m.blocking(|| std::thread::sleep(REST)),
            23 if self.random.below(40_000) == 0 => {
                m.collect_young();
            }
            _ => m.poll(),
        }
    }
}

/// The numbers of a node and of what it refers to.
///
/// # Safety
/// The node is live, or null.
unsafe fn seen(node: *mut Node) -> [Option<u64>; 3] {
    let number = |node: *mut Node| (!node.is_null()).then(|| number_of(node));
    if node.is_null() {
        return [None; 3];
    }
    // SAFETY: passed on to the caller.
    unsafe { [number(node), number((*node).next), number((*node).other)] }
}
