//! Weak tables and references: entries go with their objects, and what is read during a cycle stays.

mod common;

use common::{Random, rungs};
use palimpsest::{Address, Heap, Kind, Mutator, PlainPointers, StackScan, WeakRef, WeakSlot, WeakTable};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

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

fn leaf(m: &mut Mutator<PlainPointers>, number: u64) -> Address {
    let object = m.alloc(Kind::LEAF, 16).unwrap().cast::<[u64; 2]>();
    // SAFETY: a new object of two words.
    unsafe { object.write([number, !number]) };
    Address::from_ptr(object.as_ptr())
}

#[test]
fn many_references_are_cut_with_their_targets_and_their_slots_used_again() {
    for rung in rungs() {
        let heap = Heap::builder(PlainPointers)
            .limit(64 << 20)
            .verify(true)
            .poison(true)
            .rung(rung)
            .build()
            .unwrap();
        let mut m = heap.attach(StackScan::None).unwrap();
        for _ in 0..3 {
            let mut all = Vec::new();
            for number in 0..20_000 {
                let target = leaf(&mut m, number);
                let handle = (number % 7 == 0).then(|| heap.handle(target));
                all.push((number, WeakRef::new(&mut m, target).unwrap(), handle));
            }
            let record = m.collect();
            assert_eq!(record.weak_refs_cleared, 20_000 - 20_000_u64.div_ceil(7), "{rung}");
            for (number, weak, handle) in &all {
                assert_eq!(weak.get(&mut m), handle.as_ref().map(|handle| handle.get()));
                if let Some(handle) = handle {
                    check(handle.get(), *number);
                }
            }
            // One that was cut leads somewhere again.
            weak_to(&mut m, &all[1].1, all[0].2.as_ref().unwrap().get());
            m.collect();
            assert_eq!(all[1].1.get(&mut m), Some(all[0].2.as_ref().unwrap().get()));
        }
    }
}

fn weak_to(m: &mut Mutator<PlainPointers>, weak: &WeakRef, target: Address) {
    assert_eq!(weak.get(m), None);
    weak.set(m, target);
    assert_eq!(weak.get(m), Some(target));
}

#[test]
fn a_slot_goes_with_its_owner() {
    for rung in rungs() {
        let heap = Heap::builder(PlainPointers)
            .limit(16 << 20)
            .verify(true)
            .poison(true)
            .rung(rung)
            .build()
            .unwrap();
        let mut m = heap.attach(StackScan::None).unwrap();
        let owners = [1, 2].map(|number| heap.handle(leaf(&mut m, number)));
        let target = heap.handle(leaf(&mut m, 3));
        let slots = owners.each_ref().map(|owner| WeakSlot::new(&mut m, owner.get(), target.get()).unwrap());
        m.collect();
        assert_eq!(slots.map(|slot| slot.get(&mut m)), [Some(target.get()); 2]);
        let [first, second] = owners;
        drop(first);
        m.collect();
        assert_eq!(slots[1].get(&mut m), Some(target.get()));
        // The first one's number is free, and set is without effect on it.
        slots[0].set(&mut m, target.get());
        let again = WeakSlot::new(&mut m, second.get(), second.get()).unwrap();
        assert_eq!(again, slots[0]);
        assert_eq!(WeakSlot::from_number(again.number()).get(&mut m), Some(second.get()));
        drop(target);
        m.collect();
        assert_eq!((slots[1].get(&mut m), again.get(&mut m)), (None, Some(second.get())));
        assert_eq!(WeakSlot::from_number(u32::MAX).get(&mut m), None);
    }
}

/// Threads read, set and drop references while cycles are marked, also where workers are killed. A target that is read stays.
#[test]
fn references_are_used_by_threads_while_cycles_are_marked() {
    for (rung, chaos) in rungs().into_iter().map(|r| (r, false)).chain([("forkcow".parse().unwrap(), true)]) {
        let mut builder = Heap::builder(PlainPointers).limit(64 << 20).verify(true).poison(true).rung(rung);
        if chaos {
            builder = builder.worker_chaos(2).worker_patience(Duration::from_millis(200));
        }
        let heap = builder.build().unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                let mut m = heap.attach(StackScan::None).unwrap();
                let is_enough = |stats: palimpsest::Stats| {
                    stats.cycles >= 12 && (!chaos || stats.failures >= 3) && stats.weak_refs_cleared > 0
                };
                while !is_enough(heap.stats()) {
                    m.collect();
                }
                done.store(true, Relaxed);
            });
            for seed in 1..=2 {
                let (heap, done) = (&heap, &done);
                s.spawn(move || {
                    let mut m = heap.attach(StackScan::Conservative).unwrap();
                    let mut random = Random(seed * 31);
                    let mut all: Vec<(u64, WeakRef)> = Vec::new();
                    let mut kept = [(Address::new(0), 0); 16];
                    let mut next = 0;
                    while !done.load(Relaxed) {
                        for _ in 0..1_000 {
                            next += 1;
                            let (k, slot) = (random.below(all.len().max(1)), random.below(kept.len()));
                            if kept[slot].0.as_usize() != 0 {
                                check(kept[slot].0, kept[slot].1);
                            }
                            if all.len() < 500 {
                                let target = leaf(&mut m, next);
                                all.push((next, WeakRef::new(&mut m, target).unwrap()));
                                kept[slot] = (target, next);
                            } else if let Some(target) = all[k].1.get(&mut m) {
                                check(target, all[k].0);
                                kept[slot] = (target, all[k].0);
                            } else if random.below(2) == 0 {
                                let target = leaf(&mut m, next);
                                all[k].1.set(&mut m, target);
                                all[k].0 = next;
                                // Not kept: to be read, or not, before it is gone.
                            } else {
                                assert_eq!(all[k].1.get(&mut m), None);
                                all.swap_remove(k);
                            }
                        }
                        m.poll();
                    }
                    std::hint::black_box(&kept);
                });
            }
        });
        assert!(heap.stats().weak_refs_cleared > 0, "{rung}: {}", heap.stats());
    }
}

#[test]
#[should_panic(expected = "another heap")]
fn a_reference_refuses_another_heaps_mutator() {
    let heaps = [0, 1].map(|_| Heap::builder(PlainPointers).limit(4 << 20).build().unwrap());
    let [mut one, mut other] = heaps.each_ref().map(|heap| heap.attach(StackScan::None).unwrap());
    let target = leaf(&mut one, 1);
    let weak = WeakRef::new(&mut one, target).unwrap();
    weak.get(&mut other);
}

#[test]
#[should_panic(expected = "another heap")]
fn a_table_refuses_another_heaps_mutator() {
    let heaps = [0, 1].map(|_| Heap::builder(PlainPointers).limit(4 << 20).build().unwrap());
    let table = WeakTable::new(&heaps[0]).unwrap();
    let mut m = heaps[1].attach(StackScan::None).unwrap();
    table.find(&mut m, 1, |_| true);
}
