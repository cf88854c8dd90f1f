//! Pointers that are kept outside.

mod support;

use palimpsest_safe::{Gc, Rootable, Stashed, Static};
use std::cell::{Cell, RefCell};

type Kept = Stashed<Rootable![RefCell<Vec<Gc<'_, u64>>>]>;

#[test]
fn what_is_stashed_lives_until_it_is_let_go() {
    let mut arena = support::stressed::<Rootable![()]>("stw").build(|_| ()).unwrap();
    let kept: Vec<Kept> = (0..50)
        .map(|number| arena.mutate(|mc, ()| mc.stash(Gc::new(mc, RefCell::new(vec![Gc::new(mc, number)])))))
        .collect();
    arena.collect();
    arena.mutate(|mc, ()| {
        for (number, kept) in kept.iter().enumerate() {
            let values = mc.fetch(kept);
            assert_eq!(*values.borrow()[0], number as u64);
            values.borrow_mut().push(Gc::new(mc, !0));
        }
    });
    arena.collect();
    arena.mutate(|mc, ()| assert!(kept.iter().all(|kept| *mc.fetch(kept).borrow()[1] == !0)));
    // Root, and three objects each.
    assert_eq!(arena.collect().marked_objects, 1 + 50 * 3);
    drop(kept);
    arena.collect();
    assert_eq!(arena.collect().marked_objects, 1);
}

#[test]
#[should_panic(expected = "another arena")]
fn another_arena_refuses_it() {
    let mut one = support::small::<Rootable![()]>().build(|_| ()).unwrap();
    let mut two = support::small::<Rootable![()]>().build(|_| ()).unwrap();
    let kept: Kept = one.mutate(|mc, ()| mc.stash(Gc::new(mc, RefCell::default())));
    assert!(two.mutate(|mc, ()| mc.try_fetch(&kept).is_none()));
    two.mutate(|mc, ()| mc.fetch(&kept).borrow().len());
}

#[test]
fn it_may_outlive_its_arena_and_be_dropped_on_another_thread() {
    let mut arena = support::small::<Rootable![()]>().build(|_| ()).unwrap();
    let keep = |arena: &mut palimpsest_safe::Arena<Rootable![()]>| -> Kept {
        arena.mutate(|mc, ()| mc.stash(Gc::new(mc, RefCell::default())))
    };
    let (one, two) = (keep(&mut arena), keep(&mut arena));
    std::thread::spawn(move || drop(one)).join().unwrap();
    arena.collect();
    arena.collect();
    assert_eq!(arena.stats().finalizers_taken, 1);
    drop(arena);
    drop(two);
}

#[test]
fn it_may_be_kept_in_the_arena_itself() {
    type Holder<'gc> = Gc<'gc, Static<Cell<Option<Kept>>>>;
    let mut arena =
        support::small::<Rootable![Holder<'_>]>().build(|mc| Gc::new(mc, Static::default())).unwrap();
    arena.mutate(|mc, holder| holder.set(Some(mc.stash(Gc::new(mc, RefCell::default())))));
    arena.collect();
    arena.mutate(|mc, holder| {
        let kept = holder.take().expect("stored");
        assert!(mc.fetch(&kept).borrow().is_empty());
    });
    arena.collect();
}
