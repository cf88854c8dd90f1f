//! Memory that goes back to the system, limits that are not errors, the reserve, and objects of gigabytes.

mod common;

use common::{Node, Nodes, new_node, number_of, rungs};
use palimpsest::{
    Address, Bytes, Footprint, Handle, Heap, HeapBuilder, Kind, Mutator, PlainPointers, RootRange, Snapshot,
    StackScan, Stats,
};
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

fn heap() -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(512 << 20).idle_after(Duration::MAX).min_headroom(32 << 20)
}

/// Waits until the collector's thread has done what `seen` looks for, which it does in the background.
fn wait_for(heap: &Heap<PlainPointers>, seen: impl Fn(&Stats) -> bool) -> Stats {
    let since = Instant::now();
    loop {
        let stats = heap.stats();
        if seen(&stats) {
            return stats;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "{stats}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Fills so much memory of either half with objects that do not read as zero.
fn fill(m: &mut Mutator<PlainPointers>, kind: Kind, bytes: usize) {
    for _ in 0..bytes / 1024 {
        let object = m.alloc(kind, 1024).unwrap();
        // SAFETY: a new object of that size. No word of it is the address of an object.
        unsafe { object.write_bytes(0xfd, 1024) };
    }
}

#[test]
fn what_the_next_cycle_does_not_need_goes_back() {
    for rung in rungs() {
        let nodes = Nodes::new(heap().rung(rung).min_headroom(1 << 20).cycle_every(4 << 20).verify(true));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let list = nodes.heap.handle(Address::new(0));
        for round in 0..3 {
            for number in 0..1_000_000 {
                list.set(Address::from_ptr(new_node(&mut m, nodes.kind, list.get().as_ptr(), number)));
            }
            let list: *mut Node = list.get().as_ptr();
            let before = m.heap().stats();
            assert!(before.resident_traced_bytes > 30 * MIB, "{before}");
            // All of it dies but for the last.
            // SAFETY: a live node.
            unsafe { (*list).next = std::ptr::null_mut() };
            m.collect();
            m.collect();
            let after = wait_for(&nodes.heap, |stats| stats.resident_bytes < 12 * MIB);
            assert!(after.returned_bytes - before.returned_bytes > 12 * MIB, "{rung}, {round}: {after}");
            assert_eq!((number_of(list), after.failures), (999_999, 0));
        }
    }
}

#[test]
fn what_the_next_cycle_needs_is_kept() {
    let heap = heap().young(false).build().unwrap();
    let mut m = heap.attach(StackScan::None).unwrap();
    fill(&mut m, Kind::LEAF, 20 << 20);
    fill(&mut m, Kind::UNIFORM, 20 << 20);
    m.collect();
    m.collect();
    std::thread::sleep(Duration::from_millis(200));
    let stats = heap.stats();
    assert!(stats.used_bytes < 4 * MIB && stats.resident_bytes > 30 * MIB, "{stats}");
    assert_eq!(stats.returned_bytes, 0, "{stats}");
}

#[test]
fn an_idle_heap_gives_everything_back() {
    for rung in rungs() {
        let nodes = Nodes::new(heap().rung(rung).idle_after(Duration::from_millis(100)));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let node = new_node(&mut m, nodes.kind, std::ptr::null_mut(), 7);
        let _root = nodes.heap.handle(Address::from_ptr(node));
        for _ in 0..2 {
            fill(&mut m, Kind::LEAF, 10 << 20);
            fill(&mut m, Kind::UNIFORM, 10 << 20);
            m.collect();
            // Something is written in the snapshot of a second cycle, for the pool to have memory.
            m.collect();
            m.blocking(|| {
                wait_for(&nodes.heap, |stats| stats.resident_bytes < MIB && stats.preimage_bytes == 0);
            });
            assert_eq!(number_of(node), 7);
        }
        let stats = nodes.heap.stats();
        assert!(stats.returned_bytes > 25 * MIB, "{rung}: {stats}");
        assert_eq!(stats.failures, 0);
    }
}

#[test]
fn a_heap_that_allocates_slowly_is_not_idle() {
    let heap = heap().idle_after(Duration::from_millis(300)).build().unwrap();
    let mut m = heap.attach(StackScan::None).unwrap();
    fill(&mut m, Kind::LEAF, 20 << 20);
    m.collect();
    let until = Instant::now() + Duration::from_millis(900);
    while Instant::now() < until {
        fill(&mut m, Kind::LEAF, 256 << 10);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(heap.stats().returned_bytes, 0, "{}", heap.stats());
    // Then it is, and wakes when the thread goes on; and is so again.
    wait_for(&heap, |stats| stats.returned_bytes > 0);
    let before = heap.stats().returned_bytes;
    fill(&mut m, Kind::LEAF, 4 << 20);
    m.collect();
    wait_for(&heap, |stats| stats.returned_bytes > before);
}

/// In blocks that held other things, that were given back, and that were never used.
#[test]
fn new_objects_read_as_zero_wherever_they_are() {
    for rung in rungs() {
        for idle in [Duration::MAX, Duration::from_millis(20)] {
            let heap = heap().rung(rung).idle_after(idle).build().unwrap();
            let mut m = heap.attach(StackScan::None).unwrap();
            for kind in [Kind::LEAF, Kind::UNIFORM] {
                fill(&mut m, kind, 12 << 20);
                m.collect();
                m.collect();
                if idle < Duration::MAX {
                    m.blocking(|| wait_for(&heap, |stats| stats.resident_bytes < MIB));
                }
                for bytes in [40_000, 100_000, 500_000, 1 << 20, (2 << 20) + 5, 11 << 20] {
                    let object = m.alloc(kind, bytes).unwrap();
                    // SAFETY: a new object of that size.
                    let held = unsafe { std::slice::from_raw_parts_mut(object.as_ptr(), bytes) };
                    assert!(held.iter().all(|byte| *byte == 0), "{rung}, {bytes} bytes");
                    held.fill(0xfd);
                }
            }
        }
    }
}

/// Cycles that a program with 20 MiB live makes while it allocates 200 MiB.
fn cycles_of(heap: &Heap<PlainPointers>) -> u64 {
    let mut m = heap.attach(StackScan::None).unwrap();
    let objects: Vec<_> = (0..20).map(|_| m.alloc(Kind::LEAF, 1 << 20).unwrap()).collect();
    let roots: Vec<_> =
        objects.iter().map(|object| heap.handle(Address::from_ptr(object.as_ptr()))).collect();
    m.collect();
    let before = heap.stats().cycles;
    for _ in 0..200 {
        fill(&mut m, Kind::LEAF, 1 << 20);
        // A thread that does something with its objects.
        m.blocking(|| std::thread::sleep(Duration::from_millis(2)));
    }
    let cycles = heap.stats().cycles - before;
    m.collect();
    std::hint::black_box(&roots);
    cycles
}

#[test]
fn above_the_soft_limit_cycles_come_sooner_and_memory_goes_back() {
    let soft = heap().young(false).soft_limit(16 << 20).build().unwrap();
    let (without, with) = (cycles_of(&heap().young(false).build().unwrap()), cycles_of(&soft));
    assert!((2..=8).contains(&without) && with >= 2 * without, "{without} and {with} cycles");
    // What was live is garbage now, of which the collector does not know; but the free blocks are gone.
    wait_for(&soft, |stats| stats.resident_bytes < 21 * MIB);
    assert_eq!(soft.stats().failures, 0);
}

#[test]
fn growth_and_headroom_say_how_often_there_is_a_cycle() {
    let cycles = |growth, headroom| {
        cycles_of(&heap().young(false).growth(growth).min_headroom(headroom).build().unwrap())
    };
    let (lazy, eager) = (cycles(1000, 1 << 20), cycles(50, 1 << 20));
    // More often where the collector keeps pace; on a busy machine cycles come later.
    assert!(lazy <= 9 && eager >= 2 * lazy.max(3), "{lazy} and {eager} cycles");
    let roomy = cycles(50, 100 << 20);
    assert!((1..=3).contains(&roomy), "{roomy} cycles");
}

/// Allocates until there is no more room, and keeps all of it. How many nodes there are.
fn use_up(m: &mut Mutator<PlainPointers>, kind: Kind, list: &Handle) -> u64 {
    let mut count = 0;
    while let Ok(node) = m.alloc(kind, size_of::<Node>()) {
        let node = node.as_ptr().cast::<Node>();
        // SAFETY: a new object of a node's size.
        unsafe {
            node.write(Node { next: list.get().as_ptr(), other: std::ptr::null_mut(), number: 1, check: !1 });
        }
        list.set(Address::from_ptr(node));
        count += 1;
    }
    count
}

#[test]
fn the_reserve_is_there_when_nothing_else_is_and_fills_up_again() {
    for rung in rungs() {
        let nodes = Nodes::new(heap().limit(8 << 20).reserve(1 << 20).rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        for _ in 0..2 {
            let list = nodes.heap.handle(Address::new(0));
            let count = use_up(&mut m, nodes.kind, &list);
            let used = nodes.heap.stats().used_bytes;
            assert!((6 * MIB..=7 * MIB).contains(&used) && count > 190_000, "{used}");
            let error = m.alloc(Kind::LEAF, 100_000).unwrap_err();
            assert_eq!((error.requested, error.limit), (Bytes(100_000), Bytes::mib(8)));
            m.with_reserve(|m| m.alloc(Kind::LEAF, 100_000)).unwrap();
            assert!(m.alloc(Kind::LEAF, 100_000).is_err(), "the scope has ended");
            // A panic ends it too.
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                m.with_reserve(|_| std::panic::resume_unwind(Box::new(())));
            }));
            assert!(panicked.is_err() && m.alloc(Kind::LEAF, 100_000).is_err());
            // The reserve has an end.
            m.with_reserve(|m| {
                let mut large = Vec::new();
                while let Ok(object) = m.alloc(Kind::LEAF, 100_000) {
                    large.push(nodes.heap.handle(Address::from_ptr(object.as_ptr())));
                }
                assert!((9..=11).contains(&large.len()), "{}", large.len());
            });
        }
        assert_eq!(nodes.heap.stats().failures, 0);
    }
}

/// Threads that each keep little and allocate much, in a heap so small that they take from each other what cycles free.
#[test]
fn no_thread_is_out_of_memory_because_others_were_quicker() {
    for rung in rungs() {
        let nodes = Nodes::new(heap().limit(2 << 20).rung(rung));
        std::thread::scope(|s| {
            for thread in 0..4u64 {
                let nodes = &nodes;
                s.spawn(move || {
                    let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
                    let mut list = std::ptr::null_mut();
                    for number in 0..400_000 {
                        let next = if number % 500 == 0 { std::ptr::null_mut() } else { list };
                        list = new_node(&mut m, nodes.kind, next, number);
                        if number % 5_000 == thread {
                            m.alloc(Kind::LEAF, 70_000).unwrap();
                        }
                    }
                    assert_eq!(number_of(list), 399_999);
                });
            }
        });
        let stats = nodes.heap.stats();
        assert!(stats.cycles > 20, "{stats}");
    }
}

#[test]
fn an_object_of_gigabytes_costs_what_is_written_of_it() {
    const SIZE: usize = 2 << 30;
    for kind in [Kind::LEAF, Kind::CONSERVATIVE] {
        let heap = Heap::builder(PlainPointers).limit(6 << 30).build().unwrap();
        let mut m = heap.attach(StackScan::None).unwrap();
        let before = heap.stats();
        let object = m.alloc(kind, SIZE).unwrap().as_ptr();
        let after = heap.stats();
        assert!(after.resident_bytes - before.resident_bytes < MIB, "{after}");
        assert!(after.tables_bytes - before.tables_bytes < 16 * MIB, "{after}");
        assert!(after.used_bytes >= SIZE as u64);
        for at in [0, SIZE / 3, SIZE - 1] {
            // SAFETY: inside the object, which is not reclaimed before a cycle that begins after the next safepoint.
            unsafe {
                assert_eq!(object.add(at).read(), 0);
                object.add(at).write(9);
            }
        }
        drop(m);
        let mut m = heap.attach(StackScan::None).unwrap();
        m.collect();
        m.blocking(|| wait_for(&heap, |stats| stats.used_bytes < MIB && stats.resident_bytes < 8 * MIB));
        // It takes the place of the old one, and is as cheap.
        let again = m.alloc(kind, SIZE).unwrap().as_ptr();
        // SAFETY: as above.
        assert_eq!([0, SIZE / 3, SIZE - 1].map(|at| unsafe { again.add(at).read() }), [0; 3]);
        assert!(heap.stats().resident_bytes < 16 * MIB, "{}", heap.stats());
    }
}

#[test]
fn a_reference_into_any_place_of_a_large_object_keeps_it() {
    const SIZE: usize = 10 << 20;
    for rung in rungs() {
        let heap = heap().rung(rung).build().unwrap();
        let mut m = heap.attach(StackScan::None).unwrap();
        let root = Box::into_raw(Box::new(0u64));
        // SAFETY: the word outlives the guard.
        let _roots = unsafe { heap.add_roots(RootRange::Conservative { start: root, len: 1 }) };
        // SAFETY: this test's own word.
        let set = |word: usize| unsafe { root.write_volatile(word as u64) };
        for kind in [Kind::LEAF, Kind::CONSERVATIVE] {
            for at in [0, 1, 4096, 65_535, 65_536, SIZE / 2 + 3, SIZE - 65_536, SIZE - 1] {
                let object = m.alloc(kind, SIZE).unwrap().as_ptr().expose_provenance();
                set(object + at);
                assert_eq!(m.collect().marked_objects, 1, "{at} in {kind:?}");
                assert!(heap.stats().used_bytes >= SIZE as u64);
                set(object + SIZE);
                assert_eq!(m.collect().marked_objects, 0, "one past the end");
                assert!(heap.stats().used_bytes < SIZE as u64);
            }
        }
    }
}

#[test]
fn a_footprint_says_what_the_kernel_counts() {
    let heap = heap().min_headroom(200 << 20).build().unwrap();
    let mut m = heap.attach(StackScan::None).unwrap();
    for kind in [Kind::LEAF, Kind::UNIFORM] {
        let before: Footprint = heap.footprint().unwrap();
        fill(&mut m, kind, 24 << 20);
        let after = heap.footprint().unwrap();
        let grown = |of: fn(&Footprint) -> Bytes| of(&after).0.saturating_sub(of(&before).0) as u64 / MIB;
        assert!((23..40).contains(&grown(|f| f.heap)), "{before:?} {after:?}");
        // Other tests run in this process.
        assert!(after.resident >= after.heap && after.resident >= after.private, "{after:?}");
        assert!(after.resident >= after.proportional, "{after:?}");
    }
    let stats = heap.stats();
    assert_eq!(stats.resident_bytes, stats.resident_leaf_bytes + stats.resident_traced_bytes);
    assert!(stats.resident_leaf_bytes >= 23 * MIB && stats.resident_traced_bytes >= 23 * MIB, "{stats}");
}

#[test]
fn what_a_worker_has_for_itself_is_looked_at() {
    // Half of the workers are stopped, and live until they are given up.
    let heap = heap().worker_chaos(1).worker_patience(Duration::from_millis(300)).build().unwrap();
    if heap.stats().snapshot == Snapshot::StopTheWorld {
        eprintln!("skipped: no workers here: {}", heap.stats());
        return;
    }
    let mut m = heap.attach(StackScan::None).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until {
        m.collect();
        if let Some(private) = heap.footprint().unwrap().worker_private_peak {
            assert!((4096..64 << 20).contains(&private.0), "{private}");
            return;
        }
    }
    panic!("no worker was looked at: {}", heap.stats());
}

#[test]
fn huge_pages_are_had_or_the_reason_is_said() {
    let heap = heap().leaf_huge_pages(true).build().unwrap();
    let usual = Heap::builder(PlainPointers).limit(64 << 20).build().unwrap().stats().degraded;
    let enabled = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    if enabled.is_ok_and(|text| !text.contains("[never]")) {
        assert_eq!(heap.stats().degraded, usual);
        let mut m = heap.attach(StackScan::None).unwrap();
        fill(&mut m, Kind::LEAF, 8 << 20);
        m.collect();
    } else {
        let degraded = heap.stats().degraded.unwrap();
        assert!(degraded.contains("transparent_hugepage"), "{degraded}");
    }
}
