//! Objects linked by plain cells: what is reachable lives, cycles that are not are collected.

mod support;

use palimpsest_safe::{Gc, Rootable, Trace};
use std::cell::Cell;

#[derive(Trace)]
struct Node<'gc> {
    number: u64,
    next: Cell<Option<Gc<'gc, Node<'gc>>>>,
}

type Head<'gc> = Cell<Option<Gc<'gc, Node<'gc>>>>;

#[test]
fn a_list_lives_as_long_as_its_head_is_reachable() {
    for rung in support::rungs() {
        let mut arena = support::stressed::<Rootable![Head<'_>]>(rung).build(|_| Cell::new(None)).unwrap();
        let mut length = 0;
        while length < 500 || arena.stats().cycles < 10 {
            let number = length;
            length += 1;
            if number % 64 == 63 {
                // On a busy machine the collector would be left behind, and the list fill the heap.
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            arena.mutate(|mc, head| {
                // Garbage beside it.
                Gc::new(mc, Node { number: 0, next: Cell::new(head.get()) });
                head.set(Some(Gc::new(mc, Node { number, next: Cell::new(head.get()) })));
            });
        }
        let marked = arena.collect().marked_objects;
        assert_eq!(marked, length + 1, "the list and the root, on {rung}");
        arena.mutate(|_, head| {
            let mut at = head.get();
            for number in (0..length).rev() {
                let node = at.expect("a node");
                assert_eq!(node.number, number);
                at = node.next.get();
            }
            assert!(at.is_none());
            head.set(None);
        });
        assert_eq!(arena.collect().marked_objects, 1);
        assert_eq!(arena.collect().stray_references, 0);
    }
}

#[test]
fn a_cycle_that_nobody_refers_to_is_collected() {
    let mut arena = support::small::<Rootable![Head<'_>]>().build(|_| Cell::new(None)).unwrap();
    arena.mutate(|mc, head| {
        let first = Gc::new(mc, Node { number: 1, next: Cell::new(None) });
        let second = Gc::new(mc, Node { number: 2, next: Cell::new(Some(first)) });
        first.next.set(Some(second));
        head.set(Some(first));
    });
    assert_eq!(arena.collect().marked_objects, 3);
    arena.mutate(|_, head| {
        let first = head.get().expect("the cycle");
        let around = first.next.get().and_then(|second| second.next.get()).expect("around");
        assert!(Gc::ptr_eq(first, around));
        head.set(None);
    });
    assert_eq!(arena.collect().marked_objects, 1);
}

#[test]
fn the_root_can_be_changed_without_cells() {
    let mut arena = support::small::<Rootable![Vec<Gc<'_, u64>>]>().build(|_| Vec::new()).unwrap();
    for number in 0..1000 {
        arena.mutate_root(|mc, root| root.push(Gc::new(mc, number)));
    }
    arena.collect_young();
    arena.collect();
    arena.mutate(|_, root| assert!(root.iter().map(|number| **number).eq(0..1000)));
}
