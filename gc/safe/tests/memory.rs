//! A heap without room.

mod support;

use palimpsest_safe::{Arena, Gc, Rootable, Static};
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

type Blobs<'gc> = RefCell<Vec<Gc<'gc, Static<[u8; 4096]>>>>;

fn arena() -> Arena<Rootable![Blobs<'_>]> {
    Arena::builder().limit(8 << 20).build(|_| RefCell::default()).unwrap()
}

#[test]
fn no_room_is_a_value_and_another_call_may_have_some() {
    let mut arena = arena();
    for _ in 0..3 {
        // More than fits, all garbage.
        let made = arena.mutate(|mc, _| {
            (0..4096).find(|_| Gc::try_new(mc, Static([1; 4096])).is_err()).expect("no collection in a call")
        });
        // An eighth at least.
        assert!(made >= 256, "{made} of 2048 or so");
    }
    // All kept: as much as fits in a call, and then what the next calls find room for.
    let mut fill = || {
        arena.mutate(|mc, blobs| {
            let before = blobs.borrow().len();
            loop {
                match Gc::try_new(mc, Static([2; 4096])) {
                    Ok(blob) => blobs.borrow_mut().push(blob),
                    Err((why, given_back)) => {
                        assert_eq!(given_back.0, [2; 4096]);
                        return (blobs.borrow().len() - before, why);
                    }
                }
            }
        })
    };
    let why = loop {
        if let (0, why) = fill() {
            break why;
        }
    };
    assert_eq!((why.limit, why.requested.0), (arena.limit(), 4096));
    assert!(arena.mutate(|mc, _| Gc::try_new(mc, Static([3; 4096])).is_err()), "it is full");
    arena.mutate(|_, blobs| blobs.borrow_mut().truncate(16));
    assert!(arena.mutate(|mc, _| Gc::try_new(mc, Static([3; 4096])).is_ok()), "collected before the call");
    arena.mutate(|_, blobs| assert!(blobs.borrow().iter().all(|blob| blob.0 == [2; 4096])));
}

#[test]
fn new_panics_with_advice_and_drops_the_value_once() {
    let mut arena = arena();
    let drops = support::Drops::default();
    let full = catch_unwind(AssertUnwindSafe(|| {
        arena.mutate(|mc, blobs| {
            loop {
                blobs.borrow_mut().push(Gc::new(mc, Static([2; 4096])));
            }
        })
    }));
    let full: Box<dyn std::any::Any + Send> = match full {
        Ok(never) => never,
        Err(panic) => panic,
    };
    let message = full.downcast_ref::<String>().expect("a message");
    assert!(message.contains("Gc::try_new") && message.contains("limit"), "{message}");
    // Small objects may have room left; of one of these some will not.
    let mut given_back = 0;
    arena.mutate(|mc, _| {
        for _ in 0..1000 {
            let value = (Static(drops.one()), Static([0u8; 30_000]));
            given_back += usize::from(Gc::try_new(mc, value).is_err());
        }
    });
    assert!(given_back > 0);
    assert_eq!(drops.count(), given_back);
    drop(arena);
    assert_eq!(drops.count(), 1000);
}

#[test]
fn garbage_of_many_calls_never_fills_the_heap() {
    let mut arena = arena();
    for _ in 0..2000 {
        arena.mutate(|mc, _| {
            (0..100).for_each(|k| {
                Gc::new(mc, Static([k as u8; 512]));
            })
        });
    }
    // A hundred megabytes in eight.
    assert!(arena.stats().allocated_bytes > 90 << 20);
}

#[test]
fn a_full_heap_is_not_collected_at_every_call() {
    let mut arena = arena();
    arena.mutate(|mc, blobs| {
        // Seven and a half eighths, alive.
        blobs.borrow_mut().extend((0..1900).map(|_| Gc::new(mc, Static([2; 4096]))));
    });
    arena.mutate(|_, _| ());
    let before = arena.stats().cycles;
    (0..1000).for_each(|_| {
        arena.mutate(|mc, _| {
            let _ = Gc::try_new(mc, [1u64; 2]);
        })
    });
    assert!(arena.stats().cycles - before < 10, "{} cycles", arena.stats().cycles - before);
}
