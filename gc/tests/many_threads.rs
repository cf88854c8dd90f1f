//! Threads that come and go, end without a word, panic, and wait in the kernel, while cycles never stop.

mod common;

use common::{AtEnd, Nodes, new_node, number_of, rungs};
use palimpsest::{Address, Heap, HeapBuilder, Kind, PlainPointers, Snapshot, StackScan};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

fn heap() -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(64 << 20)
}

/// Attaches, builds a list, checks it, and leaves; again and again. A page of an old object is written by all.
fn come_and_go(nodes: &Nodes, seed: u64, shared: Address, until: impl Fn() -> bool) {
    for round in 0u64.. {
        if until() {
            return;
        }
        let stack = if (seed + round).is_multiple_of(2) { StackScan::Conservative } else { StackScan::None };
        let mut m = nodes.heap.attach(stack).unwrap();
        let mut list = null_mut();
        let root = nodes.heap.handle(Address::new(0));
        for number in 0..400 {
            list = new_node(&mut m, nodes.kind, list, number);
            root.set(Address::from_ptr(list));
            // SAFETY: this thread's word of a live object. What is written is the address of no object.
            unsafe { shared.add(seed as usize * 8).as_ptr::<u64>().write_volatile(2 * round + 1) };
        }
        m.alloc(Kind::LEAF, 40_000).unwrap();
        for number in (0..400).rev() {
            assert_eq!(number_of(list), number);
            // SAFETY: a live node.
            list = unsafe { (*list).next };
        }
    }
}

#[test]
fn sixteen_threads_come_and_go_during_stress_cycles() {
    const CYCLES: u64 = 15;
    for rung in rungs() {
        let nodes = Nodes::new(heap().rung(rung).stress(2_000));
        let shared = nodes.heap.handle(Address::new(0));
        {
            let mut m = nodes.heap.attach(StackScan::None).unwrap();
            shared.set(Address::from_ptr(m.alloc(Kind::CONSERVATIVE, 16 * 8).unwrap().as_ptr()));
        }
        std::thread::scope(|s| {
            for seed in 0..16 {
                let nodes = &nodes;
                let shared = shared.get();
                s.spawn(move || come_and_go(nodes, seed, shared, || nodes.heap.stats().cycles >= CYCLES));
            }
        });
        let stats = nodes.heap.stats();
        assert_eq!((stats.failures, stats.fallbacks), (0, 0), "{rung}: {stats}");
        // All have left: nothing is in use but the shared object.
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        assert_eq!(m.collect().marked_objects, 1);
    }
}

