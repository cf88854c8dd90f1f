//! Cycles of the young: what an old object has been made to refer to stays, what dies young goes, what dies old goes later.
//!
//! Nothing is poisoned here: that writes to pages, which would then be remembered for no other reason.

mod common;

use common::{Node, Nodes, Random, check_list, list, new_node, number_of, rungs};
use palimpsest::{Address, Heap, Kind, Mutator, PlainPointers, Scope, StackScan, Wish};
use std::ptr::null_mut;
use std::time::{Duration, Instant};

fn builder(rung: Wish) -> palimpsest::HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(64 << 20).rung(rung).verify(true)
}

/// Whether the heap learns what is written, as it has to for a cycle of the young.
fn remembers(heap: &Heap<PlainPointers>) -> bool {
    heap.ladder().chosen().delivery.is_some()
}

/// Waits for what the collector does in the background.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn young_garbage_goes_and_the_old_heap_is_not_marked_again() {
    for rung in rungs() {
        let nodes = Nodes::new(builder(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let mut old = [null_mut::<Node>()];
        // SAFETY: a word that outlives the guard.
        let _roots = unsafe {
            nodes.heap.add_roots(palimpsest::RootRange::Fixed { start: old.as_ptr().cast(), len: 1 })
        };
        for number in 0..100_000 {
            old[0] = new_node(&mut m, nodes.kind, std::hint::black_box(old[0]), number);
        }
        assert_eq!(m.collect().scope, Scope::Full);
        for _ in 0..5 {
            list(&mut m, nodes.kind, 20_000);
            let used = nodes.heap.stats().used_bytes;
            let record = m.collect_young();
            assert_eq!(record.failure, None);
            if !remembers(&nodes.heap) {
                assert_eq!((record.scope, record.marked_objects), (Scope::Full, 100_000), "{rung}");
                continue;
            }
            assert_eq!((record.scope, record.marked_objects), (Scope::Young, 0), "{rung}: {record}");
            assert!(record.remembered_objects < 20_000, "{rung}: {record}");
            // Swept in the background.
            until("what died is used again", || nodes.heap.stats().used_bytes <= used);
        }
        let stats = nodes.heap.stats();
        assert_eq!(stats.young_cycles, if remembers(&nodes.heap) { 5 } else { 0 });
        check_list(old[0], 100_000);
    }
}

#[test]
fn what_dies_old_goes_with_a_full_cycle() {
    for rung in rungs() {
        let nodes = Nodes::new(builder(rung));
        if !remembers(&nodes.heap) {
            continue;
        }
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let garbage = list_rooted(&nodes, &mut m, 50_000);
        m.collect();
        drop(garbage);
        let before = nodes.heap.stats().used_bytes;
        assert_eq!(m.collect_young().marked_objects, 0);
        assert!(nodes.heap.stats().used_bytes >= before);
        assert_eq!(m.collect().marked_objects, 0);
        until("what died is freed", || nodes.heap.stats().used_bytes < before / 4);
    }
}

/// A list kept by a handle of its first node.
fn list_rooted(nodes: &Nodes, m: &mut Mutator<PlainPointers>, count: u64) -> palimpsest::Handle {
    let first = new_node(m, nodes.kind, null_mut(), 0);
    let handle = nodes.heap.handle(Address::from_ptr(first));
    for number in 1..count {
        // Between this and the store no safepoint.
        let node = new_node(m, nodes.kind, null_mut(), number);
        // SAFETY: both are live: the first by its handle, and what it refers to.
        unsafe {
            (*node).next = (*first).next;
            (*first).next = node;
        }
    }
    handle
}

/// Objects whose words lie on many pages, and whose pages hold parts of others: a store to any word is remembered.
#[test]
fn a_young_object_is_found_in_any_word_of_any_old_one() {
    for rung in rungs() {
        let nodes = Nodes::new(builder(rung));
        let layout = nodes.heap.define_layout(palimpsest::Layout::mask(0b10).with_tail(100)).unwrap();
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let mut olds = Vec::new();
        for words in [4, 500, 700, 1500, 4000, 4097, 20_000, 300_000] {
            for kind in [Kind::UNIFORM, Kind::CONSERVATIVE, layout] {
                let old = m.alloc(kind, words * 8).unwrap().cast::<u64>();
                olds.push((old, words, kind, nodes.heap.handle(Address::from_ptr(old.as_ptr()))));
            }
        }
        m.collect();
        let mut random = Random(77);
        for round in 0..40 {
            for (old, words, kind, _) in &olds {
                let word = match random.below(words - 1) + 1 {
                    word if *kind == layout && word < 100 => 1,
                    word => word,
                };
                let young = new_node(&mut m, nodes.kind, null_mut(), round);
                // SAFETY: a word of a live object that its kind says is a reference.
                unsafe { old.add(word).write(young.expose_provenance() as u64) };
                if random.below(3) == 0 {
                    m.collect_young();
                }
                // SAFETY: as above.
                assert_eq!(unsafe { old.add(word).read() }, young.addr() as u64);
                assert_eq!(number_of(young), round, "{rung}: word {word} of {words}");
            }
            if round % 16 == 0 {
                m.collect();
            }
        }
    }
}

/// A graph whose edges change all the time, against a shadow of it; verified after every cycle.
#[test]
fn a_graph_survives_many_young_cycles() {
    for rung in rungs() {
        let nodes = Nodes::new(builder(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        const OLD: usize = 3_000;
        let table = m.alloc(Kind::UNIFORM, OLD * 8).unwrap().cast::<*mut Node>();
        let _root = nodes.heap.handle(Address::from_ptr(table.as_ptr()));
        // What the table's nodes and those they refer to are: node, and the two behind it.
        let mut shadow = vec![[None::<u64>; 3]; OLD];
        let (mut random, mut number, mut young) = (Random(0x1234_5678), 0, 0);
        for step in 0..60_000 {
            let k = random.below(OLD);
            number += 1;
            let node = new_node(&mut m, nodes.kind, null_mut(), number);
            // SAFETY: an element of the table, and nodes it keeps alive; no safepoint until the stores are done.
            unsafe {
                let slot = table.add(k);
                match random.below(4) {
                    0 => {
                        slot.write(node);
                        shadow[k] = [Some(number), None, None];
                    }
                    n @ 1..=2 if !slot.read().is_null() => {
                        let field =
                            if n == 1 { &raw mut (*slot.read()).next } else { &raw mut (*slot.read()).other };
                        field.write(node);
                        shadow[k][n] = Some(number);
                    }
                    _ => {}
                }
            }
            if step % 1_500 == 0 {
                let record = if step % 12_000 == 0 { m.collect() } else { m.collect_young() };
                young += u64::from(record.scope == Scope::Young);
            }
        }
        for (k, expected) in shadow.iter().enumerate() {
            // SAFETY: as above.
            unsafe {
                let node = table.add(k).read();
                let number = |node: *mut Node| (!node.is_null()).then(|| number_of(node));
                let found = if node.is_null() {
                    [None; 3]
                } else {
                    [number(node), number((*node).next), number((*node).other)]
                };
                assert_eq!(found, *expected, "{rung}");
            }
        }
        assert!(young >= 30 || !remembers(&nodes.heap), "{rung}: {young}");
    }
}

/// More survives than can be marked in a short pause: a worker goes on from there.
#[test]
fn a_marking_that_takes_too_long_is_handed_over() {
    let mut handed_over = 0;
    for rung in rungs() {
        let nodes = Nodes::new(builder(rung));
        let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
        m.collect();
        let mut lists = Vec::new();
        for _ in 0..6 {
            let list = list(&mut m, nodes.kind, 50_000);
            lists.push((list, nodes.heap.handle(Address::from_ptr(list))));
            let record = m.collect_young();
            assert_eq!(record.failure, None);
            if record.handed_over > 0 {
                assert!(!record.in_pause && record.handed_over < 50_000, "{record}");
                handed_over += 1;
            }
        }
        for (list, _root) in &lists {
            check_list(*list, 50_000);
        }
    }
    let first = rungs().first().copied();
    let snapshots = first.is_some_and(|rung| !rung.to_string().starts_with("stw"));
    assert!(handed_over > 0 || !snapshots || rungs().len() == 1, "no pause was too short");
}

/// Workers die: then the next cycle is a full one, and nothing is lost.
#[test]
fn a_failed_young_cycle_loses_nothing() {
    for rung in rungs() {
        let nodes = Nodes::new(builder(rung).worker_chaos(2));
        let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
        m.collect();
        let kept = list(&mut m, nodes.kind, 30_000);
        let _root = nodes.heap.handle(Address::from_ptr(kept));
        let mut growing = null_mut();
        for number in 0..20 {
            for _ in 0..5_000 {
                growing = new_node(&mut m, nodes.kind, growing, number);
            }
            // SAFETY: a live node: the last one of the list.
            unsafe {
                let mut last = kept;
                while !(*last).next.is_null() && number_of((*last).next) > 0 {
                    last = (*last).next;
                }
                (*last).other = growing;
            }
            m.collect_young();
        }
        check_list(kept, 30_000);
        let mut at = growing;
        for number in (0..20).rev() {
            for _ in 0..5_000 {
                assert_eq!(number_of(at), number);
                // SAFETY: as above.
                at = unsafe { (*at).next };
            }
        }
    }
}

#[test]
fn generations_can_be_turned_off() {
    let nodes = Nodes::new(Heap::builder(PlainPointers).limit(16 << 20).young(false));
    let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
    m.collect();
    assert_eq!(m.collect_young().scope, Scope::Full);
}

/// Objects of all sizes, more than can be marked in a pause: what was marked before it was given up counts too.
#[test]
fn the_figures_are_of_both_pauses() {
    for rung in rungs() {
        let nodes = Nodes::new(Heap::builder(PlainPointers).limit(256 << 20).rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        m.collect();
        let mut handles = Vec::new();
        for _ in 0..100 {
            let large = m.alloc(Kind::LEAF, 100 << 10).unwrap();
            handles.push(nodes.heap.handle(Address::from_ptr(large.as_ptr())));
        }
        handles.push(list_rooted(&nodes, &mut m, 60_000));
        let record = m.collect_young();
        assert_eq!(record.marked_objects, 100 + 60_000, "{rung}: {record}");
        assert!(record.marked_bytes >= (100 * (100 << 10) + 60_000 * 32), "{rung}: {record}");
        assert_eq!(m.collect().marked_objects, 100 + 60_000, "{rung}");
    }
}
