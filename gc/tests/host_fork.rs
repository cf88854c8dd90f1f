//! The host forks: the child has no heap, and whatever it does with what it inherited, the parent does not notice.

mod common;

use common::{Nodes, new_node, number_of};
use palimpsest::{Address, Heap, PlainPointers, StackScan};
use palimpsest_runtime::sys::process::{ChildExit, Forked, exit_now, fork};

#[test]
fn a_child_that_drops_what_it_inherited_does_not_disturb_its_parent() {
    let nodes = Nodes::new(Heap::builder(PlainPointers).limit(32 << 20).verify(true).poison(true));
    let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
    let mut list = std::ptr::null_mut();
    for number in 0..20_000 {
        list = new_node(&mut m, nodes.kind, list, number);
    }
    let handle = nodes.heap.handle(Address::from_ptr(list));
    m.collect();
    // SAFETY: the child drops values that touch nothing in a child, and exits.
    match unsafe { fork() }.unwrap() {
        Forked::Child => {
            drop(handle);
            drop(m);
            drop(nodes);
            exit_now(7);
        }
        Forked::Parent(mut child) => assert_eq!(child.wait(), ChildExit::Status(7)),
    }
    for _ in 0..3 {
        let mut at = handle.get().as_ptr::<common::Node>();
        for number in (0..20_000).rev() {
            assert_eq!(number_of(at), number);
            // SAFETY: a live node.
            at = unsafe {
                (*at).other = at;
                (*at).next
            };
        }
        let record = m.collect();
        assert!(record.failure.is_none() && record.marked_objects >= 20_000, "{record}");
        if nodes.heap.stats().degraded.is_none() {
            assert_eq!(record.fallback, None);
        }
    }
}

#[test]
fn children_do_not_inherit_the_heap() {
    let nodes = Nodes::new(Heap::builder(PlainPointers).limit(4 << 20));
    let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
    let node = new_node(&mut m, nodes.kind, std::ptr::null_mut(), 1);
    // SAFETY: the child reads what is not mapped there, which is what this shows.
    match unsafe { fork() }.unwrap() {
        Forked::Child => {
            // SAFETY: see above.
            let number = unsafe { (&raw const (*node).number).read_volatile() };
            exit_now(number as i32);
        }
        Forked::Parent(mut child) => assert_eq!(child.wait(), ChildExit::Signal(11)),
    }
}
