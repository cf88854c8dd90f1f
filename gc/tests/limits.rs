//! A heap at its limit: an error to the embedder, after everything has been tried, and a heap that goes on working.

mod common;

use common::{Nodes, new_node, number_of, rungs};
use palimpsest::{Bytes, Heap, Kind, PlainPointers, StackScan};

#[test]
fn endless_allocation_ends_in_an_error_and_the_heap_goes_on() {
    for rung in rungs() {
        let nodes = Nodes::new(Heap::builder(PlainPointers).limit(8 << 20).rung(rung));
        let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
        let mut list = std::ptr::null_mut();
        let mut count = 0;
        let error = loop {
            match m.alloc(nodes.kind, 32) {
                Ok(node) => {
                    let node = node.as_ptr().cast::<common::Node>();
                    // SAFETY: a new object of a node's size.
                    unsafe {
                        (*node).next = list;
                        (*node).number = count;
                        (*node).check = !count;
                    }
                    (list, count) = (node, count + 1);
                }
                Err(error) => break error,
            }
        };
        // All but the last few blocks hold the list.
        assert!(count > 200_000, "only {count} nodes fitted into 8 MiB");
        assert_eq!(error.limit, Bytes::mib(8));
        assert!(error.to_string().contains("8.0 MiB"), "{error}");
        assert_eq!(number_of(list), count - 1);
        // Half of the list goes, and there is room again.
        let mut at = list;
        for _ in 0..count / 2 {
            // SAFETY: a live node.
            at = unsafe { (*at).next };
        }
        // SAFETY: as above.
        unsafe { (*at).next = std::ptr::null_mut() };
        for number in 0..50_000 {
            new_node(&mut m, nodes.kind, std::ptr::null_mut(), number);
        }
        assert_eq!(number_of(list), count - 1);
    }
}

#[test]
fn objects_beyond_any_limit_are_refused_at_once() {
    let heap = Heap::builder(PlainPointers).limit(4 << 20).build().unwrap();
    let mut m = heap.attach(StackScan::None).unwrap();
    for bytes in [5 << 20, usize::MAX, usize::MAX - 15, isize::MAX as usize] {
        for kind in [Kind::LEAF, Kind::UNIFORM] {
            assert_eq!(m.alloc(kind, bytes).unwrap_err().requested, Bytes(bytes));
        }
    }
    assert_eq!(heap.stats().cycles, 0);
    m.alloc(Kind::UNIFORM, 3 << 20).unwrap();
}

#[test]
fn medium_objects_fill_the_heap_without_waste_beyond_half() {
    let heap = Heap::builder(PlainPointers).limit(16 << 20).build().unwrap();
    let mut m = heap.attach(StackScan::None).unwrap();
    let array = m.alloc(Kind::UNIFORM, 8 * 2_000).unwrap().cast::<u64>();
    let _root = heap.handle(palimpsest::Address::from_ptr(array.as_ptr()));
    let mut count = 0;
    while let Ok(object) = m.alloc(Kind::LEAF, 20_000) {
        // SAFETY: fewer than 2000 objects of this size fit.
        unsafe { array.add(count).write(object.as_ptr() as u64) };
        count += 1;
    }
    assert!(count * 20_000 > 8 << 20, "only {count} objects of 20 kB fitted into 16 MiB");
}

#[test]
fn a_limit_that_is_too_small_is_refused() {
    let error = Heap::builder(PlainPointers).limit(1000).build().unwrap_err();
    assert!(error.to_string().contains("at least 1M"), "{error}");
}

#[test]
fn stray_references_are_counted_and_followed_nowhere() {
    let nodes = Nodes::new(Heap::builder(PlainPointers).limit(8 << 20));
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    let node = new_node(&mut m, nodes.kind, 0x1000 as *mut _, 5);
    let _root = nodes.heap.handle(palimpsest::Address::from_ptr(node));
    // SAFETY: a live node.
    unsafe { (*node).other = node.wrapping_byte_add(8) };
    let record = m.collect();
    assert_eq!((record.stray_references, record.marked_objects), (2, 1));
}
