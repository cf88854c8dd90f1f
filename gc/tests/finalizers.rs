//! Finalizers: who is queued, in what order, and what weak references make of it.

mod common;

use common::{AtEnd, Node, Nodes, Random, new_node, number_of, rungs};
use palimpsest::{
    Address, Handle, Heap, HeapBuilder, Kind, Mutator, PlainPointers, StackScan, WeakMap, WeakRef, WeakTable,
};
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

fn builder() -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(64 << 20).verify(true).poison(true)
}

fn node(m: &mut Mutator<PlainPointers>, nodes: &Nodes, next: Option<Address>, number: u64) -> Address {
    let next = next.map_or(std::ptr::null_mut(), |next| next.as_ptr());
    Address::from_ptr(new_node(m, nodes.kind, next, number))
}

fn take_all(m: &mut Mutator<PlainPointers>) -> Vec<(Address, u64)> {
    std::iter::from_fn(|| m.take_finalizable()).collect()
}

#[test]
fn what_is_unreachable_is_queued_once_in_order_and_then_reclaimed() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let kept = nodes.heap.handle(node(&mut m, &nodes, None, 0));
        m.register_finalizer(kept.get(), 100).unwrap();
        let mut all = Vec::new();
        for k in 1..=10 {
            // Each refers to something that nothing else does.
            let part = node(&mut m, &nodes, None, k + 1000);
            all.push(nodes.heap.handle(node(&mut m, &nodes, Some(part), k)));
        }
        // Not in the order of their addresses; one of them twice.
        for k in [3, 1, 4, 10, 5, 9, 2, 6, 8, 7, 3] {
            m.register_finalizer(all[k - 1].get(), k as u64).unwrap();
        }
        assert_eq!(m.collect().finalizers_queued, 0);
        drop(all);
        let record = m.collect();
        assert_eq!((record.finalizers_queued, record.marked_objects), (11, 21), "{rung}");
        assert_eq!((nodes.heap.finalizable(), nodes.heap.stats().finalizers_registered), (11, 1));
        // The queue keeps them however many cycles pass, and none is queued again.
        assert_eq!((m.collect().finalizers_queued, nodes.heap.finalizable()), (0, 11));
        let taken = take_all(&mut m);
        assert!(taken.iter().map(|(_, token)| *token).eq([3, 1, 4, 10, 5, 9, 2, 6, 8, 7, 3]));
        for (object, token) in taken {
            assert_eq!(number_of(object.as_ptr()), token);
            // SAFETY: alive until the next safepoint.
            assert_eq!(number_of(unsafe { (*object.as_ptr::<Node>()).next }), token + 1000);
        }
        let record = m.collect();
        assert_eq!((record.marked_objects, record.finalizers_taken), (1, 11), "{rung}");
        let stats = nodes.heap.stats();
        assert_eq!((stats.finalizers_queued, stats.finalizers_taken, stats.finalizable), (11, 11, 0));
    }
}

#[test]
fn who_is_taken_may_come_back_and_go_again() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let object = node(&mut m, &nodes, None, 7);
        let registration = m.register_finalizer(object, 1).unwrap();
        m.collect();
        assert!(!m.unregister_finalizer(registration), "it is queued");
        let (object, _) = m.take_finalizable().unwrap();
        let handle = nodes.heap.handle(object);
        let weak = WeakRef::new(&mut m, object).unwrap();
        for _ in 0..3 {
            assert_eq!(m.collect().finalizers_queued, 0);
            assert_eq!(weak.get(&mut m), Some(object));
        }
        m.register_finalizer(object, 2).unwrap();
        let third = m.register_finalizer(object, 3).unwrap();
        assert!(m.unregister_finalizer(third) && !m.unregister_finalizer(third));
        drop(handle);
        let record = m.collect();
        assert_eq!((record.finalizers_queued, record.weak_refs_cleared), (1, 1));
        assert_eq!(weak.get(&mut m), None);
        assert_eq!(m.take_finalizable(), Some((object, 2)));
        number_of(object.as_ptr());
        assert_eq!(m.collect().marked_objects, 0, "{rung}");
    }
}

