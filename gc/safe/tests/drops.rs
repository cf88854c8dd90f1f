//! Values are dropped on the arena's thread, each exactly once.

mod support;

use palimpsest_safe::{Arena, Gc, Rootable, Static, Trace};
use std::cell::{Cell, RefCell};
use support::{Dropped, Drops};

/// Owns others in native memory, and one in itself.
#[derive(Trace)]
struct Owner<'gc> {
    #[trace(skip)]
    _own: Dropped,
    _boxed: Box<Static<Dropped>>,
    others: RefCell<Vec<Gc<'gc, Owner<'gc>>>>,
}

impl Owner<'_> {
    fn new(drops: &Drops) -> Self {
        Self { _own: drops.one(), _boxed: Box::new(Static(drops.one())), others: RefCell::default() }
    }
}

type Owners<'gc> = RefCell<Vec<Gc<'gc, Owner<'gc>>>>;

#[test]
fn each_once_when_unreachable_and_when_the_arena_goes() {
    for rung in support::rungs() {
        let drops = Drops::default();
        let mut arena =
            support::stressed::<Rootable![Owners<'_>]>(rung).build(|_| RefCell::default()).unwrap();
        for k in 0..200 {
            arena.mutate(|mc, owners| {
                let owner = Gc::new(mc, Owner::new(&drops));
                // Cycles do not keep them.
                owner.others.borrow_mut().push(owner);
                let child = Gc::new(mc, Owner::new(&drops));
                owner.others.borrow_mut().push(child);
                if k % 2 == 0 {
                    owners.borrow_mut().push(owner);
                }
            });
        }
        arena.collect();
        assert_eq!(drops.count(), 100 * 2 * 2, "those that were not kept, on {rung}");
        arena.mutate(|_, owners| owners.borrow_mut().truncate(50));
        arena.collect();
        assert_eq!(drops.count(), 150 * 2 * 2);
        drop(arena);
        assert_eq!(drops.count(), 200 * 2 * 2);
    }
}

#[test]
fn values_of_every_shape() {
    let drops = Drops::default();
    #[derive(Trace)]
    struct Words<'gc> {
        #[trace(skip)]
        _own: Dropped,
        _other: Cell<Option<Gc<'gc, u8>>>,
    }
    let mut arena = support::small::<Rootable![()]>().build(|_| ()).unwrap();
    let make = |arena: &mut Arena<Rootable![()]>| {
        arena.mutate(|mc, ()| {
            Gc::new(mc, Static(drops.one()));
            Gc::new(mc, Words { _own: drops.one(), _other: Cell::new(Some(Gc::new(mc, 1))) });
            Gc::new(mc, RefCell::new((Static(drops.one()), Gc::new(mc, 2))));
            Gc::new(mc, vec![(Static(drops.one()), Gc::new(mc, 3))]);
        });
    };
    (0..10).for_each(|_| make(&mut arena));
    arena.collect();
    assert_eq!(drops.count(), 40);
    make(&mut arena);
    drop(arena);
    assert_eq!(drops.count(), 44);
}

#[test]
fn a_call_drops_some_and_the_next_ones_the_rest() {
    let drops = Drops::default();
    let mut arena = support::small::<Rootable![()]>().options("young=off").unwrap().build(|_| ()).unwrap();
    for _ in 0..10 {
        arena.mutate(|mc, ()| {
            (0..1000).for_each(|_| {
                Gc::new(mc, Static(drops.one()));
            })
        });
    }
    // A cycle without the drops that belong to `collect`: the heap's own.
    while arena.waiting_drops() == 0 && drops.count() == 0 {
        arena.mutate(|mc, ()| {
            (0..1000).for_each(|k| {
                Gc::new(mc, [k; 8]);
            })
        });
    }
    let mut before = drops.count();
    while arena.waiting_drops() > 0 {
        arena.mutate(|_, ()| ());
        let now = drops.count();
        assert!(now > before && now - before <= 1250, "{}", now - before);
        before = now;
    }
    drop(arena);
    assert_eq!(drops.count(), 10_000);
}

#[test]
fn a_leaked_arena_drops_nothing_and_holds_up_nobody() {
    let drops = Drops::default();
    let mut leaked = support::small::<Rootable![()]>().build(|_| ()).unwrap();
    leaked.mutate(|mc, ()| {
        Gc::new(mc, Static(drops.one()));
    });
    std::mem::forget(leaked);
    let mut arena = support::small::<Rootable![()]>().build(|_| ()).unwrap();
    arena.mutate(|mc, ()| {
        Gc::new(mc, Static(drops.one()));
    });
    arena.collect();
    assert_eq!(drops.count(), 1);
}
