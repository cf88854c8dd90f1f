//! Weak tables: entries go with their objects, and what is read during a cycle stays.

mod common;

use common::Random;
use palimpsest::{Address, Heap, Kind, Mutator, PlainPointers, StackScan, WeakTable};

fn intern(m: &mut Mutator<PlainPointers>, table: &WeakTable, number: u64) -> Address {
    // SAFETY: entries are objects of two words.
    let found = table.find(m, number % 97, |a| unsafe { a.as_ptr::<u64>().read() } == number);
    if let Some(object) = found {
        return object;
    }
    let object = m.alloc(Kind::LEAF, 16).unwrap().cast::<[u64; 2]>();
    // SAFETY: a new object of two words.
    unsafe { object.write([number, !number]) };
    let object = Address::from_ptr(object.as_ptr());
    table.insert(m, number % 97, object).unwrap();
    object
}

fn check(object: Address, number: u64) {
    // SAFETY: the test keeps the object, or the collector is wrong.
    assert_eq!(unsafe { object.as_ptr::<[u64; 2]>().read() }, [number, !number]);
}

#[test]
fn entries_of_dead_objects_vanish_and_others_are_found() {
    let heap = Heap::builder(PlainPointers).limit(32 << 20).verify(true).poison(true).build().unwrap();
    let mut m = heap.attach(StackScan::None).unwrap();
    let table = WeakTable::new(&heap).unwrap();
    let mut handles = Vec::new();
    for number in 0..1_000 {
        let object = intern(&mut m, &table, number);
        if number % 10 == 0 {
            handles.push((number, heap.handle(object)));
        }
    }
    assert_eq!(table.len(), 1_000);
    m.collect();
    assert_eq!(table.len(), 100);
    for (number, handle) in &handles {
        assert_eq!(intern(&mut m, &table, *number), handle.get());
        check(handle.get(), *number);
    }
    assert_eq!(table.len(), 100);
}

/// Threads look up what is held by nothing but the table, while cycles are marked: what a lookup returns is alive.
#[test]
fn what_is_read_during_a_cycle_stays_alive() {
    let heap = Heap::builder(PlainPointers)
        .limit(64 << 20)
        .cycle_every(256 << 10)
        .verify(true)
        .poison(true)
        .build()
        .unwrap();
    let table = WeakTable::new(&heap).unwrap();
    std::thread::scope(|s| {
        for seed in 1..=3 {
            let (heap, table) = (&heap, &table);
            s.spawn(move || {
                let mut m = heap.attach(StackScan::Conservative).unwrap();
                let mut random = Random(seed);
                let mut kept = [(Address::new(0), 0); 16];
                while heap.stats().cycles < 30 {
                    for _ in 0..10_000 {
                        let number = random.below(3_000) as u64;
                        let object = intern(&mut m, table, number);
                        let k = random.below(kept.len());
                        if kept[k].0.as_usize() != 0 {
                            check(kept[k].0, kept[k].1);
                        }
                        kept[k] = (object, number);
                        m.alloc(Kind::LEAF, 16).unwrap();
                    }
                }
                std::hint::black_box(&kept);
            });
        }
    });
}

#[test]
#[should_panic(expected = "another heap")]
fn a_table_refuses_another_heaps_mutator() {
    let heaps = [0, 1].map(|_| Heap::builder(PlainPointers).limit(4 << 20).build().unwrap());
    let table = WeakTable::new(&heaps[0]).unwrap();
    let mut m = heaps[1].attach(StackScan::None).unwrap();
    table.find(&mut m, 1, |_| true);
}