/// References to what only the queue keeps are cut; entries of tables and maps stay, and lead to what they led to.
#[test]
fn weak_references_are_cut_and_entries_stay() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let part = node(&mut m, &nodes, None, 1);
        let part = nodes.heap.handle(part);
        let object = nodes.heap.handle(node(&mut m, &nodes, Some(part.get()), 2));
        let weak = [&part, &object].map(|target| WeakRef::new(&mut m, target.get()).unwrap());
        let (table, map) = (WeakTable::new(&nodes.heap).unwrap(), WeakMap::new(&mut m).unwrap());
        table.insert(&mut m, 1, part.get()).unwrap();
        let value = node(&mut m, &nodes, Some(object.get()), 3);
        map.insert(&mut m, object.get(), value.as_usize() as u64).unwrap();
        m.register_finalizer(object.get(), 9).unwrap();
        let (part_at, object_at) = (part.get(), object.get());
        drop((part, object));
        let record = m.collect();
        assert_eq!((record.marked_objects, record.finalizers_queued), (3, 1), "{rung}");
        assert_eq!((record.weak_refs_cleared, record.weak_entries_cleared), (2, 0), "{rung}");
        for weak in &weak {
            assert_eq!(weak.get(&mut m), None);
        }
        assert_eq!(table.find(&mut m, 1, |_| true), Some(part_at));
        let (taken, _) = m.take_finalizable().unwrap();
        let value = map.get(&mut m, taken).expect("what the map has for it");
        assert_eq!((taken, number_of(Address::new(value as usize).as_ptr())), (object_at, 3));
        assert_eq!(m.collect().weak_entries_cleared, 2);
    }
}

#[test]
fn a_thread_waits_for_something_to_finalize() {
    let nodes = Nodes::new(builder());
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        let finalizer = s.spawn(|| {
            let mut m = nodes.heap.attach(StackScan::None).unwrap();
            let mut tokens = 0;
            while !done.load(Relaxed) {
                if m.wait_finalizable(Some(Duration::from_millis(20))) {
                    tokens += take_all(&mut m).len();
                }
            }
            tokens + take_all(&mut m).len()
        });
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let start = Instant::now();
        assert!(!m.wait_finalizable(Some(Duration::from_millis(30))));
        assert!(start.elapsed() >= Duration::from_millis(30));
        for token in 0..500 {
            let object = node(&mut m, &nodes, None, token);
            m.register_finalizer(object, token).unwrap();
            if token % 50 == 49 {
                // The thread that waits does not keep the world from stopping.
                m.collect();
            }
        }
        while nodes.heap.finalizable() > 0 {
            m.blocking(std::thread::yield_now);
        }
        done.store(true, Relaxed);
        assert_eq!(m.blocking(|| finalizer.join().unwrap()), 500);
    });
}

#[test]
fn at_exit_all_that_is_registered_can_be_queued() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let live = nodes.heap.handle(node(&mut m, &nodes, None, 0));
        for token in 0..3_000 {
            let object = if token % 3 == 0 { live.get() } else { node(&mut m, &nodes, None, token) };
            m.register_finalizer(object, token).unwrap();
        }
        m.collect();
        assert_eq!((nodes.heap.finalizable(), m.queue_all_finalizers()), (2_000, 3_000));
        // They are roots, until they are taken.
        m.collect();
        let mut tokens = Vec::new();
        while let Some((object, token)) = m.take_finalizable() {
            number_of(object.as_ptr());
            tokens.push(token);
            if token % 500 == 0 {
                m.collect();
            }
        }
        assert!(tokens.is_sorted_by_key(|token| (token % 3 == 0, *token)));
        assert_eq!((tokens.len(), nodes.heap.stats().finalizers_registered), (3_000, 0));
    }
}

/// A graph kept twice: in the heap, and here.
#[derive(Default)]
struct Shadow {
    nodes: HashMap<u64, ([Option<u64>; 2], Address)>,
    roots: HashMap<u64, Handle>,
    /// Of each map: key and value.
    maps: [HashMap<u64, u64>; 2],
    registered: Vec<u64>,
    queue: Vec<u64>,
    weak: Vec<(u64, WeakRef)>,
}

impl Shadow {
    /// What is reachable from these, through nodes and through the maps.
    fn reach(&self, from: impl IntoIterator<Item = u64>) -> HashSet<u64> {
        let mut reached = HashSet::new();
        let mut to_do: Vec<_> = from.into_iter().collect();
        while let Some(number) = to_do.pop() {
            if reached.insert(number) {
                to_do.extend(self.nodes[&number].0.iter().flatten());
                // A value is reached by its key, which is reached now or later.
                to_do.extend(self.maps.iter().filter_map(|map| map.get(&number)));
            }
        }
        reached
    }

