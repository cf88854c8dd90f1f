//! Weak maps and ephemerons: a value lives as long as its key is alive otherwise, whatever refers to what.

mod common;

use common::{AtEnd, Node, Nodes, Random, Tagged, new_node, number_of, rungs};
use palimpsest::{Address, Ephemeron, Heap, HeapBuilder, Kind, Mutator, PlainPointers, StackScan, WeakMap};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

fn builder() -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(64 << 20).verify(true).poison(true)
}

fn node(m: &mut Mutator<PlainPointers>, nodes: &Nodes, number: u64) -> Address {
    Address::from_ptr(new_node(m, nodes.kind, std::ptr::null_mut(), number))
}

fn word(object: Address) -> u64 {
    object.as_usize() as u64
}

/// Checks what a map has for a key: a node with this number.
fn check(m: &mut Mutator<PlainPointers>, map: &WeakMap, key: Address, number: u64) -> Address {
    let value = map.get(m, key).expect("the key is alive");
    let value = Address::new(value as usize);
    assert_eq!(number_of(value.as_ptr()), number);
    value
}

#[test]
fn a_map_is_a_map() {
    // Even words are no references.
    let heap = Heap::builder(Tagged).limit(16 << 20).verify(true).poison(true).build().unwrap();
    let mut m = heap.attach(StackScan::None).unwrap();
    let map = WeakMap::new(&mut m).unwrap();
    let keys: Vec<_> = (0..1000)
        .map(|_| heap.handle(Address::from_ptr(m.alloc(Kind::LEAF, 16).unwrap().as_ptr())))
        .collect();
    for (k, key) in (0..).zip(&keys) {
        assert_eq!(map.insert(&mut m, key.get(), 2 * k).unwrap(), None);
        assert_eq!(map.insert(&mut m, key.get(), 4 * k).unwrap(), Some(2 * k));
    }
    assert_eq!(map.len(), 1000);
    for (k, key) in (0..).zip(&keys).step_by(2) {
        assert_eq!(map.remove(&mut m, key.get()), Some(4 * k));
        assert_eq!(map.remove(&mut m, key.get()), None);
    }
    let record = m.collect();
    assert_eq!((map.len(), record.weak_entries_cleared, record.stray_references), (500, 0, 0));
    for (k, key) in (0..).zip(&keys) {
        assert_eq!(map.get(&mut m, key.get()), (k % 2 == 1).then_some(4 * k));
    }
    let mut found = map.keys(&mut m).unwrap();
    let mut wanted: Vec<_> = keys.iter().skip(1).step_by(2).map(|key| key.get()).collect();
    found.sort_by_key(|key| key.as_usize());
    wanted.sort_by_key(|key| key.as_usize());
    assert_eq!(found, wanted);
    drop(keys);
    assert_eq!(m.collect().weak_entries_cleared, 500);
    assert!(map.is_empty() && map.keys(&mut m).unwrap().is_empty());
}

#[test]
fn a_value_lives_as_long_as_its_key_and_no_longer() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let map = WeakMap::new(&mut m).unwrap();
        let [kept, dropped] = [1, 2].map(|k| node(&mut m, &nodes, k));
        let [kept, dropped] = [kept, dropped].map(|key| nodes.heap.handle(key));
        for handle in [&kept, &dropped] {
            // Refers to its own key.
            let value = new_node(&mut m, nodes.kind, handle.get().as_ptr(), 10);
            map.insert(&mut m, handle.get(), value as u64).unwrap();
        }
        assert_eq!(m.collect().marked_objects, 4);
        check(&mut m, &map, kept.get(), 10);
        drop(dropped);
        let record = m.collect();
        assert_eq!((record.marked_objects, record.weak_entries_cleared, map.len()), (2, 1, 1), "{rung}");
        check(&mut m, &map, kept.get(), 10);
        let map_of_nothing = WeakMap::new(&mut m).unwrap();
        drop(map);
        assert_eq!(m.collect().marked_objects, 1, "the map's values go with it");
        assert!(map_of_nothing.is_empty());
    }
}

/// Keys of each map are reached through values of the other: alive from one root, and dead all at once.
#[test]
fn rounds_through_several_maps() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let maps = [0; 3].map(|_| WeakMap::new(&mut m).unwrap());
        let first = nodes.heap.handle(node(&mut m, &nodes, 0));
        let mut key = first.get();
        for k in 1..300u64 {
            // The value refers to the next key, or is it.
            let next = node(&mut m, &nodes, k);
            let value =
                if k % 2 == 0 { next.as_ptr() } else { new_node(&mut m, nodes.kind, next.as_ptr(), k) };
            maps[k as usize % 3].insert(&mut m, key, value as u64).unwrap();
            key = next;
        }
        // And back to the first.
        maps[0].insert(&mut m, key, word(first.get())).unwrap();
        assert_eq!(m.collect().marked_objects, 300 + 150);
        let mut key = first.get();
        for k in 1..300 {
            let value = check(&mut m, &maps[k as usize % 3], key, k);
            // SAFETY: a live node.
            let next = unsafe { (*value.as_ptr::<Node>()).next };
            key = if k % 2 == 0 { value } else { Address::from_ptr(next) };
            assert_eq!(number_of(key.as_ptr()), k);
        }
        assert_eq!(maps[0].get(&mut m, key), Some(word(first.get())));
        drop(first);
        let record = m.collect();
        assert_eq!((record.marked_objects, record.weak_entries_cleared), (0, 300), "{rung}");
        assert!(maps.iter().all(WeakMap::is_empty));
    }
}

