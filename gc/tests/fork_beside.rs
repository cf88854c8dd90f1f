//! The host forks while other threads are in the middle of something, and its child has a copy of the heap: nobody hangs, nothing is lost, and
//! where a copy cannot be made in time, the child has none.

mod common;

use common::child::{alone, in_child};
use common::{AtEnd, Nodes, new_node, number_of, rungs};
use palimpsest::{Heap, HeapBuilder, HostFork, PlainPointers, Snapshot, StackScan, WeakTable};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

fn builder() -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(32 << 20).verify(true).poison(true).host_fork(HostFork::Copy)
}

/// Whether a child has the heap.
fn is_in_child(nodes: &Nodes) -> bool {
    let ((), end, said) = in_child((), |()| i32::from(nodes.heap.attach(StackScan::None).is_ok()));
    assert!(matches!(end.code(), Some(0 | 1)) && said.is_empty(), "{end}: {said}");
    end.code() == Some(1)
}

/// A thread that is attached to one heap waits for another, whose world a fork holds.
#[test]
fn threads_attach_to_one_of_two_heaps_while_another_forks() {
    if !alone("threads_attach_to_one_of_two_heaps_while_another_forks") {
        return;
    }
    let heaps = [Nodes::new(builder().limit(16 << 20)), Nodes::new(builder().limit(16 << 20))];
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                let mut m = heaps[1].heap.attach(StackScan::None).unwrap();
                while !done.load(Relaxed) {
                    drop(heaps[0].heap.attach(StackScan::None).unwrap());
                    m.poll();
                }
            });
        }
        for _ in 0..30 {
            let ((), end, said) = in_child((), |()| 0);
            assert_eq!((end.code(), said.as_str()), (Some(0), ""));
        }
        done.store(true, Relaxed);
    });
}

/// A listener runs on the collector's thread, for which a fork waits.
#[test]
fn a_listener_and_another_thread_fork() {
    if !alone("a_listener_and_another_thread_fork") {
        return;
    }
    let nodes = Nodes::new(builder().on_cycle(|_| {
        let ((), end, _) = in_child((), |()| 0);
        assert_eq!(end.code(), Some(0));
    }));
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut m = nodes.heap.attach(StackScan::None).unwrap();
            (0..100).for_each(|_| _ = m.collect());
            done.store(true, Relaxed);
        });
        while !done.load(Relaxed) {
            in_child((), |()| 0);
        }
    });
}

/// Somebody whom the caller of `fork` keeps waiting cannot stop: the child does without a copy, and nobody hangs.
#[test]
fn a_thread_that_waits_for_the_forking_one_costs_the_copy() {
    if !alone("a_thread_that_waits_for_the_forking_one_costs_the_copy") {
        return;
    }
    let nodes = Nodes::new(builder());
    let lock = std::sync::Mutex::new(());
    let held = lock.lock().unwrap();
    let ready = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let _m = nodes.heap.attach(StackScan::None).unwrap();
            ready.store(true, Relaxed);
            // Running, as far as the heap can see.
            drop(lock.lock());
        });
        while !ready.load(Relaxed) {
            std::thread::yield_now();
        }
        // The forking thread runs in the heap, too. The second time a cycle is in flight, which waits for the same thread.
        let _m = nodes.heap.attach(StackScan::None).unwrap();
        for _ in 0..2 {
            assert!(!is_in_child(&nodes));
            s.spawn(|| nodes.heap.attach(StackScan::None).unwrap().collect());
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(held);
    });
    assert!(is_in_child(&nodes), "the next child has one");
}

/// A thread that does not stop for a heap, since it is pinned there, forks at once, and its child has no copy.
#[test]
fn a_pinned_thread_forks_without_a_copy() {
    if !alone("a_pinned_thread_forks_without_a_copy") {
        return;
    }
    let nodes = Nodes::new(builder());
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    m.step_out();
    m.step_in_pinned();
    std::thread::scope(|s| {
        // A cycle that is due waits for this thread.
        s.spawn(|| nodes.heap.attach(StackScan::None).unwrap().collect());
        std::thread::sleep(Duration::from_millis(100));
        assert!(!is_in_child(&nodes));
        m.step_out();
    });
    drop(m);
    assert!(is_in_child(&nodes), "the next child has one");
}

