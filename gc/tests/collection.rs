//! What is reachable stays, what is not goes, for every kind of object and root.

mod common;

use common::{Nodes, Tagged, new_node, number_of, rungs, tag};
use palimpsest::{Address, DeliveryKind, Heap, Kind, Layout, PlainPointers, RootRange, StackScan};

fn heap() -> palimpsest::HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(64 << 20).verify(true).poison(true)
}

#[test]
fn a_list_on_the_stack_survives_and_garbage_does_not() {
    for rung in rungs() {
        let nodes = Nodes::new(heap().rung(rung));
        let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
        let mut list = std::ptr::null_mut();
        for number in 0..50_000 {
            list = new_node(&mut m, nodes.kind, list, number);
            new_node(&mut m, nodes.kind, list, 1 << 40);
        }
        for _ in 0..5 {
            let record = m.collect();
            assert!((50_000..60_000).contains(&record.marked_objects), "{record}");
            assert_eq!(record.failure, None);
        }
        let mut at = list;
        for number in (0..50_000).rev() {
            assert_eq!(number_of(at), number);
            // SAFETY: a live node.
            at = unsafe { (*at).next };
        }
        assert!(at.is_null());
    }
}

#[test]
fn a_heap_that_tracks_writes_counts_the_written_pages() {
    for rung in rungs() {
        // Nothing is poisoned or verified: those write too.
        let nodes = Nodes::new(Heap::builder(PlainPointers).limit(64 << 20).rung(rung));
        let tracks = nodes.heap.ladder().chosen().delivery == Some(DeliveryKind::Async);
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let node = new_node(&mut m, nodes.kind, std::ptr::null_mut(), 1);
        let _root = nodes.heap.handle(Address::from_ptr(node));
        // A large object of 64 pages, so that its pages hold nothing else.
        let large = m.alloc(Kind::CONSERVATIVE, 64 * 4096).unwrap().cast::<u64>();
        let _large = nodes.heap.handle(Address::from_ptr(large.as_ptr()));
        m.collect();
        let quiet = m.collect().written_pages;
        for page in 0..40 {
            // SAFETY: words of a live object.
            unsafe { large.add(page * 512).write(0) };
        }
        let written = m.collect().written_pages;
        assert_eq!((quiet, written), if tracks { (Some(0), Some(40)) } else { (None, None) }, "{rung}");
    }
}

#[test]
fn memory_is_used_again() {
    let nodes = Nodes::new(heap().limit(8 << 20));
    let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
    let mut list = std::ptr::null_mut();
    // Sixty times the limit, with a list of a sixteenth of it.
    for number in 0..15_000_000u64 {
        let next = if number % 16_384 == 0 { std::ptr::null_mut() } else { list };
        list = new_node(&mut m, nodes.kind, next, number);
    }
    assert_eq!(number_of(list), 14_999_999);
    assert!(nodes.heap.stats().cycles > 20);
}

#[test]
fn handles_and_ranges_are_roots_as_long_as_they_live() {
    let nodes = Nodes::new(heap());
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    let mut stack = vec![0u64; 100];
    let mut top = stack.as_ptr();
    let start = stack.as_ptr();
    // The collector reads it: the compiler must not keep it in a register.
    let set_top = |top: &mut *const u64, len| {
        // SAFETY: a reference may be written through.
        unsafe { std::ptr::from_mut(top).write_volatile(start.wrapping_add(len)) }
    };
    // SAFETY: `stack` and `top` outlive the guard.
    let roots = unsafe { nodes.heap.add_roots(RootRange::UpTo { start, top: &raw const top }) };
    for (k, slot) in stack.iter_mut().enumerate() {
        *slot = new_node(&mut m, nodes.kind, std::ptr::null_mut(), k as u64) as u64;
        set_top(&mut top, k + 1);
    }
    let handle = nodes.heap.handle(Address::from_ptr(new_node(&mut m, nodes.kind, std::ptr::null_mut(), 7)));
    assert_eq!(m.collect().marked_objects, 101);
    set_top(&mut top, 40);
    assert_eq!(m.collect().marked_objects, 41);
    drop(roots);
    assert_eq!(m.collect().marked_objects, 1);
    assert_eq!(number_of(handle.get().as_ptr()), 7);
    drop(handle);
    assert_eq!(m.collect().marked_objects, 0);
    drop(stack);
}