/// Its mutator is forgotten: the collector finds out by itself that the thread is gone, and its blocks are used again.
#[test]
fn a_thread_that_ends_without_detaching_holds_up_nobody() {
    for rung in rungs() {
        let nodes = Nodes::new(heap().rung(rung).verify(true));
        for stack in [StackScan::None, StackScan::Conservative] {
            std::thread::scope(|s| {
                s.spawn(|| {
                    let mut m = nodes.heap.attach(stack).unwrap();
                    let mut list = null_mut();
                    for number in 0..10_000 {
                        list = new_node(&mut m, nodes.kind, list, number);
                        m.alloc(Kind::LEAF, 100).unwrap();
                    }
                    std::hint::black_box(list);
                    std::mem::forget(m);
                });
            });
        }
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let since = Instant::now();
        for _ in 0..3 {
            m.collect();
        }
        assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
        m.blocking(|| {
            while nodes.heap.stats().used_bytes > 0 {
                assert!(since.elapsed() < Duration::from_secs(40), "{}", nodes.heap.stats());
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        assert_eq!(nodes.heap.stats().failures, 0);
    }
}

#[test]
fn a_thread_that_panics_is_detached() {
    let nodes = Nodes::new(heap().verify(true));
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    for blocks in [false, true] {
        let panicked = std::thread::scope(|s| {
            let thread = s.spawn(|| {
                let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
                for number in 0..10_000 {
                    new_node(&mut m, nodes.kind, null_mut(), number);
                }
                let fail = || std::panic::resume_unwind(Box::new("on purpose"));
                if blocks { m.blocking(fail) } else { fail() }
            });
            m.blocking(|| thread.join())
        });
        assert!(panicked.is_err());
        let since = Instant::now();
        assert_eq!(m.collect().marked_objects, 0);
        // Somebody who ended attached is looked for after half a second only.
        assert!(since.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(m.collect().marked_objects, 0);
}

#[test]
fn long_system_calls_do_not_delay_the_handshake() {
    const CALL: Duration = Duration::from_millis(1000);
    for rung in rungs() {
        let heap = heap().rung(rung).build().unwrap();
        let (inside, longest) = (Barrier::new(17), AtomicU64::new(0));
        std::thread::scope(|s| {
            for _ in 0..16 {
                s.spawn(|| {
                    let mut m = heap.attach(StackScan::Conservative).unwrap();
                    m.blocking(|| {
                        inside.wait();
                        std::thread::sleep(CALL);
                    });
                });
            }
            inside.wait();
            let since = Instant::now();
            let mut m = heap.attach(StackScan::None).unwrap();
            for _ in 0..5 {
                let record = m.collect();
                assert_eq!(record.failure, None);
                longest.fetch_max(record.stop_ms as u64, Relaxed);
            }
            assert!(since.elapsed() < CALL, "the cycles waited: {:?}", since.elapsed());
        });
        // Far less than the calls take, on however busy a machine.
        assert!(longest.load(Relaxed) < 500, "{rung}: {} ms", longest.load(Relaxed));
    }
}

/// They fault on armed pages all the time, in every cycle, while others leave.
#[test]
fn threads_that_fault_and_threads_that_leave_do_not_meet() {
    for rung in rungs() {
        let nodes = Nodes::new(heap().rung(rung).cycle_every(1 << 20).verify(true));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let pages = m.alloc(Kind::CONSERVATIVE, 256 * 4096).unwrap();
        let root = nodes.heap.handle(Address::from_ptr(pages.as_ptr()));
        let (at, done) = (root.get(), AtomicBool::new(false));
        std::thread::scope(|s| {
            for thread in 0..8 {
                let (nodes, done) = (&nodes, &done);
                s.spawn(move || {
                    while !done.load(Relaxed) {
                        let mut m = nodes.heap.attach(StackScan::None).unwrap();
                        for page in 0..256 {
                            // SAFETY: this thread's word of each page of a live object.
                            unsafe { at.add(page * 4096 + thread * 8).as_ptr::<u64>().write_volatile(1) };
                            m.poll();
                        }
                    }
                });
            }
            for _ in 0..40 {
                m.collect();
            }
            done.store(true, Relaxed);
        });
        let stats = nodes.heap.stats();
        assert!(stats.snapshot != Snapshot::Preimage || stats.trapped_pages > 1000, "{stats}");
        assert_eq!(stats.failures, 0, "{stats}");
        drop(root);
    }
}

/// A thread in a blocking region of one heap uses another, whose cycles wait for its safepoints.
#[test]
fn a_heap_can_be_used_in_a_blocking_region_of_another() {
    let [used, other] = [0, 1].map(|_| Nodes::new(heap()));
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut m = used.heap.attach(StackScan::None).unwrap();
            while !done.load(SeqCst) {
                m.collect();
            }
        });
        let _end = AtEnd(&done);
        let mut m = used.heap.attach(StackScan::None).unwrap();
        let mut blocked = other.heap.attach(StackScan::None).unwrap();
        let root = used.heap.handle(Address::from_ptr(new_node(&mut m, used.kind, null_mut(), 0)));
        blocked.blocking(|| {
            for number in (0..).take_while(|_| used.heap.stats().cycles < 20) {
                let node = new_node(&mut m, used.kind, null_mut(), number);
                root.set(Address::from_ptr(node));
                m.poll();
                assert_eq!(number_of(node), number);
                assert!(used.heap.is_object(root.get()));
            }
        });
    });
}

/// The last handle of a heap is dropped by a thread that runs in another, whose cycles do not wait for that.
#[test]
fn heaps_go_away_while_their_thread_is_wanted_elsewhere() {
    let stays = Nodes::new(heap());
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        let collecting = s.spawn(|| {
            let mut m = stays.heap.attach(StackScan::None).unwrap();
            while !done.load(SeqCst) {
                m.collect();
            }
        });
        let _end = AtEnd(&done);
        let mut m = stays.heap.attach(StackScan::None).unwrap();
        for _ in 0..20 {
            // Its listener waits for cycles of the heap that stays: for safepoints of this thread.
            let (stays, waits) = (stays.heap.clone(), Arc::new(AtomicBool::new(false)));
            let listening = waits.clone();
            let goes = Nodes::new(heap().cycle_every(1 << 16).on_cycle(move |_| {
                listening.store(true, SeqCst);
                let cycles = stays.stats().cycles;
                while stays.stats().cycles < cycles + 2 {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }));
            let mut own = goes.heap.attach(StackScan::None).unwrap();
            while !waits.load(SeqCst) {
                new_node(&mut own, goes.kind, null_mut(), 1);
                m.poll();
            }
            drop(own);
            drop(goes);
        }
        drop(m);
        done.store(true, SeqCst);
        collecting.join().unwrap();
    });
}