/// The order in which the entries lie is the worst for a scan: each one's key is reached through the one behind it. The work
/// is linear all the same.
#[test]
fn a_long_chain_is_marked_in_one_go() {
    for rung in ["preimage", "forkcow", "stw"] {
        let Ok(heap) = builder().verify(false).rung(rung.parse::<palimpsest::Wish>().unwrap()).build() else {
            eprintln!("skipped: {rung}");
            continue;
        };
        let mut m = heap.attach(StackScan::None).unwrap();
        for length in [10_000, 300_000] {
            let mut value = Address::from_ptr(m.alloc(Kind::LEAF, 16).unwrap().as_ptr());
            let mut root = heap.handle(value);
            let chain: Vec<_> = (0..length)
                .map(|_| {
                    let key = Address::from_ptr(m.alloc(Kind::LEAF, 16).unwrap().as_ptr());
                    let ephemeron = Ephemeron::new(&mut m, key, word(value)).unwrap();
                    root.set(key);
                    value = key;
                    ephemeron
                })
                .collect();
            let record = m.collect();
            eprintln!(
                "{rung}: a chain of {length}: {:.1} ms, of them {:.1} ms of the worker's",
                record.mark_ms, record.worker_cpu_ms
            );
            assert_eq!(record.marked_objects, length as u64 + 1);
            // Every entry times every round would be minutes.
            assert!(record.mark_ms < 20_000.0, "{record}");
            let mut key = root.get();
            for ephemeron in chain.iter().rev() {
                let (is, value) = ephemeron.get(&mut m).expect("alive");
                assert_eq!(is, key);
                key = Address::new(value as usize);
            }
            root = heap.handle(key);
            let record = m.collect();
            assert_eq!((record.marked_objects, record.weak_entries_cleared), (1, length as u64));
            assert!(chain.iter().all(|ephemeron| ephemeron.get(&mut m).is_none()));
            drop((chain, root));
        }
    }
}

#[test]
fn single_ephemerons_come_and_go() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let mut random = Random(7);
        let mut all: Vec<(Ephemeron, u64, palimpsest::Handle)> = Vec::new();
        for round in 0..20 {
            for k in 0..200 {
                let (key, number) = (node(&mut m, &nodes, k), round * 1000 + k);
                let key = nodes.heap.handle(key);
                let value = node(&mut m, &nodes, number);
                let ephemeron = Ephemeron::new(&mut m, key.get(), word(value)).unwrap();
                if k % 3 == 0 {
                    let value = node(&mut m, &nodes, number + 500);
                    assert!(ephemeron.set_value(&mut m, word(value)));
                    all.push((ephemeron, number + 500, key));
                } else {
                    all.push((ephemeron, number, key));
                }
            }
            for _ in 0..150 {
                let (ephemeron, _, key) = all.swap_remove(random.below(all.len()));
                if random.below(2) == 0 {
                    drop(key);
                    m.collect();
                    assert!(ephemeron.get(&mut m).is_none() && !ephemeron.set_value(&mut m, 1));
                    break;
                }
            }
            m.collect();
            for (ephemeron, number, key) in &all {
                let (is, value) = ephemeron.get(&mut m).expect("the key is alive");
                assert_eq!((is, number_of(Address::new(value as usize).as_ptr())), (key.get(), *number));
            }
        }
    }
}