#[test]
fn interior_references_in_conservative_places_keep_objects() {
    let nodes = Nodes::new(heap());
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    let holder = m.alloc(Kind::CONSERVATIVE, 64).unwrap().cast::<u64>();
    let handle = nodes.heap.handle(Address::from_ptr(holder.as_ptr()));
    let small = new_node(&mut m, nodes.kind, std::ptr::null_mut(), 3);
    // SAFETY: the second word of the holder's eight.
    unsafe { holder.add(1).write(small as u64 + 17) };
    let large = m.alloc(Kind::LEAF, 1 << 20).unwrap();
    // SAFETY: as above, further words.
    unsafe {
        holder.add(3).write(large.as_ptr() as u64 + 700_001);
        holder.add(5).write(12345);
        holder.add(6).write(u64::MAX);
    }
    assert_eq!(m.collect().marked_objects, 3);
    assert_eq!(number_of(small), 3);
    drop(handle);
}

#[test]
fn tagged_words_and_headers_say_what_is_a_reference() {
    let heap = Heap::builder(Tagged).limit(64 << 20).verify(true).build().unwrap();
    let mut m = heap.attach(StackScan::None).unwrap();
    let leaf = |m: &mut palimpsest::Mutator<Tagged>| m.alloc(Kind::LEAF, 24).unwrap().as_ptr();
    let array = m.alloc(Kind::UNIFORM, 8 * 1000).unwrap().cast::<u64>();
    let root = heap.handle(Address::from_ptr(array.as_ptr()));
    let headed = m.alloc(Kind::HEADED, 8 * 6).unwrap().cast::<u64>();
    // SAFETY: words of the objects just allocated.
    unsafe {
        array.add(999).write(tag(headed.as_ptr()));
        // Two words of data behind the header, then values.
        headed.write(2 << 1);
        let held = leaf(&mut m);
        headed.add(3).write(tag(held));
        let not_held = leaf(&mut m);
        headed.add(1).write(tag(not_held));
        array.write(not_held as u64);
    }
    assert_eq!(m.collect().marked_objects, 3);
    drop(root);
}

#[test]
fn large_objects_come_zeroed_and_go() {
    let nodes = Nodes::new(heap());
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    for round in 0..40 {
        for (kind, bytes) in
            [(Kind::LEAF, 20 << 20), (Kind::UNIFORM, 5 << 20), (Kind::UNIFORM, 100_000), (Kind::LEAF, 40_000)]
        {
            let object = m.alloc(kind, bytes).unwrap();
            // SAFETY: the new object's bytes.
            let contents = unsafe { std::slice::from_raw_parts_mut(object.as_ptr(), bytes) };
            assert!(contents.iter().all(|b| *b == 0), "round {round}: {bytes} bytes are not zeroed");
            if kind == Kind::LEAF {
                contents.fill(0xff);
            }
        }
    }
    m.collect();
    assert!(nodes.heap.stats().used_bytes < 1 << 20, "{}", nodes.heap.stats());
}

#[test]
fn a_large_array_is_scanned_to_its_end() {
    let nodes = Nodes::new(heap());
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    let len = 200_000usize;
    let array = m.alloc(Kind::UNIFORM, len * 8).unwrap().cast::<u64>();
    let root = nodes.heap.handle(Address::from_ptr(array.as_ptr()));
    for k in 0..len {
        let node = new_node(&mut m, nodes.kind, std::ptr::null_mut(), k as u64);
        // SAFETY: a word of the array.
        unsafe { array.add(k).write(node as u64) };
    }
    assert_eq!(m.collect().marked_objects, len as u64 + 1);
    for k in 0..len {
        // SAFETY: a word of the array, which the handle keeps.
        assert_eq!(number_of(unsafe { array.add(k).read() } as *const _), k as u64);
    }
    drop(root);
}

