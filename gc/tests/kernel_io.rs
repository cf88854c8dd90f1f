//! System calls that write to the heap: `EFAULT` without a guard where nobody can resolve the fault, success with one, and
//! in every case nothing lost.

mod common;

use common::{Node, Nodes, new_node, number_of, rungs};
use palimpsest::{Address, DeliveryKind, Heap, Kind, PlainPointers, Snapshot, StackScan};
use std::fs::File;
use std::io::{Read, Write, pipe};

/// Has the kernel write a word.
fn read_into(at: *mut u64, value: u64) -> std::io::Result<usize> {
    let (mut reader, mut writer) = pipe()?;
    writer.write_all(&value.to_ne_bytes())?;
    // SAFETY: the tests pass words of live objects that nobody else uses.
    reader.read(unsafe { std::slice::from_raw_parts_mut(at.cast::<u8>(), 8) })
}

fn nodes(rung: palimpsest::Wish) -> Nodes {
    Nodes::new(Heap::builder(PlainPointers).limit(32 << 20).rung(rung).verify(true).poison(true))
}

#[test]
fn references_that_the_kernel_writes_under_a_guard_keep_their_targets_alive() {
    for rung in rungs() {
        let nodes = nodes(rung);
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let old = new_node(&mut m, nodes.kind, std::ptr::null_mut(), 1);
        let root = nodes.heap.handle(Address::from_ptr(old));
        for number in 2..20 {
            // The page of the old node is armed after this.
            m.collect();
            let young = new_node(&mut m, nodes.kind, std::ptr::null_mut(), number);
            let io = m.kernel_io(Address::from_ptr(old), size_of::<Node>());
            // SAFETY: a field of a live node.
            let next = unsafe { &raw mut (*old).next }.cast::<u64>();
            assert_eq!(read_into(next, young.expose_provenance() as u64).unwrap(), 8, "{rung}");
            if number % 2 == 0 {
                drop(io);
                m.collect();
            } else {
                // A cycle with the guard alive.
                m.collect();
                drop(io);
            }
            // SAFETY: as above.
            assert_eq!(number_of(unsafe { (*old).next }), number, "{rung}");
            assert_eq!(number_of(old), 1);
        }
        drop(root);
    }
}

#[test]
fn without_a_guard_the_embedder_is_told_or_the_write_is_served() {
    for rung in rungs() {
        // Poisoning what is free around the node would open its page.
        let nodes = Nodes::new(Heap::builder(PlainPointers).limit(32 << 20).rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let node = new_node(&mut m, nodes.kind, std::ptr::null_mut(), 5);
        let _root = nodes.heap.handle(Address::from_ptr(node));
        m.collect();
        // SAFETY: a field of a live node.
        let check = unsafe { &raw mut (*node).check };
        let result = read_into(check, !5);
        let chosen = nodes.heap.ladder().chosen();
        let served = match chosen.delivery {
            _ if chosen.snapshot != Snapshot::Preimage => true,
            Some(DeliveryKind::Monitor) => chosen.door.is_some_and(|door| door.sees_kernel_writes()),
            _ => false,
        };
        match result {
            Ok(8) => assert!(served, "{chosen}"),
            Err(error) => assert!(!served && error.raw_os_error() == Some(libc::EFAULT), "{chosen}: {error}"),
            Ok(n) => panic!("{n} bytes"),
        }
        assert_eq!(number_of(node), 5);
        assert!(m.collect().failure.is_none());
    }
}

#[test]
fn payloads_in_the_leaf_space_need_no_guard() {
    for rung in rungs() {
        let nodes = nodes(rung);
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let buffer = m.alloc(Kind::LEAF, 4096).unwrap();
        let _root = nodes.heap.handle(Address::from_ptr(buffer.as_ptr()));
        for _ in 0..3 {
            m.collect();
            // SAFETY: a live object of 4096 bytes.
            let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.as_ptr(), 4096) };
            let mut status = File::open("/proc/self/status").unwrap();
            let read = m.blocking(|| status.read(bytes)).unwrap();
            assert!(bytes[..read].starts_with(b"Name:"));
        }
    }
}

#[test]
#[should_panic(expected = "not memory of this heap")]
fn a_guard_is_for_memory_of_the_heap() {
    let heap = Heap::builder(PlainPointers).limit(4 << 20).build().unwrap();
    let mut m = heap.attach(StackScan::None).unwrap();
    let local = 0u64;
    let _io = m.kernel_io(Address::from_ptr(&local), 8);
}