    fn at(&self, number: u64) -> Address {
        self.nodes[&number].1
    }
}

/// What a cycle does is what it should do, exactly.
#[test]
fn cycles_agree_with_a_model() {
    for (rung, seed) in rungs().into_iter().zip(11..) {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let maps = [0; 2].map(|_| WeakMap::new(&mut m).unwrap());
        let (mut random, mut shadow, mut next) = (Random(seed * 1234567), Shadow::default(), 0);
        for round in 0..60 {
            // No cycle begins here but those that are asked for: little is allocated.
            for _ in 0..150 {
                let live: Vec<u64> = {
                    let mut live: Vec<_> = shadow.reach(shadow.roots.keys().copied()).into_iter().collect();
                    live.sort_unstable();
                    live
                };
                if live.len() < 5 || random.below(3) == 0 {
                    next += 1;
                    let at = node(&mut m, &nodes, None, next);
                    shadow.nodes.insert(next, ([None; 2], at));
                    shadow.roots.insert(next, nodes.heap.handle(at));
                    continue;
                }
                let [a, b] = [0; 2].map(|_| live[random.below(live.len())]);
                let at = shadow.at(a).as_ptr::<Node>();
                match random.below(12) {
                    0..3 => {
                        let to = shadow.at(b).as_ptr();
                        // SAFETY: live nodes.
                        unsafe { if a % 2 == 0 { (*at).next = to } else { (*at).other = to } };
                        shadow.nodes.get_mut(&a).unwrap().0[a as usize % 2] = Some(b);
                    }
                    3..6 => {
                        let which = random.below(2);
                        let was =
                            maps[which].insert(&mut m, shadow.at(a), shadow.at(b).as_usize() as u64).unwrap();
                        let is = shadow.maps[which].insert(a, b).map(|b| shadow.at(b).as_usize() as u64);
                        assert_eq!(was, is);
                    }
                    6 => {
                        let which = random.below(2);
                        let was = maps[which].remove(&mut m, shadow.at(a)).is_some();
                        assert_eq!(was, shadow.maps[which].remove(&a).is_some());
                    }
                    7 => {
                        m.register_finalizer(shadow.at(a), a).unwrap();
                        shadow.registered.push(a);
                    }
                    8 => shadow.weak.push((a, WeakRef::new(&mut m, shadow.at(a)).unwrap())),
                    _ => drop(shadow.roots.remove(&a)),
                }
            }
            let queued_before = shadow.queue.len();
            let strong = shadow.reach(shadow.roots.keys().chain(&shadow.queue).copied());
            let (stay, due): (Vec<_>, Vec<_>) = shadow.registered.iter().partition(|n| strong.contains(n));
            (shadow.registered, shadow.queue) = (stay, [std::mem::take(&mut shadow.queue), due].concat());
            let live = shadow.reach(shadow.roots.keys().chain(&shadow.queue).copied());
            let entries: usize = shadow.maps.iter().map(HashMap::len).sum();
            for map in &mut shadow.maps {
                map.retain(|key, _| live.contains(key));
            }
            let left: usize = shadow.maps.iter().map(HashMap::len).sum();
            let cut = shadow.weak.iter().filter(|(n, _)| !strong.contains(n)).count();

            let record = m.collect();
            assert!(record.failure.is_none(), "{record}");
            assert_eq!(record.marked_objects, live.len() as u64, "{rung}, round {round}");
            assert_eq!(record.finalizers_queued, (shadow.queue.len() - queued_before) as u64);
            assert_eq!(record.weak_entries_cleared, (entries - left) as u64);
            assert_eq!(record.weak_refs_cleared, cut as u64);
            for (number, weak) in &shadow.weak {
                assert_eq!(weak.get(&mut m), strong.contains(number).then(|| shadow.at(*number)));
            }
            shadow.weak.retain(|(number, _)| strong.contains(number));
            shadow.nodes.retain(|number, _| live.contains(number));
            for (number, (refs, at)) in &shadow.nodes {
                assert_eq!(number_of(at.as_ptr()), *number);
                // SAFETY: a live node.
                let has = unsafe { [(*at.as_ptr::<Node>()).next, (*at.as_ptr::<Node>()).other] };
                for (has, wants) in has.into_iter().zip(refs) {
                    assert_eq!((!has.is_null()).then(|| number_of(has)), *wants);
                }
            }
            for (map, wants) in maps.iter().zip(&shadow.maps) {
                assert_eq!(map.len(), wants.len());
                for (key, value) in wants {
                    assert_eq!(map.get(&mut m, shadow.at(*key)), Some(shadow.at(*value).as_usize() as u64));
                }
            }
            // Take some; some of these come back.
            for _ in 0..random.below(shadow.queue.len() + 1) {
                let (object, token) = m.take_finalizable().unwrap();
                assert_eq!((object, token), (shadow.at(token), shadow.queue.remove(0)));
                if random.below(3) == 0 {
                    shadow.roots.insert(token, nodes.heap.handle(object));
                }
            }
            assert_eq!(nodes.heap.finalizable(), shadow.queue.len());
        }
    }
}

