//! Sixteen threads on random graphs, cycles all the time, each verified, workers that are killed and stopped at random.
//!
//! As a test it lasts some seconds. `PALIMPSEST_SOAK_SECONDS=600 cargo test --release -p palimpsest-gc --test soak -- --nocapture`
//! makes it last, on every rung in turn, or on the one that `PALIMPSEST_RUNG` names; `.ci/soak` does that for one rung of each
//! snapshot.

mod common;

use common::{Node, Nodes, Random, new_node, number_of, rungs};
use palimpsest::{Address, Heap, Kind, Mutator, PlainPointers, RootRange, StackScan};
use std::cell::Cell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const THREADS: usize = 16;

/// Slots of a thread's table, and what it remembers of each: the number of the node there and of the two it refers to.
const SLOTS: usize = 400;
type Shadow = [[Option<u64>; 3]; SLOTS];

/// Slots that all threads write to, native memory that is a root.
const SHARED: usize = 64;

fn seconds() -> Duration {
    let asked =
        std::env::var("PALIMPSEST_SOAK_SECONDS").ok().map(|text| text.parse().expect("a number of seconds"));
    Duration::from_secs(asked.unwrap_or(3))
}

#[test]
fn random_graphs_survive_everything_at_once() {
    for rung in rungs() {
        let builder = Heap::builder(PlainPointers)
            .limit(256 << 20)
            .rung(rung)
            .stress(30_000)
            .poison(false)
            .workers(2)
            .worker_chaos(6)
            .worker_patience(Duration::from_millis(300));
        let nodes = Nodes::new(builder);
        let shared: Vec<AtomicPtr<Node>> = (0..SHARED).map(|_| AtomicPtr::new(null_mut())).collect();
        // SAFETY: the words outlive the guard; threads write to them between safepoints only.
        let _roots =
            unsafe { nodes.heap.add_roots(RootRange::Fixed { start: shared.as_ptr().cast(), len: SHARED }) };
        let (done, operations) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|s| {
            for seed in 0..THREADS {
                let (nodes, shared, done, operations) = (&nodes, &shared, &done, &operations);
                s.spawn(move || {
                    let mut thread = Thread::new(nodes, shared, seed);
                    while !done.load(Ordering::Relaxed) {
                        operations.fetch_add(thread.work(), Ordering::Relaxed);
                    }
                });
            }
            let (start, mut said) = (Instant::now(), Instant::now());
            while start.elapsed() < seconds() {
                std::thread::sleep(Duration::from_millis(100));
                if said.elapsed() > Duration::from_secs(30) {
                    said = Instant::now();
                    let stats = nodes.heap.stats();
                    eprintln!(
                        "{rung}: {:?}, {} cycles ({} young), {} failed, {} fell back, {} operations",
                        start.elapsed(),
                        stats.cycles,
                        stats.young_cycles,
                        stats.failures,
                        stats.fallbacks,
                        operations.load(Ordering::Relaxed)
                    );
                }
            }
            done.store(true, Ordering::Relaxed);
        });
        let stats = nodes.heap.stats();
        eprintln!("{rung}: {} operations\n{stats}", operations.load(Ordering::Relaxed));
        assert!(stats.cycles > 5, "{stats}");
    }
}

/// What one thread does, between being attached and detached.
struct Thread<'a> {
    nodes: &'a Nodes,
    shared: &'a [AtomicPtr<Node>],
    random: Random,
    number: u64,
}

impl<'a> Thread<'a> {
    fn new(nodes: &'a Nodes, shared: &'a [AtomicPtr<Node>], seed: usize) -> Self {
        let number = (seed as u64) << 40;
        Self { nodes, shared, random: Random(0x9e37_79b9_7f4a_7c15 ^ (seed as u64 + 1) << 13), number }
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
        match self.random.below(24) {
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
            22 if self.random.below(200) == 0 => m.blocking(std::thread::yield_now),
            23 if self.random.below(4_000) == 0 => {
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
