//! A child with a copy of the heap starts its collector, whatever the host's threads were at when it was forked.
//!
//! The standard library has a lock that each of its threads holds for a moment as it begins and as it ends. Here one is held up in
//! that moment, by the allocator, which it calls to free its name.

mod common;

use common::child::in_child;
use common::{Nodes, new_node, number_of, rungs};
use palimpsest::{Heap, HostFork, PlainPointers, StackScan};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// The length of the name of the thread that is held up: as it ends it frees no other memory of this size.
const NAME: usize = 40_961;

/// What comes of the thread with that name.
static STATE: AtomicU32 = AtomicU32::new(RUNS);
const RUNS: u32 = 0;
const ENDS: u32 = 1;
const HELD_UP: u32 = 2;
const LET_GO: u32 = 3;

struct HoldsUp;

#[global_allocator]
static ALLOCATOR: HoldsUp = HoldsUp;

// SAFETY: the system's, which answers later at times.
unsafe impl GlobalAlloc for HoldsUp {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on to the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if layout.size() == NAME && STATE.compare_exchange(ENDS, HELD_UP, SeqCst, SeqCst).is_ok() {
            while STATE.load(SeqCst) != LET_GO {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        // SAFETY: passed on to the caller.
        unsafe { System.dealloc(at, layout) }
    }
}

#[test]
fn a_child_has_a_collector_when_another_thread_was_ending_at_the_fork() {
    for rung in rungs() {
        STATE.store(RUNS, SeqCst);
        let nodes =
            Nodes::new(Heap::builder(PlainPointers).limit(16 << 20).host_fork(HostFork::Copy).rung(rung));
        let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
        let node = new_node(&mut m, nodes.kind, std::ptr::null_mut(), 5);
        let ending = std::thread::Builder::new().name("x".repeat(NAME));
        let ending = ending.spawn(|| STATE.store(ENDS, SeqCst)).unwrap();
        let begin = Instant::now();
        while STATE.load(SeqCst) != HELD_UP && begin.elapsed() < Duration::from_secs(5) {
            m.blocking(|| std::thread::sleep(Duration::from_millis(1)));
        }
        if STATE.load(SeqCst) != HELD_UP {
            eprintln!(
                "skipped: the standard library has another order of doing things, and no thread was held up"
            );
            return;
        }
        let ((), end, said) = in_child((), |()| {
            let record = m.collect();
            assert!(record.failure.is_none(), "{record}");
            assert_eq!(number_of(node), 5);
            0
        });
        STATE.store(LET_GO, SeqCst);
        ending.join().unwrap();
        assert_eq!((end.code(), said.as_str()), (Some(0), ""), "{rung}: {end}");
    }
}