/// Threads read weak references all the time. Who is given an object has one that is not queued, for as long as he holds it;
/// who is told that it is dead is never given it again; and each is queued exactly once.
#[test]
fn no_read_is_misled_by_what_is_kept_for_finalizers() {
    let configurations = rungs().into_iter().map(|rung| (rung, false));
    for (rung, chaos) in configurations.chain([("forkcow".parse().unwrap(), true)]) {
        let mut builder = builder().rung(rung).cycle_every(256 << 10);
        if chaos {
            builder = builder.worker_chaos(3).worker_patience(Duration::from_millis(200));
        }
        let nodes = Nodes::new(builder);
        let (taken, done) = (Mutex::new(HashSet::new()), AtomicBool::new(false));
        let (given, told) = (Mutex::new(0), Mutex::new(0));
        let drain = |m: &mut Mutator<PlainPointers>| {
            while let Some((object, token)) = m.take_finalizable() {
                // With all that is reachable from it.
                assert_eq!(number_of(object.as_ptr()), token);
                let mut at = object.as_ptr::<Node>();
                while !at.is_null() {
                    number_of(at);
                    // SAFETY: what a live node refers to.
                    at = unsafe { (*at).next };
                }
                assert!(taken.lock().unwrap().insert(token), "queued twice");
            }
        };
        let registered = std::thread::scope(|s| {
            s.spawn(|| {
                let mut m = nodes.heap.attach(StackScan::None).unwrap();
                while !done.load(Relaxed) {
                    m.collect();
                    drain(&mut m);
                }
            });
            let threads: Vec<_> = (1..=2u64)
                .map(|thread| {
                    let (nodes, taken, given, told) = (&nodes, &taken, &given, &told);
                    s.spawn(move || {
                        let mut m = nodes.heap.attach(StackScan::None).unwrap();
                        let mut random = Random(thread * 99);
                        let mut all: Vec<(u64, WeakRef, Option<Handle>)> = Vec::new();
                        let mut number = thread << 32;
                        let start = Instant::now();
                        let seen_little = || *given.lock().unwrap() == 0 || *told.lock().unwrap() == 0;
                        while (nodes.heap.stats().cycles < 6 || seen_little())
                            && start.elapsed() < Duration::from_secs(20)
                        {
                            for _ in 0..20 {
                                number += 1;
                                let root = nodes.heap.handle(node(&mut m, nodes, None, number));
                                let weak = WeakRef::new(&mut m, root.get()).unwrap();
                                m.register_finalizer(root.get(), number).unwrap();
                                // Some have a lot that only they refer to.
                                let parts = if random.below(20) == 0 { 2_000 } else { random.below(4) };
                                for k in 0..parts as u64 {
                                    // SAFETY: a live node.
                                    let next = unsafe { (*root.get().as_ptr::<Node>()).next };
                                    let part = new_node(&mut m, nodes.kind, next, k);
                                    // SAFETY: as above.
                                    unsafe { (*root.get().as_ptr::<Node>()).next = part };
                                }
                                all.push((number, weak, None));
                            }
                            let mut k = 0;
                            while k < all.len() {
                                let (number, weak, held) = &mut all[k];
                                if held.is_some() && random.below(3) == 0 {
                                    assert!(!taken.lock().unwrap().contains(number), "queued, and held");
                                    *held = None;
                                } else if let Some(object) = weak.get(&mut m) {
                                    assert_eq!(number_of(object.as_ptr()), *number);
                                    *given.lock().unwrap() += 1;
                                    if random.below(8) == 0 {
                                        *held = Some(nodes.heap.handle(object));
                                    }
                                } else {
                                    assert!(held.is_none(), "cut, and held");
                                    assert_eq!(weak.get(&mut m), None);
                                    *told.lock().unwrap() += 1;
                                    all.swap_remove(k);
                                    continue;
                                }
                                k += 1;
                                if random.below(16) == 0 {
                                    m.blocking(std::thread::yield_now);
                                }
                            }
                        }
                        (number - (thread << 32), all.len())
                    })
                })
                .collect();
            let _end = AtEnd(&done);
            threads.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>()
        });
        // All handles are gone.
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let mut taken = taken.into_inner().unwrap();
        m.collect();
        taken.extend(take_all(&mut m).into_iter().map(|(_, token)| token));
        let all: u64 = registered.iter().map(|(n, _)| n).sum();
        assert_eq!(taken.len() as u64, all, "{rung}: each is queued in the end");
        let (given, told) = (given.into_inner().unwrap(), told.into_inner().unwrap());
        assert!(given > 0 && told > 0, "{rung}: {given} {told}");
        eprintln!("{rung}: {all} registered, {given} given, {told} told");
    }
}