/// Around the sizes at which an object is scanned in pieces, and gets blocks for itself.
#[test]
fn objects_of_every_size_are_scanned_to_their_end() {
    for rung in rungs() {
        let nodes = Nodes::new(heap().rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        for words in [1, 2, 3, 63, 64, 65, 129, 2047, 2048, 2050, 4094, 4096, 4098, 8192, 8194, 8200, 100_001]
        {
            let array = m.alloc(Kind::UNIFORM, words * 8).unwrap().cast::<u64>();
            let root = nodes.heap.handle(Address::from_ptr(array.as_ptr()));
            for k in 0..words {
                let node = new_node(&mut m, nodes.kind, std::ptr::null_mut(), k as u64);
                // SAFETY: a word of the array.
                unsafe { array.add(k).write(node as u64) };
            }
            assert_eq!(m.collect().marked_objects, words as u64 + 1, "an array of {words} words");
            drop(root);
        }
    }
}

#[test]
fn marking_without_room_for_packets_is_slower_and_not_wrong() {
    for rung in rungs() {
        let nodes = Nodes::new(heap().rung(rung).mark_packets(1));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        // A wide tree: its marking needs room for far more than four packets.
        let array = m.alloc(Kind::UNIFORM, 8 * 100_000).unwrap().cast::<u64>();
        let root = nodes.heap.handle(Address::from_ptr(array.as_ptr()));
        for k in 0..100_000 {
            let below = new_node(&mut m, nodes.kind, std::ptr::null_mut(), k);
            // SAFETY: a word of the array, and then a field of a node that it holds.
            unsafe { array.add(k as usize).write(below as u64) };
            let node = new_node(&mut m, nodes.kind, below, k);
            // SAFETY: as above.
            unsafe { array.add(k as usize).write(node as u64) };
        }
        let record = m.collect();
        assert_eq!(record.marked_objects, 200_001);
        assert!(record.rescanned_blocks > 0, "packets did not run out: the test shows nothing");
        drop(root);
    }
}

/// Large and small arrays that refer to each other at random: blocks have to be scanned again in every order.
#[test]
fn scanning_again_comes_to_an_end() {
    for rung in rungs() {
        let nodes = Nodes::new(heap().rung(rung).limit(256 << 20).verify(false).mark_packets(1));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let mut random = common::Random(7);
        let arrays = 2_000;
        let top = m.alloc(Kind::UNIFORM, 8 * arrays).unwrap().cast::<u64>();
        let root = nodes.heap.handle(Address::from_ptr(top.as_ptr()));
        let mut objects = 1;
        for k in 0..arrays {
            let words = if k % 100 == 99 { 20_000 } else { 64 };
            let array = m.alloc(Kind::UNIFORM, words * 8).unwrap().cast::<u64>();
            objects += 1;
            // SAFETY: words of the array of arrays, and of those it holds.
            unsafe { top.add(k).write(array.as_ptr() as u64) };
            for word in 0..words {
                let value = if random.below(3) == 0 {
                    objects += 1;
                    new_node(&mut m, nodes.kind, std::ptr::null_mut(), 1) as u64
                } else {
                    // SAFETY: as above.
                    unsafe { top.add(random.below(k + 1)).read() }
                };
                // SAFETY: as above.
                unsafe { array.add(word).write(value) };
            }
        }
        let record = m.collect();
        assert_eq!(record.marked_objects, objects);
        assert!(record.rescanned_blocks > 10, "{record}");
        drop(root);
    }
}

#[test]
fn several_heaps_live_side_by_side_and_are_cleaned_up() {
    for _ in 0..5 {
        let heaps: Vec<_> = (0..4).map(|_| Nodes::new(heap().limit(4 << 20))).collect();
        std::thread::scope(|s| {
            for nodes in &heaps {
                s.spawn(|| {
                    let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
                    let mut list = std::ptr::null_mut();
                    for number in 0..200_000 {
                        let next = if number % 1000 == 0 { std::ptr::null_mut() } else { list };
                        list = new_node(&mut m, nodes.kind, next, number);
                    }
                    assert_eq!(number_of(list), 199_999);
                });
            }
        });
    }
}

#[test]
fn layouts_without_a_header_are_limited() {
    let heap = Heap::builder(PlainPointers).limit(4 << 20).build().unwrap();
    for _ in 0..Kind::LAYOUTS {
        heap.define_layout(Layout::words()).unwrap();
    }
    assert!(heap.define_layout(Layout::words()).unwrap_err().to_string().contains("HEADED"));
}
