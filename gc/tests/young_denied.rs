//! Cycles of the young in trouble: a barrier that is given up at the wrong moment, a child that inherits failures, more to look at
//! than a pause is long. Each in a process of its own, where system calls are denied.

mod common;

use common::child::in_child;
use common::{Node, Nodes, alone, new_node, number_of, rungs};
use palimpsest::{Address, Heap, HostFork, Kind, PlainPointers, RootRange, Scope, Snapshot, StackScan};
use palimpsest_runtime::sys::Errno;
use palimpsest_runtime::sys::inject::{self, Call};
use std::ptr::null_mut;
use std::time::Duration;

fn passes(name: &str, case: impl FnOnce()) {
    if let Some(end) = alone(name, case) {
        assert!(end.success(), "{end}");
    }
}

/// The barrier breaks while the collector waits for the world to stop: a store that it did not notice any more is found all the
/// same.
#[test]
fn a_barrier_that_breaks_before_the_pause_loses_no_young_object() {
    passes("a_barrier_that_breaks_before_the_pause_loses_no_young_object", || {
        let Some(rung) = rungs().into_iter().find(|rung| rung.to_string().starts_with("preimage/signal"))
        else {
            return eprintln!("skipped: no write barrier by signal here");
        };
        let nodes = Nodes::new(Heap::builder(PlainPointers).limit(64 << 20).rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let first = new_node(&mut m, nodes.kind, null_mut(), 0);
        let _handle = nodes.heap.handle(Address::from_ptr(first));
        let mut olds = Vec::new();
        for number in 1..20_000 {
            let node = new_node(&mut m, nodes.kind, null_mut(), number);
            // SAFETY: live nodes, without a safepoint since the last was made.
            unsafe {
                (*node).next = (*first).next;
                (*first).next = node;
            }
            olds.push(node);
        }
        m.collect();
        // In blocks without room, that nobody allocates in.
        let (noticed, unnoticed) = (olds[3_000], olds[6_000]);
        let seen = new_node(&mut m, nodes.kind, null_mut(), 111);
        let unseen = new_node(&mut m, nodes.kind, null_mut(), 222);
        let heap = nodes.heap.clone();
        let other =
            std::thread::spawn(move || heap.attach(StackScan::None).expect("attached").collect_young());
        // The rounds are over, and the collector waits for this thread.
        std::thread::sleep(Duration::from_millis(300));
        inject::arm(Call::UffdOpenPages, 0, 1000, Errno::PERM);
        // SAFETY: live nodes. The first store traps and breaks the barrier, so that the second one does not.
        unsafe {
            (*noticed).other = seen;
            assert!(inject::failed(Call::UffdOpenPages) > 0, "the barrier held");
            (*unnoticed).other = unseen;
        }
        inject::disarm();
        let record = m.blocking(|| other.join().unwrap());
        assert!(record.fallback.is_some() && record.scope == Scope::Full, "{record}");
        for k in 0..200_000 {
            new_node(&mut m, nodes.kind, null_mut(), k);
        }
        // SAFETY: live nodes.
        unsafe {
            assert_eq!((number_of((*noticed).other), number_of((*unnoticed).other)), (111, 222));
        }
        // From here on cycles are full, and as far apart as full ones are.
        assert_eq!(m.collect_young().scope, Scope::Full);
        assert!(nodes.heap.stats().degraded.is_some());
    });
}

/// Two workers failed in the parent, and then the child's cannot be forked: no colour is used twice.
#[test]
fn a_copy_made_after_failures_loses_nothing() {
    passes("a_copy_made_after_failures_loses_nothing", || {
        for rung in rungs() {
            let builder = Heap::builder(PlainPointers).limit(64 << 20).rung(rung).poison(true);
            let nodes = Nodes::new(builder.host_fork(HostFork::Copy).cycle_every(1 << 20));
            if nodes.heap.ladder().chosen().snapshot == Snapshot::StopTheWorld {
                continue;
            }
            let mut m = nodes.heap.attach(StackScan::None).unwrap();
            // In a worker: it ends without having marked anything.
            inject::arm(Call::WorkerMap, 0, u32::MAX, Errno::NOMEM);
            let first = new_node(&mut m, nodes.kind, null_mut(), 0);
            let _handle = nodes.heap.handle(Address::from_ptr(first));
            let fail = |m: &mut palimpsest::Mutator<PlainPointers>, failures| {
                while nodes.heap.stats().failures < failures {
                    new_node(m, nodes.kind, null_mut(), 1);
                }
            };
            fail(&mut m, 1);
            let young = new_node(&mut m, nodes.kind, null_mut(), 4711);
            // SAFETY: a live node; no safepoint since the young one was made.
            unsafe { (*first).other = young };
            fail(&mut m, 2);
            let (_, end, said) = in_child((), |()| {
                inject::disarm();
                inject::arm(Call::Fork, 0, 1, Errno::AGAIN);
                m.collect();
                for k in 0..200_000 {
                    new_node(&mut m, nodes.kind, null_mut(), k);
                }
                // SAFETY: live nodes.
                i32::from(unsafe { number_of((*first).other) } != 4711)
            });
            inject::disarm();
            assert!(end.success(), "{rung}: {end}: {said}");
        }
    });
}

/// A cycle of the young that becomes a full one in its pause, since which pages were written is not known.
#[test]
fn a_cycle_that_becomes_a_full_one_in_its_pause_loses_nothing() {
    passes("a_cycle_that_becomes_a_full_one_in_its_pause_loses_nothing", || {
        const NODES: u64 = 400_000;
        let Some(rung) = rungs().into_iter().find(|rung| rung.to_string() == "forkcow/async") else {
            return eprintln!("skipped: no asynchronous tracking here");
        };
        let nodes = Nodes::new(Heap::builder(PlainPointers).limit(256 << 20).rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let first = new_node(&mut m, nodes.kind, null_mut(), 0);
        let _handle = nodes.heap.handle(Address::from_ptr(first));
        // More than can be marked in the pause.
        for number in 1..NODES {
            let node = new_node(&mut m, nodes.kind, null_mut(), number);
            // SAFETY: live nodes, without a safepoint since the last was made.
            unsafe {
                (*node).next = (*first).next;
                (*first).next = node;
            }
        }
        m.collect();
        inject::arm(Call::Scan, 0, 1, Errno::NOMEM);
        let record = m.collect_young();
        assert_eq!((inject::failed(Call::Scan), record.scope), (1, Scope::Full), "{record}");
        inject::disarm();
        assert!(record.marked_objects >= NODES && record.untracked.is_some(), "{record}");
        for number in 0..200_000 {
            new_node(&mut m, nodes.kind, null_mut(), number);
        }
        let (mut at, mut count) = (first, 0);
        while !at.is_null() {
            number_of(at);
            count += 1;
            // SAFETY: a live node.
            at = unsafe { (*at).next };
        }
        assert_eq!(count, NODES);
    });
}

/// Roots, and pages that were written to, are part of what is to be done in the pause: where there are too many, it is given up.
#[test]
fn a_pause_is_not_as_long_as_what_there_is_to_look_at() {
    for rung in rungs() {
        let nodes = Nodes::new(Heap::builder(PlainPointers).limit(1 << 30).rung(rung));
        let chosen = nodes.heap.ladder().chosen();
        if chosen.snapshot == Snapshot::StopTheWorld || chosen.delivery.is_none() {
            continue;
        }
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let first = new_node(&mut m, nodes.kind, null_mut(), 0);
        let _handle = nodes.heap.handle(Address::from_ptr(first));
        m.collect();
        let roots = vec![first; 4 << 20];
        let range = RootRange::Fixed { start: roots.as_ptr().cast(), len: roots.len() };
        // SAFETY: outlives the guard, and is not written to.
        let guard = unsafe { nodes.heap.add_roots(range) };
        let record = m.collect_young();
        assert!(!record.in_pause && record.tried_ms > 0.0, "{rung}: {record}");
        drop(guard);

        let len = 128usize << 20;
        let array = m.alloc(Kind::UNIFORM, len).unwrap().as_ptr();
        let _array = nodes.heap.handle(Address::from_ptr(array));
        let write_all = || {
            for at in (0..len).step_by(4096) {
                // SAFETY: a word of the live array.
                unsafe { array.add(at).cast::<*mut Node>().write(first) };
            }
        };
        write_all();
        m.collect();
        // Until one is tried in the pause again.
        let quiet = (0..50).any(|_| m.collect_young().in_pause);
        assert!(quiet, "{rung}");
        write_all();
        let record = m.collect_young();
        assert!(!record.in_pause && record.tried_ms > 0.0, "{rung}: {record}");
        assert_eq!(number_of(first), 0);
    }
}
