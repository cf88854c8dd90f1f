//! Several workers mark a heap: whatever its shape, whoever dies, nothing is lost.

mod common;

use common::shapes::{SHAPES, graph};
use common::{Node, Nodes, Random, forking_rungs, new_node, number_of};
use palimpsest::{
    Address, CycleRecord, Error, Heap, HeapBuilder, Kind, PlainPointers, Scope, Snapshot, StackScan,
    WeakTable,
};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn heap(workers: usize) -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(96 << 20).verify(true).poison(true).workers(workers)
}

#[test]
fn each_object_is_marked_once_whoever_marks_it() {
    for rung in forking_rungs() {
        for (name, build) in SHAPES {
            for workers in [2, 3, 4] {
                let nodes = Nodes::new(heap(workers).rung(rung));
                let mut m = nodes.heap.attach(StackScan::None).unwrap();
                let root = build(&mut m, nodes.kind, 50_000);
                for _ in 0..3 {
                    let record = m.collect();
                    assert_eq!(record.marked_objects, 50_000, "{name} {rung}: {record}");
                    assert_eq!(record.worker_objects.iter().sum::<u64>(), 50_000, "{name} {rung}: {record}");
                    assert_eq!((record.workers_wanted, record.lost_workers), (workers as u32, 0), "{record}");
                    assert_eq!((record.stray_references, &record.fewer_workers), (0, &None), "{record}");
                }
                drop(root);
                assert_eq!(m.collect().marked_objects, 0);
            }
        }
    }
}

/// On a machine whose processors are all taken the others may come too late in one cycle; not in all of them.
#[test]
fn work_spreads_where_there_is_any_to_be_shared() {
    for (name, build) in SHAPES {
        let nodes = Nodes::new(heap(3).limit(256 << 20).verify(false));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let _root = build(&mut m, nodes.kind, 400_000);
        let shared = (0..50).any(|_| {
            let record = m.collect();
            nodes.heap.stats().snapshot == Snapshot::StopTheWorld
                || (record.worker_objects.iter().filter(|n| **n > 1_000).count() > 1
                    && record.shared_packets > 0)
        });
        // A list is what it is.
        assert!(shared || name == "list", "{name}: {}", nodes.heap.stats());
    }
}

#[test]
fn too_many_workers_are_refused() {
    for workers in [0, HeapBuilder::<PlainPointers>::MOST_WORKERS + 1] {
        let refused = heap(workers).build();
        assert!(matches!(refused, Err(Error::Option(_))), "{refused:?}");
    }
    assert_eq!(heap(8).build().unwrap().stats().cycles, 0);
}

#[test]
fn in_the_stopped_world_one_marks() {
    let nodes = Nodes::new(heap(4).rung(Snapshot::StopTheWorld));
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    let _root = graph(&mut m, nodes.kind, 10_000);
    let record = m.collect();
    assert_eq!((record.workers_wanted, record.workers, record.marked_objects), (0, 0, 10_000), "{record}");
}

#[test]
fn few_packets_make_marking_slower_and_never_wrong() {
    for rung in forking_rungs() {
        for packets in 1..=3 {
            for (name, build) in SHAPES {
                let nodes = Nodes::new(heap(4).rung(rung).mark_packets(packets));
                let mut m = nodes.heap.attach(StackScan::None).unwrap();
                let _root = build(&mut m, nodes.kind, 20_000);
                for _ in 0..2 {
                    let record = m.collect();
                    assert_eq!(record.marked_objects, 20_000, "{name} {rung}: {record}");
                }
            }
        }
    }
}

/// Keeps the records of a heap's cycles.
fn recording(
    builder: HeapBuilder<PlainPointers>,
) -> (HeapBuilder<PlainPointers>, Arc<Mutex<Vec<CycleRecord>>>) {
    let records = Arc::<Mutex<Vec<CycleRecord>>>::default();
    let to = records.clone();
    (builder.on_cycle(move |record| to.lock().unwrap().push(record.clone())), records)
}

