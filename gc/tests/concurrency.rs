//! Many threads, a graph that is rewritten all the time, and cycles that never stop; verified after each.

mod common;

use common::{Node, Nodes, Random, new_node, number_of, rungs};
use palimpsest::{Address, Heap, HeapBuilder, Kind, PlainPointers, RootRange, Snapshot, StackScan};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Nodes that each thread keeps in its table.
const TABLE: usize = 2_000;

fn heap() -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(96 << 20).verify(true).poison(true).cycle_every(1 << 20)
}

/// Allocates and rewires at random, checking every node it meets, until `done`.
fn mutate(nodes: &Nodes, seed: u64, stack: StackScan, done: impl Fn(usize) -> bool) {
    let mut m = nodes.heap.attach(stack).unwrap();
    let mut random = Random(seed | 1);
    let table = m.alloc(Kind::UNIFORM, TABLE * 8).unwrap().cast::<*mut Node>();
    let _table = nodes.heap.handle(Address::from_ptr(table.as_ptr()));
    let mut held = [std::ptr::null_mut::<Node>(); 8];
    let start = held.as_ptr().cast();
    // SAFETY: `held` outlives the guard, and holds nodes or null.
    let _held = unsafe { nodes.heap.add_roots(RootRange::Fixed { start, len: held.len() }) };
    for round in 0.. {
        if round % 1024 == 0 {
            m.blocking(std::thread::yield_now);
            if done(round) {
                break;
            }
        }
        // SAFETY: slots of the table; nodes found in it, and in what they refer to, are reachable, hence alive.
        unsafe {
            let slot = table.add(random.below(TABLE));
            let other = table.add(random.below(TABLE));
            let k = random.below(held.len());
            match random.below(8) {
                0..4 => {
                    let next = if random.below(4) == 0 { std::ptr::null_mut() } else { other.read() };
                    std::ptr::from_mut(&mut held[k]).write_volatile(next);
                    slot.write(new_node(&mut m, nodes.kind, next, round as u64));
                }
                // Hide an object: it is now reachable from `held` only, and soon from somewhere else.
                4 => {
                    std::ptr::from_mut(&mut held[k]).write_volatile(slot.read());
                    slot.write(std::ptr::null_mut());
                }
                5 => slot.write(held[k]),
                6 if !slot.read().is_null() => (*slot.read()).other = held[k],
                _ => {
                    let mut at = slot.read();
                    for _ in 0..10 {
                        if at.is_null() {
                            break;
                        }
                        number_of(at);
                        at = if random.below(2) == 0 { (*at).next } else { (*at).other };
                    }
                    // Chains are cut, or they would grow for ever.
                    if !slot.read().is_null() && random.below(3) == 0 {
                        (*slot.read()).next = std::ptr::null_mut();
                    }
                }
            }
        }
    }
}

/// Threads that go on until the heap has made so many cycles that ended well and so many that failed.
fn run(nodes: &Nodes, threads: usize, cycles: u64, failures: u64) {
    let done = |_| {
        let stats = nodes.heap.stats();
        stats.cycles >= cycles && (stats.failures >= failures || stats.snapshot == Snapshot::StopTheWorld)
    };
    std::thread::scope(|s| {
        for thread in 0..threads {
            let stack = if thread % 2 == 0 { StackScan::Conservative } else { StackScan::None };
            s.spawn(move || mutate(nodes, thread as u64 * 7919 + 13, stack, done));
        }
    });
}

#[test]
fn no_object_is_lost_under_concurrent_marking() {
    for rung in rungs() {
        let nodes = Nodes::new(heap().rung(rung));
        run(&nodes, 4, 100, 0);
        let stats = nodes.heap.stats();
        assert!(stats.snapshot != Snapshot::Preimage || stats.preimages > 1_000, "{stats}");
        assert_eq!((stats.failures, stats.fallbacks), (0, 0), "{stats}");
    }
}

#[test]
fn workers_that_are_killed_or_stopped_cost_cycles_and_no_object() {
    let patience = Duration::from_millis(200);
    let nodes = Nodes::new(heap().worker_chaos(2).worker_patience(patience));
    run(&nodes, 2, 20, 10);
    let stats = nodes.heap.stats();
    if stats.snapshot == Snapshot::StopTheWorld {
        eprintln!("skipped: no workers here: {stats}");
    }
}

#[test]
fn workers_that_hardly_get_a_processor_delay_cycles_and_lose_nothing() {
    let done = AtomicBool::new(false);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|s| {
        // At the mutators' priority, which is higher than a worker's.
        for _ in 0..2 * processors {
            s.spawn(|| {
                while !done.load(Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let nodes = Nodes::new(heap().limit(24 << 20));
        run(&nodes, 2, 10, 0);
        done.store(true, Relaxed);
        assert!(nodes.heap.stats().failures <= nodes.heap.stats().cycles, "{}", nodes.heap.stats());
    });
}

#[test]
fn a_small_pre_image_pool_delays_writers_and_loses_nothing() {
    let nodes = Nodes::new(heap().preimage_limit(64 << 10));
    run(&nodes, 3, 10, 0);
    let stats = nodes.heap.stats();
    if stats.snapshot != Snapshot::Preimage {
        eprintln!("skipped: no pre-images here: {stats}");
        return;
    }
    assert!(stats.pool_stalls > 0, "{stats}");
}

#[test]
fn stress_mode_makes_a_cycle_every_few_allocations() {
    let nodes = Nodes::new(Heap::builder(PlainPointers).limit(32 << 20).stress(500));
    run(&nodes, 2, 200, 0);
    let stats = nodes.heap.stats();
    // One cycle serves the requests of both threads, at most.
    assert!(stats.allocated_bytes / 32 >= 200 * 500 / 2, "{stats}");
}

#[test]
fn threads_attach_and_leave_during_cycles() {
    let nodes = Nodes::new(heap());
    std::thread::scope(|s| {
        let nodes = &nodes;
        s.spawn(move || mutate(nodes, 99, StackScan::None, |_| nodes.heap.stats().cycles >= 30));
        s.spawn(move || {
            for seed in 0..60 {
                std::thread::scope(|s| {
                    s.spawn(move || mutate(nodes, seed + 1, StackScan::Conservative, |round| round >= 4096));
                });
            }
        });
    });
}

/// Two threads write to one object all the time, while it is armed again and again.
#[test]
fn a_hot_object_is_no_foreign_fault() {
    for rung in rungs() {
        let nodes = Nodes::new(Heap::builder(PlainPointers).limit(16 << 20).rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let hot = m.alloc(Kind::LEAF, 64).map(|_| m.alloc(Kind::CONSERVATIVE, 64).unwrap()).unwrap();
        let _root = nodes.heap.handle(Address::from_ptr(hot.as_ptr()));
        let (hot, done) = (hot.as_ptr().expose_provenance(), AtomicBool::new(false));
        std::thread::scope(|s| {
            for k in 0..2 {
                let (nodes, done) = (&nodes, &done);
                s.spawn(move || {
                    let mut m = nodes.heap.attach(StackScan::None).unwrap();
                    let word = Address::new(hot).add(k * 8).as_ptr::<u64>();
                    while !done.load(Relaxed) {
                        // SAFETY: this thread's word of a live object.
                        unsafe { word.write_volatile(word.read_volatile().wrapping_add(2)) };
                        m.poll();
                    }
                });
            }
            for _ in 0..300 {
                m.collect();
            }
            done.store(true, Relaxed);
        });
        assert_eq!(nodes.heap.stats().failures, 0, "{}", nodes.heap.stats());
    }
}
