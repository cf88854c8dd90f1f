//! Arenas and threads: one arena each, several on one thread, and threads that a call has borrow a value.

mod support;

use palimpsest_safe::{Arena, Gc, Mutation, Rootable, Trace};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

type Numbers<'gc> = RefCell<Vec<Gc<'gc, u64>>>;

#[test]
fn an_arena_on_each_of_many_threads() {
    let work = |thread: u64| {
        let mut arena =
            support::stressed::<Rootable![Numbers<'_>]>("stw").build(|_| RefCell::default()).unwrap();
        for number in 0..300 {
            arena.mutate(|mc, numbers| numbers.borrow_mut().push(Gc::new(mc, thread << 32 | number)));
        }
        arena.collect();
        arena.mutate(|_, numbers| numbers.borrow().iter().map(|number| **number & 0xffff_ffff).sum::<u64>())
    };
    let threads: Vec<_> = (0..8).map(|thread| std::thread::spawn(move || work(thread))).collect();
    assert!(threads.into_iter().all(|thread| thread.join().expect("no panic") == 300 * 299 / 2));
}

#[test]
fn calls_into_several_arenas_nest() {
    for rung in support::rungs() {
        let make =
            || support::stressed::<Rootable![Numbers<'_>]>(rung).build(|_| RefCell::default()).unwrap();
        let (mut outer, mut inner) = (make(), make());
        let mut number = 0;
        while number < 200 || inner.stats().cycles < 5 {
            outer.mutate(|mc, numbers| {
                // Only the stack has it while the other arena collects, and while this one would like to.
                let fresh = Gc::new(mc, number);
                inner.mutate(|mc, numbers| numbers.borrow_mut().push(Gc::new(mc, number)));
                if number % 50 == 0 {
                    inner.collect();
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                assert_eq!(*fresh, number);
                numbers.borrow_mut().push(fresh);
            });
            number += 1;
        }
        for arena in [&mut outer, &mut inner] {
            arena.collect();
            arena.mutate(|_, numbers| assert!(numbers.borrow().iter().map(|number| **number).eq(0..number)));
        }
    }
}

/// Old, on a page that is written to by nobody else.
#[derive(Trace)]
struct Shared<'gc> {
    counter: AtomicU64,
    other: Cell<Option<Gc<'gc, u64>>>,
}

fn shared<'gc>(mc: &Mutation<'gc>, k: u64) -> Gc<'gc, Shared<'gc>> {
    Gc::new(mc, Shared { counter: AtomicU64::new(0), other: Cell::new(Some(Gc::new(mc, k))) })
}

#[test]
fn threads_that_a_call_waits_for_write_to_what_can_be_shared() {
    // They are attached to no heap, and the pages that they write to are armed.
    for rung in support::rungs() {
        type Root<'gc> = Vec<Gc<'gc, Shared<'gc>>>;
        let builder = support::stressed::<Rootable![Root<'_>]>(rung);
        let mut arena = builder.build(|mc| (0..2000).map(|k| shared(mc, k)).collect()).unwrap();
        for _ in 0..10 {
            arena.mutate(|mc, all| {
                (0..100).for_each(|k| {
                    Gc::new(mc, [k; 8]);
                });
                let counters: Vec<&AtomicU64> = all.iter().map(|shared| &shared.counter).collect();
                std::thread::scope(|scope| {
                    for _ in 0..2 {
                        scope.spawn(|| {
                            counters.iter().for_each(|counter| {
                                counter.fetch_add(1, Relaxed);
                            })
                        });
                    }
                });
            });
            arena.collect_young();
        }
        arena.mutate(|_, all| {
            for (k, shared) in all.iter().enumerate() {
                let other = shared.other.get().map(|other| *other);
                assert_eq!((shared.counter.load(Relaxed), other), (20, Some(k as u64)), "on {rung}");
            }
        });
    }
}

#[test]
fn an_arena_that_does_nothing_holds_up_nobody() {
    let mut idle = support::small::<Rootable![Numbers<'_>]>().build(|_| RefCell::default()).unwrap();
    idle.mutate(|mc, numbers| numbers.borrow_mut().push(Gc::new(mc, 1)));
    let before = idle.stats().cycles;
    let mut busy = Arena::<Rootable![()]>::builder().limit(8 << 20).build(|_| ()).unwrap();
    (0..1000).for_each(|k| {
        busy.mutate(|mc, ()| {
            (0..100).for_each(|_| {
                Gc::new(mc, [k; 8]);
            })
        })
    });
    busy.collect();
    assert_eq!(idle.stats().cycles, before);
    idle.collect();
    idle.mutate(|_, numbers| assert_eq!(*numbers.borrow()[0], 1));
}

#[test]
fn an_arena_may_be_a_thread_local() {
    type OwnArena = Arena<Rootable![Numbers<'_>]>;
    thread_local! {
        static ARENA: RefCell<Option<OwnArena>> = const { RefCell::new(None) };
    }
    let work = || {
        let sum = ARENA.with_borrow_mut(|arena| {
            let arena = arena.insert(support::small().build(|_| RefCell::default()).unwrap());
            arena.mutate(|mc, numbers| numbers.borrow_mut().extend((0..10).map(|k| Gc::new(mc, k))));
            arena.collect();
            arena.mutate(|_, numbers| numbers.borrow().iter().map(|number| **number).sum::<u64>())
        });
        assert_eq!(sum, 45);
    };
    // It is dropped when the thread ends.
    (0..10).for_each(|_| std::thread::spawn(work).join().unwrap());
}