/// Rewires a graph at random until `done`, checking every node it meets.
fn mutate(nodes: &Nodes, seed: u64, done: impl Fn() -> bool) {
    const TABLE: usize = 10_000;
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    let table = m.alloc(Kind::UNIFORM, TABLE * 8).unwrap().as_ptr().cast::<*mut Node>();
    let _table = nodes.heap.handle(Address::from_ptr(table));
    let mut random = Random(seed | 1);
    for round in 0u64.. {
        if round.is_multiple_of(1024) && done() {
            return;
        }
        // SAFETY: slots of the table, and nodes that are reachable from it.
        unsafe {
            let (a, b) = (table.add(random.below(TABLE)), table.add(random.below(TABLE)));
            match random.below(4) {
                0 | 1 => {
                    let next = if random.below(4) == 0 { std::ptr::null_mut() } else { b.read() };
                    let node = new_node(&mut m, nodes.kind, std::ptr::null_mut(), round);
                    (*node).next = next;
                    (*node).other = b.read();
                    a.write(node);
                    if !next.is_null() && random.below(3) == 0 {
                        (*next).next = std::ptr::null_mut();
                        (*next).other = std::ptr::null_mut();
                    }
                }
                2 => a.write(b.read()),
                _ => {
                    let mut at = a.read();
                    for _ in 0..10 {
                        if at.is_null() {
                            break;
                        }
                        number_of(at);
                        at = if random.below(2) == 0 { (*at).next } else { (*at).other };
                    }
                }
            }
        }
    }
}

#[test]
fn no_object_is_lost_while_several_mark() {
    for rung in forking_rungs() {
        for workers in [2, 4] {
            let nodes = Nodes::new(heap(workers).rung(rung).cycle_every(1 << 20));
            std::thread::scope(|s| {
                for thread in 0..2 {
                    let nodes = &nodes;
                    s.spawn(move || mutate(nodes, thread * 7919 + 13, || nodes.heap.stats().cycles >= 12));
                }
            });
            let stats = nodes.heap.stats();
            assert_eq!((stats.failures, stats.fallbacks, stats.lost_workers), (0, 0, 0), "{stats}");
        }
    }
}

#[test]
fn a_worker_that_dies_anywhere_is_taken_over_from() {
    for rung in forking_rungs() {
        for (name, build) in SHAPES {
            let patience = Duration::from_millis(400);
            let (builder, records) =
                recording(heap(4).rung(rung).worker_chaos(2).worker_patience(patience).limit(64 << 20));
            let nodes = Nodes::new(builder);
            let mut m = nodes.heap.attach(StackScan::None).unwrap();
            let root = build(&mut m, nodes.kind, 60_000);
            let enough = |records: &[CycleRecord]| {
                let survived = records.iter().filter(|r| r.failure.is_none() && r.takeovers > 0).count();
                // A list is never shared.
                survived >= 3 || (name == "list" && records.len() >= 10)
            };
            for _ in 0..300 {
                m.collect();
                if enough(&records.lock().unwrap()) {
                    break;
                }
            }
            assert!(enough(&records.lock().unwrap()), "{rung} {name}: {}", nodes.heap.stats());
            let records = records.lock().unwrap();
            for record in records.iter().filter(|record| record.failure.is_none()) {
                assert!(record.takeovers <= record.lost_workers, "{record}");
                assert!(record.marked_objects <= 60_000, "{record}");
                assert!(record.lost_workers > 0 || record.marked_objects == 60_000, "{record}");
            }
            drop(root);
        }
    }
}

#[test]
fn mutators_and_dying_workers() {
    for rung in forking_rungs() {
        let patience = Duration::from_millis(300);
        let nodes =
            Nodes::new(heap(3).rung(rung).worker_chaos(3).worker_patience(patience).cycle_every(1 << 20));
        std::thread::scope(|s| {
            for thread in 0..2 {
                let nodes = &nodes;
                let done = || {
                    let stats = nodes.heap.stats();
                    stats.cycles >= 15 && stats.takeovers >= 3
                };
                s.spawn(move || mutate(nodes, thread * 31 + 5, done));
            }
        });
    }
}