/// A listener that waits for the caller of `fork` is not waited for either.
#[test]
fn a_listener_that_waits_for_the_forking_thread_costs_the_copy() {
    if !alone("a_listener_that_waits_for_the_forking_thread_costs_the_copy") {
        return;
    }
    let (tell, told) = std::sync::mpsc::channel::<()>();
    let (ready, is_ready) = std::sync::mpsc::channel();
    let (told, ready) = (std::sync::Mutex::new(told), std::sync::Mutex::new(ready));
    let nodes = Nodes::new(builder().on_cycle(move |_| {
        ready.lock().unwrap().send(()).unwrap();
        // Until the forking thread lets it go on.
        let _ = told.lock().unwrap().recv();
    }));
    std::thread::scope(|s| {
        s.spawn(|| nodes.heap.attach(StackScan::None).unwrap().collect());
        is_ready.recv().unwrap();
        let _m = nodes.heap.attach(StackScan::None).unwrap();
        assert!(!is_in_child(&nodes));
        drop(tell);
    });
}

/// Whether [`look_on`] is to look; whether it does, and whether a cycle has ended, since; and what it saw.
static LOOKS: [AtomicBool; 4] = [const { AtomicBool::new(false) }; 4];

/// The heap that it uses.
static USED: std::sync::Mutex<Option<Heap<PlainPointers>>> = std::sync::Mutex::new(None);

/// A handler of the host's, before a fork: makes and drops a table, and waits a while for a cycle to end.
extern "C" fn look_on() {
    let [wanted, looking, ended, seen] = &LOOKS;
    if wanted.swap(false, SeqCst) {
        looking.store(true, SeqCst);
        if let Some(heap) = &*USED.lock().unwrap() {
            drop(WeakTable::new(heap));
        }
        std::thread::sleep(Duration::from_millis(100));
        seen.store(ended.load(SeqCst), SeqCst);
    }
}

/// The world is not stopped with a thread in the middle of `fork`, whose registers nobody would find, in a heap that is not copied
/// beside one that is.
#[test]
fn no_cycle_of_another_heap_ends_while_a_thread_that_runs_in_it_forks() {
    if !alone("no_cycle_of_another_heap_ends_while_a_thread_that_runs_in_it_forks") {
        return;
    }
    // What is registered first is called last.
    // SAFETY: a function of this program.
    assert_eq!(unsafe { libc::pthread_atfork(Some(look_on), None, None) }, 0);
    let [wanted, looking, ended, seen] = &LOOKS;
    for rung in rungs() {
        let copied = Nodes::new(builder());
        let other = Nodes::new(Heap::builder(PlainPointers).limit(16 << 20).rung(rung).poison(true));
        let mut m = other.heap.attach(StackScan::Conservative).unwrap();
        let node = new_node(&mut m, other.kind, std::ptr::null_mut(), 5);
        *USED.lock().unwrap() = Some(other.heap.clone());
        for runs_in_both in [false, true] {
            let _also = runs_in_both.then(|| copied.heap.attach(StackScan::Conservative).unwrap());
            std::thread::scope(|s| {
                looking.store(false, SeqCst);
                ended.store(false, SeqCst);
                wanted.store(true, SeqCst);
                let collects = s.spawn(|| {
                    let mut m = other.heap.attach(StackScan::None).unwrap();
                    while !looking.load(SeqCst) {
                        m.blocking(std::thread::yield_now);
                    }
                    let record = m.collect();
                    ended.store(true, SeqCst);
                    record
                });
                let ((), end, said) =
                    in_child((), |()| i32::from(copied.heap.is_here() && !other.heap.is_here()));
                assert_eq!((end.code(), said.as_str()), (Some(1), ""), "{rung}");
                assert!(
                    looking.load(SeqCst) && !seen.load(SeqCst),
                    "{rung}: the world was stopped in the fork"
                );
                let record = m.blocking(|| collects.join().unwrap());
                assert!(record.failure.is_none(), "{rung}: {record}");
            });
            assert_eq!(number_of(node), 5);
        }
        *USED.lock().unwrap() = None;
    }
}

/// Tables come and go on a thread that the world does not wait for: each child has all that is there, and so has each of its own.
#[test]
fn tables_that_come_and_go_cost_no_child_its_copy() {
    if !alone("tables_that_come_and_go_cost_no_child_its_copy") {
        return;
    }
    let nodes = Nodes::new(builder().limit(4 << 20).rung(Snapshot::StopTheWorld));
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                while !done.load(Relaxed) {
                    drop(WeakTable::new(&nodes.heap));
                }
            });
        }
        let _end = AtEnd(&done);
        for _ in 0..500 {
            let has_a_copy = |inner: &dyn Fn() -> i32| {
                let ((), end, said) = in_child((), |()| if nodes.heap.is_here() { inner() } else { 1 });
                assert_eq!((end.code(), said.as_str()), (Some(0), ""), "{end}");
                0
            };
            // What is not as it should be in a child stays so: its own children tell.
            has_a_copy(&|| has_a_copy(&|| 0));
        }
    });
}
