//! Weak references, maps and finalizers where several workers mark: whoever paints an object, what hangs on it is decided once.

mod common;

use common::shapes::graph;
use common::{Node, Nodes, forking_rungs, new_node, number_of};
use palimpsest::{Address, Heap, HeapBuilder, Mutator, PlainPointers, StackScan, WeakMap, WeakRef};
use std::ptr::null_mut;

/// Nodes that are reachable in the ordinary way, so that there is work to share.
const GRAPH: u64 = 60_000;
/// Entries, each of which has the next one's key for a value.
const CHAIN: u64 = 3_000;
const SINGLE: u64 = 2_000;

fn builder(workers: usize) -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(96 << 20).verify(true).poison(true).workers(workers)
}

fn node(m: &mut Mutator<PlainPointers>, nodes: &Nodes, number: u64) -> Address {
    Address::from_ptr(new_node(m, nodes.kind, null_mut(), number))
}

#[test]
fn what_is_weak_is_decided_once_by_all_workers() {
    for rung in forking_rungs() {
        for workers in [2, 3] {
            let nodes = Nodes::new(builder(workers).rung(rung));
            let mut m = nodes.heap.attach(StackScan::None).unwrap();
            let _graph = graph(&mut m, nodes.kind, GRAPH);

            // Only the map keeps the chain, from its first key on.
            let map = WeakMap::new(&mut m).unwrap();
            let first = node(&mut m, &nodes, 0);
            let first = nodes.heap.handle(first);
            let mut last = nodes.heap.handle(first.get());
            for number in 1..CHAIN {
                let next = node(&mut m, &nodes, number);
                map.insert(&mut m, last.get(), next.as_usize() as u64).unwrap();
                last = nodes.heap.handle(next);
            }
            drop(last);

            // Of single objects every third has a handle; all have a weak reference and a finalizer.
            let (mut handles, mut weak) = (Vec::new(), Vec::new());
            for number in 0..SINGLE {
                let object = node(&mut m, &nodes, number);
                let handle = nodes.heap.handle(object);
                weak.push(WeakRef::new(&mut m, object).unwrap());
                m.register_finalizer(object, number).unwrap();
                if number % 3 == 0 {
                    handles.push(handle);
                }
            }

            let record = m.collect();
            assert_eq!((record.failure.as_ref(), record.stray_references), (None, 0), "{rung}: {record}");
            assert_eq!(record.workers_wanted, workers as u32);
            assert_eq!(record.marked_objects, GRAPH + CHAIN + SINGLE, "{rung}: {record}");
            let dead = SINGLE - SINGLE.div_ceil(3);
            assert_eq!(
                (record.finalizers_queued, record.weak_refs_cleared),
                (dead, dead),
                "{rung}: {record}"
            );
            assert_eq!(map.len() as u64, CHAIN - 1, "{rung}");

            for (number, weak) in (0..).zip(&weak) {
                let target = weak.get(&mut m);
                assert_eq!(target.is_some(), number % 3 == 0, "{rung}");
                target.inspect(|target| assert_eq!(number_of(target.as_ptr::<Node>()), number));
            }
            let mut taken = Vec::new();
            while let Some((object, token)) = m.take_finalizable() {
                assert_eq!(number_of(object.as_ptr::<Node>()), token);
                taken.push(token);
            }
            let expected: Vec<_> = (0..SINGLE).filter(|number| number % 3 != 0).collect();
            assert_eq!(taken, expected, "{rung}: in the order of registration");
            let mut key = first.get();
            for number in 1..CHAIN {
                key = Address::new(map.get(&mut m, key).expect("the key is alive") as usize);
                assert_eq!(number_of(key.as_ptr::<Node>()), number, "{rung}");
            }

            // Without its first key the chain goes, all of it at once.
            drop(first);
            let record = m.collect();
            assert_eq!(record.marked_objects, GRAPH + SINGLE.div_ceil(3), "{rung}: {record}");
            assert_eq!(record.weak_entries_cleared, CHAIN - 1, "{rung}: {record}");
            assert!(map.is_empty());
        }
    }
}