/// Much survives, so that it is not marked in the pause; and old objects are rewritten to refer to it.
#[test]
fn the_young_are_marked_by_several_and_survive_dying_workers() {
    for rung in forking_rungs() {
        for chaos in [false, true] {
            let mut builder = heap(4).rung(rung).limit(192 << 20).cycle_every(1 << 30);
            if chaos {
                builder = builder.worker_chaos(2).worker_patience(Duration::from_millis(400));
            }
            let (builder, records) = recording(builder);
            let nodes = Nodes::new(builder);
            let mut m = nodes.heap.attach(StackScan::None).unwrap();
            let old = graph(&mut m, nodes.kind, 20_000);
            m.collect();
            for round in 0..8 {
                let young = graph(&mut m, nodes.kind, 40_000);
                // SAFETY: a word of the old array, which is reachable, as is the young one's first node.
                unsafe {
                    let first = young.get().as_ptr::<*mut Node>().read();
                    (*old.get().as_ptr::<*mut Node>().add(round * 1_000).read()).next = first;
                }
                drop(young);
                m.collect_young();
            }
            let records = records.lock().unwrap();
            let by_several =
                |r: &&CycleRecord| r.scope == Scope::Young && r.workers == 4 && r.failure.is_none();
            let remembers = nodes.heap.ladder().chosen().delivery.is_some();
            if !chaos {
                assert_eq!(records.iter().any(|r| by_several(&r)), remembers, "{rung}: {records:#?}");
                assert!(records.iter().all(|r| r.lost_workers == 0 && r.failure.is_none()), "{records:#?}");
            }
        }
    }
}

/// Threads look up what is held by nothing but the table, while several mark.
#[test]
fn what_is_read_weakly_while_several_mark_stays_alive() {
    for chaos in [false, true] {
        let mut builder = heap(4).limit(64 << 20).cycle_every(256 << 10);
        if chaos {
            builder = builder.worker_chaos(3).worker_patience(Duration::from_millis(300));
        }
        let heap = builder.build().unwrap();
        let table = WeakTable::new(&heap).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|s| {
            for seed in 1..=3 {
                let (heap, table, done) = (&heap, &table, &done);
                s.spawn(move || {
                    let mut m = heap.attach(StackScan::Conservative).unwrap();
                    let mut random = Random(seed);
                    let mut kept = [(Address::new(0), 0); 16];
                    while !done.load(Relaxed) {
                        for _ in 0..5_000 {
                            let number = random.below(3_000) as u64;
                            // SAFETY: entries are objects of two words.
                            let found =
                                table.find(&mut m, number, |a| unsafe { *a.as_ptr::<u64>() } == number);
                            let object = found.unwrap_or_else(|| {
                                let new = m.alloc(Kind::LEAF, 16).unwrap().cast::<[u64; 2]>();
                                // SAFETY: a new object of two words.
                                unsafe { new.write([number, !number]) };
                                let new = Address::from_ptr(new.as_ptr());
                                table.insert(&mut m, number, new).unwrap();
                                new
                            });
                            let k = random.below(kept.len());
                            if kept[k].0.as_usize() != 0 {
                                // SAFETY: the stack keeps it, or the collector is wrong.
                                let words = unsafe { *kept[k].0.as_ptr::<[u64; 2]>() };
                                assert_eq!(words, [kept[k].1, !kept[k].1]);
                            }
                            kept[k] = (object, number);
                            m.alloc(Kind::LEAF, 16).unwrap();
                        }
                        if heap.stats().cycles >= 20 {
                            done.store(true, Relaxed);
                        }
                    }
                    std::hint::black_box(&kept);
                });
            }
        });
    }
}