#[test]
#[should_panic(expected = "no object of this heap")]
fn only_objects_are_finalized() {
    let heap = Heap::builder(PlainPointers).limit(4 << 20).build().unwrap();
    let mut m = heap.attach(StackScan::None).unwrap();
    m.alloc(Kind::LEAF, 16).unwrap();
    m.register_finalizer(Address::new(8), 0).unwrap();
}

/// A cycle of the young decides about young objects, and takes old ones for alive.
#[test]
fn cycles_of_the_young_decide_about_the_young() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let map = WeakMap::new(&mut m).unwrap();
        let old = nodes.heap.handle(node(&mut m, &nodes, None, 1));
        let weak = WeakRef::new(&mut m, old.get()).unwrap();
        m.register_finalizer(old.get(), 1).unwrap();
        m.collect();
        // An old key, and a young value that nothing else refers to.
        let value = node(&mut m, &nodes, None, 2);
        map.insert(&mut m, old.get(), value.as_usize() as u64).unwrap();
        let young = node(&mut m, &nodes, None, 3);
        m.register_finalizer(young, 3).unwrap();
        m.collect_young();
        assert_eq!(map.get(&mut m, old.get()), Some(value.as_usize() as u64));
        assert_eq!((number_of(value.as_ptr()), take_all(&mut m)), (2, vec![(young, 3)]), "{rung}");
        let object = old.get();
        drop(old);
        // Old, and so for a full one to find.
        m.collect();
        assert_eq!((weak.get(&mut m), take_all(&mut m)), (None, vec![(object, 1)]), "{rung}");
        assert_eq!(m.collect().marked_objects, 0);
    }
}

/// So many that they cannot be found in a pause: what the attempt that is given up has painted is old, and found by a full cycle;
/// nothing is queued twice, and nothing that is kept.
#[test]
fn a_pause_that_is_given_up_leaves_no_decision_behind() {
    for rung in rungs() {
        let heap = Heap::builder(PlainPointers).limit(128 << 20).rung(rung).verify(true).build().unwrap();
        let mut m = heap.attach(StackScan::None).unwrap();
        m.collect();
        let mut refs = Vec::new();
        for token in 0..60_000 {
            let object = Address::from_ptr(m.alloc(Kind::LEAF, 16).unwrap().as_ptr());
            m.register_finalizer(object, token).unwrap();
            if token % 1_000 == 0 {
                refs.push(WeakRef::new(&mut m, object).unwrap());
            }
        }
        let (young, full) = (m.collect_young(), m.collect());
        let both = (
            young.finalizers_queued + full.finalizers_queued,
            young.weak_refs_cleared + full.weak_refs_cleared,
        );
        assert_eq!(both, (60_000, 60), "{rung}: {young}, {full}");
        assert!(refs.iter().all(|weak| weak.get(&mut m).is_none()), "{rung}");
        // Those that are taken are ordinary objects again.
        let mut tokens = HashSet::new();
        let mut kept = Vec::new();
        while let Some((object, token)) = m.take_finalizable() {
            kept.push(heap.handle(object));
            assert!(tokens.insert(token), "{token} was queued twice");
        }
        let again: Vec<_> = kept.iter().map(|kept| WeakRef::new(&mut m, kept.get()).unwrap()).collect();
        let record = m.collect();
        assert_eq!((record.finalizers_queued, record.weak_refs_cleared), (0, 0), "{rung}: {record}");
        assert!(again.iter().all(|weak| weak.get(&mut m).is_some()), "{rung}");
    }
}
