//! System calls that are denied: the heap falls back and says so, or refuses with an error that says what to change.
//!
//! The switches are the process's, so all of this is one test in a process of its own.

mod common;

use common::{Nodes, new_node, number_of};
use palimpsest::{Address, Heap, HeapBuilder, Kind, PlainPointers, Snapshot, StackScan, Stats};
use palimpsest_runtime::sys::Errno;
use palimpsest_runtime::sys::inject::{self, Call};

fn builder() -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(32 << 20).verify(true).poison(true)
}

/// Builds a list, rewrites it over several cycles, and checks it.
fn work(nodes: &Nodes) -> Stats {
    let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
    let mut list = std::ptr::null_mut();
    for number in 0..20_000 {
        list = new_node(&mut m, nodes.kind, list, number);
    }
    for _ in 0..4 {
        m.collect();
        let mut at = list;
        while !at.is_null() {
            // SAFETY: a live node.
            unsafe {
                (*at).other = list;
                at = (*at).next;
            }
        }
    }
    let mut at = list;
    for number in (0..20_000).rev() {
        assert_eq!(number_of(at), number);
        // SAFETY: a live node.
        at = unsafe { (*at).next };
    }
    nodes.heap.stats()
}

/// Moves what is in a table about, and adds to it, until there were enough cycles: each verifies the heap.
fn rewrite(nodes: &Nodes) {
    const SLOTS: usize = 20_000;
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    let table = m.alloc(Kind::UNIFORM, SLOTS * 8).unwrap().cast::<*mut common::Node>();
    let _table = nodes.heap.handle(Address::from_ptr(table.as_ptr()));
    let mut random = common::Random(table.as_ptr() as u64);
    while nodes.heap.stats().cycles < 30 {
        for _ in 0..10_000 {
            let (a, b) = (random.below(SLOTS), random.below(SLOTS));
            // SAFETY: slots of the table, and nodes that are in it.
            unsafe {
                let moved = table.add(a).read();
                if !moved.is_null() {
                    number_of(moved);
                }
                table.add(b).write(moved);
                let node = new_node(&mut m, nodes.kind, moved, a as u64);
                if random.below(2) == 0 {
                    (*node).next = std::ptr::null_mut();
                }
                table.add(a).write(node);
            }
        }
    }
}

/// What is armed fails; the rest is let through.
fn denying<R>(call: Call, after: u32, times: u32, errno: Errno, f: impl FnOnce() -> R) -> R {
    inject::arm(call, after, times, errno);
    let result = f();
    inject::disarm();
    result
}

#[test]
fn every_denied_call_has_a_clear_outcome() {
    const ALWAYS: u32 = u32::MAX;

    // No userfaultfd at all: marking in the stopped world, from the start, and visible.
    let stats = denying(Call::UffdOpen, 0, ALWAYS, Errno::PERM, || work(&Nodes::new(builder())));
    assert_eq!((stats.snapshot, stats.delivery), (Snapshot::StopTheWorld, "none"));
    assert!(stats.degraded.as_deref().is_some_and(|why| why.contains("seccomp")), "{stats}");
    assert!(stats.cycles >= 4);

    // The range cannot be registered.
    let stats = denying(Call::UffdRegister, 0, 1, Errno::BUSY, || work(&Nodes::new(builder())));
    assert!(stats.degraded.as_deref().is_some_and(|why| why.contains("another userfaultfd")), "{stats}");

    // No memory file, no mapping: no heap.
    for (call, word) in [(Call::Memfd, "memory file"), (Call::Map, "mapping")] {
        for after in 0..12 {
            let result = denying(call, after, 1, Errno::NOMEM, || builder().build());
            if let Err(error) = result {
                assert!(error.to_string().contains(word), "{error}");
            }
        }
        let error = denying(call, 0, ALWAYS, Errno::NOMEM, || builder().build()).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
    }

    let nodes = Nodes::new(builder());
    if nodes.heap.stats().degraded.is_some() {
        eprintln!("skipped: no barrier here: {}", nodes.heap.stats());
        return;
    }
    drop(nodes);

    // No worker, once and always: the cycle marks in the stopped world instead.
    for (times, fallbacks) in [(1, 1..2), (ALWAYS, 4..6)] {
        let stats = denying(Call::Fork, 0, times, Errno::AGAIN, || work(&Nodes::new(builder())));
        assert!(fallbacks.contains(&stats.fallbacks), "{stats}");
        assert!(stats.last_trouble.as_deref().is_some_and(|why| why.contains("RLIMIT_NPROC")), "{stats}");
        assert_eq!(stats.failures, 0);
    }

    // Pages cannot be protected: before the pause, and in it.
    for after in 0..6 {
        let stats = denying(Call::UffdArm, after, 1, Errno::NOMEM, || work(&Nodes::new(builder())));
        assert!(stats.fallbacks <= 1 && stats.failures == 0 && stats.cycles >= 4, "{stats}");
    }
    let stats = denying(Call::UffdArm, 0, ALWAYS, Errno::NOMEM, || work(&Nodes::new(builder())));
    assert!(stats.fallbacks >= 4, "{stats}");

    // The same, while other threads write: what could not be armed this time is armed the next.
    for after in [0, 3, 20] {
        denying(Call::UffdArm, after, 3, Errno::NOMEM, || {
            let nodes = Nodes::new(builder().cycle_every(256 << 10));
            std::thread::scope(|s| {
                for _ in 0..2 {
                    s.spawn(|| rewrite(&nodes));
                }
            });
            let stats = nodes.heap.stats();
            assert!(stats.cycles >= 30 && stats.fallbacks >= 1, "{stats}");
        });
    }

    // A page cannot be unprotected: the barrier is given up for good, and no write is lost.
    for after in [0, 1, 10, 100] {
        let stats = denying(Call::UffdOpenPages, after, 1, Errno::NOMEM, || work(&Nodes::new(builder())));
        assert!(stats.cycles >= 4, "{stats}");
        assert!(stats.fallbacks > 0, "after {after}: {stats}");
    }

    // Advice is advice: without it the heap uses more memory, but for keeping it out of children.
    let result = denying(Call::Advise, 0, ALWAYS, Errno::INVAL, || builder().build());
    assert!(result.unwrap_err().to_string().contains("DontFork"));
    let nodes = Nodes::new(builder());
    let stats = denying(Call::Advise, 0, ALWAYS, Errno::INVAL, || work(&nodes));
    assert!(stats.cycles >= 4 && stats.fallbacks == 0, "{stats}");
}

/// The worker's own mapping fails: it says so by its exit status, the cycle fails, and after two of those the collector does
/// without workers. (The switch counts in the parent only: the worker has a copy, so every worker fails.)
#[test]
fn workers_without_a_heap_are_given_up() {
    let own_process = std::env::args().any(|arg| arg == "--exact");
    if !own_process {
        let this = std::env::current_exe().expect("this test's program");
        let status = std::process::Command::new(this)
            .args(["--exact", "workers_without_a_heap_are_given_up", "--nocapture"])
            .status()
            .expect("this test again");
        assert!(status.success());
        return;
    }
    let nodes = Nodes::new(builder());
    let stats = denying(Call::WorkerMap, 0, u32::MAX, Errno::NOMEM, || work(&nodes));
    if stats.degraded.is_some() {
        eprintln!("skipped: no barrier here: {stats}");
        return;
    }
    assert!(stats.failures >= 2 && stats.cycles >= 4 && stats.fallbacks >= 4, "{stats}");
    assert!(
        stats.last_trouble.as_deref().is_some_and(|why| why.contains("could not map the heap")),
        "{stats}"
    );
}
