//! Panics in a call and in drops.

mod support;

use palimpsest_safe::{Arena, Gc, Rootable, Static};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

type Numbers<'gc> = RefCell<Vec<Gc<'gc, u64>>>;

#[test]
fn an_arena_is_as_usable_after_a_panic_as_before() {
    let mut arena = support::small::<Rootable![Numbers<'_>]>().build(|_| RefCell::default()).unwrap();
    for number in 0..20 {
        let call = catch_unwind(AssertUnwindSafe(|| {
            arena.mutate(|mc, numbers| {
                let mut numbers = numbers.borrow_mut();
                numbers.push(Gc::new(mc, number));
                panic!("in the middle");
            })
        }));
        let _: () = call.map(|()| unreachable!()).unwrap_or_else(drop);
        // The thread has come out: a cycle does not wait for it.
        arena.collect();
    }
    arena.mutate(|_, numbers| assert!(numbers.borrow().iter().map(|number| **number).eq(0..20)));
}

#[test]
fn a_root_that_panics_leaves_nothing_behind() {
    let drops = support::Drops::default();
    let made = catch_unwind(AssertUnwindSafe(|| {
        support::small::<Rootable![()]>().build(|mc| {
            Gc::new(mc, Static(drops.one()));
            panic!("no root");
        })
    }));
    assert!(made.is_err());
    assert_eq!(drops.count(), 1);
}

/// Panics when it is dropped, and counts.
struct Bomb(support::Dropped);

impl Drop for Bomb {
    fn drop(&mut self) {
        let _ = &self.0;
        panic!("a bomb");
    }
}

#[test]
fn a_drop_that_panics_keeps_no_other_from_being_dropped() {
    let drops = support::Drops::default();
    let mut arena = support::small::<Rootable![()]>().build(|_| ()).unwrap();
    let bombs = |arena: &mut Arena<Rootable![()]>| {
        arena.mutate(|mc, ()| {
            (0..5).for_each(|_| {
                Gc::new(mc, Static(Bomb(drops.one())));
            })
        });
    };
    bombs(&mut arena);
    // One at a time: each panic comes out.
    let mut panics = 0;
    while catch_unwind(AssertUnwindSafe(|| arena.collect())).is_err() {
        panics += 1;
    }
    assert_eq!((panics, drops.count()), (5, 5));
    bombs(&mut arena);
    // All at once: the first comes out when all is done.
    assert!(catch_unwind(AssertUnwindSafe(|| drop(arena))).is_err());
    assert_eq!(drops.count(), 10);
}

#[test]
fn a_drop_that_panics_in_a_collection_before_a_call_does_so_after_it() {
    let drops = support::Drops::default();
    let mut arena = Arena::<Rootable![()]>::builder().limit(8 << 20).build(|_| ()).unwrap();
    // Until there is no room, so that the next call begins with a collection.
    let fill = |arena: &mut Arena<Rootable![()]>| {
        arena.mutate(|mc, ()| {
            (0..5).for_each(|_| {
                Gc::new(mc, Static(Bomb(drops.one())));
            });
            while Gc::try_new(mc, [0u64; 512]).is_ok() {}
        });
    };
    fill(&mut arena);
    let (calls, room) = (Cell::new(0), Cell::new(false));
    let call = |arena: &mut Arena<Rootable![()]>| {
        catch_unwind(AssertUnwindSafe(|| {
            arena.mutate(|mc, ()| {
                calls.set(calls.get() + 1);
                room.set(Gc::try_new(mc, [0u64; 512]).is_ok());
            })
        }))
    };
    let panic = call(&mut arena).expect_err("a bomb, after the call");
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"a bomb"));
    // Called once, in an arena that had been collected; and all were dropped.
    assert_eq!((calls.get(), room.get(), drops.count()), (1, true, 5));
    call(&mut arena).expect("nothing is left that panics");
    assert_eq!((calls.get(), drops.count()), (2, 5));

    // A call that panics itself: its panic is the one that comes out.
    fill(&mut arena);
    let panic = catch_unwind(AssertUnwindSafe(|| arena.mutate::<()>(|_, ()| panic!("the call"))));
    assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"the call"));
    assert_eq!(drops.count(), 10);
    call(&mut arena).expect("the other one is forgotten");
}
