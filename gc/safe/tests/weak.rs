//! Weak pointers.

mod support;

use palimpsest_safe::{Gc, GcWeak, Rootable, Trace};
use std::cell::{Cell, RefCell};

#[derive(Trace)]
struct Entry<'gc> {
    strong: Cell<Option<Gc<'gc, u64>>>,
    weak: GcWeak<'gc, u64>,
}

#[test]
fn a_weak_pointer_leads_to_its_value_as_long_as_something_else_does() {
    for rung in support::rungs() {
        let builder = support::stressed::<Rootable![RefCell<Vec<Gc<'_, Entry<'_>>>>]>(rung);
        let mut arena = builder.build(|_| RefCell::default()).unwrap();
        for number in 0..300 {
            arena.mutate(|mc, entries| {
                let strong = Gc::new(mc, number);
                let weak = Gc::downgrade(strong, mc);
                assert_eq!(weak.upgrade(mc).as_deref(), Some(&number));
                let entry = Entry { strong: Cell::new(Some(strong)), weak };
                entries.borrow_mut().push(Gc::new(mc, entry));
            });
        }
        arena.collect();
        arena.mutate(|mc, entries| {
            for (number, entry) in entries.borrow().iter().enumerate() {
                let target = entry.weak.upgrade(mc).expect("kept by the entry");
                assert!(Gc::ptr_eq(target, entry.strong.get().expect("kept")) && *target == number as u64);
                if number % 3 == 0 {
                    entry.strong.set(None);
                }
            }
        });
        arena.collect();
        arena.mutate(|mc, entries| {
            for (number, entry) in entries.borrow().iter().enumerate() {
                let found = entry.weak.upgrade(mc).map(|target| *target);
                assert_eq!(found, (number % 3 != 0).then_some(number as u64), "on {rung}");
                assert_eq!(entry.weak.is_dead(mc), found.is_none());
            }
        });
    }
}

#[test]
fn what_was_upgraded_and_stored_lives() {
    for rung in support::rungs() {
        let builder = support::stressed::<Rootable![RefCell<Vec<Entry<'_>>>]>(rung);
        let mut arena = builder.build(|_| RefCell::default()).unwrap();
        let mut upgraded = 0;
        // Beside cycles that are at work: whichever way an upgrade goes, it stays like that.
        for round in 0u64.. {
            arena.mutate(|mc, entries| {
                let mut entries = entries.borrow_mut();
                entries.push(Entry { strong: Cell::new(None), weak: Gc::downgrade(Gc::new(mc, round), mc) });
                let entry = &entries[round as usize / 2];
                entry.strong.set(entry.weak.upgrade(mc));
                upgraded += usize::from(entry.strong.get().is_some());
            });
            if round % 64 == 63 {
                if arena.stats().cycles > 15 && round > 500 {
                    break;
                }
                // On a busy machine the collector would be left behind, and what is kept here fill the heap.
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        arena.collect();
        arena.mutate(|mc, entries| {
            let entries = entries.borrow();
            for (number, entry) in entries.iter().enumerate() {
                assert_eq!(entry.weak.upgrade(mc).is_some(), entry.strong.get().is_some(), "on {rung}");
                assert!(entry.strong.get().is_none_or(|value| *value == number as u64));
            }
            assert_eq!(entries.iter().filter(|entry| entry.strong.get().is_some()).count(), upgraded / 2);
        });
    }
}

#[test]
fn no_weak_pointer_leads_to_a_value_that_is_dropped() {
    let drops = support::Drops::default();
    type Root<'gc> = RefCell<Vec<GcWeak<'gc, palimpsest_safe::Static<support::Dropped>>>>;
    let mut arena = support::small::<Rootable![Root<'_>]>().build(|_| RefCell::default()).unwrap();
    for round in 0..50 {
        arena.mutate(|mc, weak| {
            for _ in 0..50 {
                let value = Gc::new(mc, palimpsest_safe::Static(drops.one()));
                weak.borrow_mut().push(Gc::downgrade(value, mc));
            }
        });
        if round % 10 == 9 {
            arena.collect();
        }
        // As many lead somewhere as have not been dropped, or fewer: some wait for it.
        let alive = arena.mutate(|mc, weak| weak.borrow().iter().filter(|weak| !weak.is_dead(mc)).count());
        assert!(
            alive <= (round + 1) * 50 - drops.count(),
            "{alive} of {}, {} dropped",
            (round + 1) * 50,
            drops.count()
        );
    }
    arena.collect();
    assert_eq!(drops.count(), 2500);
    assert_eq!(arena.mutate(|mc, weak| weak.borrow().iter().filter(|weak| !weak.is_dead(mc)).count()), 0);
}