/// Threads insert, overwrite, remove and read while cycles are marked, and find what they left there.
#[test]
fn maps_are_used_by_threads_while_cycles_are_marked() {
    for (rung, chaos) in
        rungs().into_iter().map(|rung| (rung, false)).chain([("forkcow".parse().unwrap(), true)])
    {
        let mut builder = builder().rung(rung);
        if chaos {
            builder = builder.worker_chaos(2).worker_patience(Duration::from_millis(200));
        }
        let nodes = Nodes::new(builder);
        let shared = {
            let mut m = nodes.heap.attach(StackScan::None).unwrap();
            [0; 2].map(|_| WeakMap::new(&mut m).unwrap())
        };
        let done = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                let mut m = nodes.heap.attach(StackScan::None).unwrap();
                let enough =
                    || nodes.heap.stats().cycles >= 8 && (!chaos || nodes.heap.stats().failures >= 3);
                while !enough() {
                    m.collect();
                }
                done.store(true, Relaxed);
            });
            for seed in 1..=2 {
                let (nodes, shared, done) = (&nodes, &shared, &done);
                s.spawn(move || {
                    let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
                    let mut random = Random(seed * 77);
                    // Keys of this thread, and what it last put in for them.
                    let mut own: Vec<(palimpsest::Handle, [Option<u64>; 2])> = Vec::new();
                    let mut next = 0;
                    while !done.load(Relaxed) {
                        for _ in 0..200 {
                            next += 1;
                            let which = random.below(2);
                            if own.len() < 200 || random.below(20) == 0 {
                                let key = node(&mut m, nodes, next);
                                own.push((nodes.heap.handle(key), [None; 2]));
                            }
                            let k = random.below(own.len());
                            let key = own[k].0.get();
                            match random.below(8) {
                                0..3 => {
                                    // The value refers to the key, and keeps what was there before.
                                    let old = shared[which].get(&mut m, key).unwrap_or(0);
                                    let value = new_node(&mut m, nodes.kind, key.as_ptr(), next);
                                    // SAFETY: a new node; the old value is a node that lives, or null.
                                    unsafe {
                                        (*value).other = Address::new(old as usize).as_ptr();
                                        if !(*value).other.is_null() && random.below(4) != 0 {
                                            (*(*value).other).other = std::ptr::null_mut();
                                        }
                                    }
                                    let was = shared[which].insert(&mut m, key, value as u64).unwrap();
                                    assert_eq!(was.unwrap_or(0), old);
                                    own[k].1[which] = Some(next);
                                }
                                3 => {
                                    let was = shared[which].remove(&mut m, key);
                                    let number = was.map(|v| number_of(Address::new(v as usize).as_ptr()));
                                    assert_eq!(number, own[k].1[which]);
                                    own[k].1[which] = None;
                                }
                                4 if own.len() > 100 => drop(own.swap_remove(k)),
                                _ => {
                                    let value = shared[which].get(&mut m, key);
                                    let value = value.map(|v| Address::new(v as usize).as_ptr::<Node>());
                                    assert_eq!(value.map(|v| number_of(v)), own[k].1[which]);
                                    // SAFETY: a live node.
                                    let old = value.map(|v| unsafe { (*v).other });
                                    if let Some(old) = old.filter(|old| !old.is_null()) {
                                        number_of(old);
                                    }
                                }
                            }
                        }
                    }
                });
            }
        });
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        m.collect();
        assert!(shared.iter().all(WeakMap::is_empty), "all handles are gone");
    }
}

/// A key that nothing refers to is read from its map while a cycle is marked: key and value stay.
#[test]
fn what_is_read_of_a_map_during_a_cycle_stays() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung).limit(128 << 20));
        let done = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                let mut m = nodes.heap.attach(StackScan::None).unwrap();
                while !done.load(Relaxed) {
                    m.collect();
                }
            });
            let _end = AtEnd(&done);
            let mut m = nodes.heap.attach(StackScan::None).unwrap();
            let map = WeakMap::new(&mut m).unwrap();
            // Something to mark meanwhile.
            let mut list = std::ptr::null_mut();
            let root = nodes.heap.handle(node(&mut m, &nodes, 0));
            for number in 0..50_000 {
                list = new_node(&mut m, nodes.kind, list, number);
                root.set(Address::from_ptr(list));
            }
            let (mut kept, mut gone) = (0, 0);
            for round in 0..300u64 {
                let key = node(&mut m, &nodes, round);
                let key = nodes.heap.handle(key);
                let value = new_node(&mut m, nodes.kind, key.get().as_ptr(), round + 1000);
                map.insert(&mut m, key.get(), value as u64).unwrap();
                drop(key);
                for _ in 0..round % 40 {
                    m.blocking(|| std::thread::sleep(Duration::from_micros(50)));
                }
                // Nothing but the map has the keys; what is read is held until all has been looked at.
                let keys = map.keys(&mut m).unwrap();
                let held: Vec<_> = keys.iter().map(|key| nodes.heap.handle(*key)).collect();
                m.poll();
                for key in &held {
                    let number = number_of(key.get().as_ptr());
                    check(&mut m, &map, key.get(), number + 1000);
                    kept += 1;
                }
                gone += usize::from(held.is_empty());
            }
            eprintln!("{rung}: {kept} read, {gone} times nothing there");
        });
    }
}

#[test]
#[should_panic(expected = "another heap")]
fn a_map_refuses_another_heaps_mutator() {
    let heaps = [0, 1].map(|_| Heap::builder(PlainPointers).limit(4 << 20).build().unwrap());
    let [mut one, mut other] = heaps.each_ref().map(|heap| heap.attach(StackScan::None).unwrap());
    let map = WeakMap::new(&mut one).unwrap();
    map.get(&mut other, Address::new(16));
}

#[test]
#[should_panic(expected = "no object of this heap")]
fn a_key_is_an_object() {
    let heap = Heap::builder(PlainPointers).limit(4 << 20).build().unwrap();
    let mut m = heap.attach(StackScan::None).unwrap();
    let map = WeakMap::new(&mut m).unwrap();
    map.insert(&mut m, Address::new(16), 0).unwrap();
}
