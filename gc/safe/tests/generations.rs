//! Old collections with references in native memory, where no page tells of a store.

mod support;

use palimpsest_safe::{Gc, Rootable};
use std::cell::{Cell, RefCell};

type Slots<'gc> = Vec<Gc<'gc, RefCell<Vec<Option<Gc<'gc, [u64; 4]>>>>>>;

/// Cells in native memory: to store into one writes nothing to the object itself, not even a borrow flag.
type Cells<'gc> = Vec<Gc<'gc, Vec<Cell<Option<Gc<'gc, [u64; 4]>>>>>>;

#[test]
fn what_is_stored_in_an_old_collection_survives_young_cycles() {
    for rung in support::rungs() {
        let builder = support::small::<Rootable![Cells<'_>]>().options(&format!("rung={rung}")).unwrap();
        let mut arena =
            builder.build(|mc| (0..20).map(|_| Gc::new(mc, vec![Cell::new(None); 50])).collect()).unwrap();
        // The collections are old after this.
        arena.collect();
        for round in 0..20u64 {
            arena.mutate(|mc, slots| {
                for (k, slot) in slots.iter().enumerate() {
                    let number = round << 8 | k as u64;
                    slot[round as usize].set(Some(Gc::new(mc, [number, !number, number, !number])));
                }
            });
            let young = arena.collect_young();
            assert!(young.stray_references == 0, "{young}");
        }
        arena.mutate(|_, slots| {
            for (k, slot) in slots.iter().enumerate() {
                for round in 0..20 {
                    let number = (round as u64) << 8 | k as u64;
                    let stored = slot[round].get().expect("stored");
                    assert_eq!(*stored, [number, !number, number, !number], "on {rung}");
                }
            }
        });
    }
}

#[test]
fn a_dropped_collection_is_not_followed_by_young_cycles() {
    // The object's memory is there until a full cycle, and its page was just written to; the memory that it owned is not.
    let mut arena = support::small::<Rootable![Slots<'_>]>().build(|_| Vec::new()).unwrap();
    for _ in 0..20 {
        arena.mutate_root(|mc, slots| {
            for number in 0..100 {
                let values = (0..100).map(|_| Some(Gc::new(mc, [number; 4]))).collect();
                slots.push(Gc::new(mc, RefCell::new(values)));
            }
        });
        arena.collect();
        arena.mutate_root(|_, slots| slots.clear());
        // Drops them, and leaves their objects.
        let cycle = arena.collect();
        assert_eq!(cycle.finalizers_queued, 100);
        assert_eq!(arena.waiting_drops(), 0);
        let young = arena.collect_young();
        assert!(young.failure.is_none() && young.stray_references == 0, "{young}");
    }
}
