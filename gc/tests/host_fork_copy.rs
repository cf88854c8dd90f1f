//! The host forks, and the child has a copy of the heap: both go on collecting, and neither sees the other.

mod common;

use common::child::{alone, in_child, is_stopped_by};
use common::{Node, Nodes, new_node, number_of, rungs};
use palimpsest::{
    Address, Ephemeron, Handle, Heap, HeapBuilder, HostFork, Kind, Mutator, PlainPointers, StackScan,
    WeakMap, WeakRef, WeakTable,
};
use palimpsest_runtime::sys::Errno;
use palimpsest_runtime::sys::inject::{self, Call};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

const LIST: u64 = 5_000;

fn builder() -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(32 << 20).verify(true).poison(true).host_fork(HostFork::Copy)
}

fn new_list(m: &mut Mutator<PlainPointers>, nodes: &Nodes) -> *mut Node {
    (0..LIST).fold(std::ptr::null_mut(), |list, number| new_node(m, nodes.kind, list, number))
}

/// Checks a list, whose nodes all bear `mark`, and has them bear another.
fn remark(list: *mut Node, mark: u64, new: u64) {
    let mut at = list;
    for number in (0..LIST).rev() {
        assert_eq!(number_of(at), number | mark << 32, "another process's mark");
        // SAFETY: a live node.
        at = unsafe {
            (*at).other = at;
            (*at).number = number | new << 32;
            (*at).check = !(*at).number;
            (*at).next
        };
    }
    assert!(at.is_null());
}

/// Collects and allocates, and checks that `list` stays as it is.
fn work(m: &mut Mutator<PlainPointers>, nodes: &Nodes, list: *mut Node, mut mark: u64) -> u64 {
    for _ in 0..4 {
        new_list(m, nodes);
        let bytes = m.alloc(Kind::LEAF, 200_000).unwrap().as_ptr();
        // SAFETY: a new object.
        unsafe { bytes.write_bytes(7, 200_000) };
        let record = m.collect();
        assert!(record.failure.is_none() && record.marked_objects >= LIST, "{record}");
        remark(list, mark, mark + 1);
        mark += 1;
    }
    let stats = nodes.heap.stats();
    assert_eq!((stats.failures, stats.fallbacks), (0, 0), "{stats}");
    assert_eq!(stats.degraded, nodes.heap.ladder().degraded(), "the barrier was not given up");
    mark
}

#[track_caller]
fn is_well((_, end, said): ((), ExitStatus, String), what: &dyn std::fmt::Display) {
    assert_eq!((end.code(), said.as_str()), (Some(0), ""), "{what}: {end}");
}

#[test]
fn parent_child_and_grandchild_go_on_collecting_apart() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
        let list = new_list(&mut m, &nodes);
        // Pages that are armed at the fork, pages that are not, pages that were saved.
        let mark = work(&mut m, &nodes, list, 0);
        // A child that does nothing with its copy passes it on.
        let grandchild = |()| {
            work(&mut m, &nodes, list, mark);
            0
        };
        is_well(
            in_child((), |()| {
                is_well(in_child((), grandchild), &rung);
                0
            }),
            &rung,
        );
        for round in 0..3 {
            is_well(
                in_child((), |()| {
                    let mark = work(&mut m, &nodes, list, mark + round);
                    is_well(
                        in_child((), |()| {
                            let mark = work(&mut m, &nodes, list, mark);
                            work(&mut m, &nodes, list, mark);
                            0
                        }),
                        &rung,
                    );
                    work(&mut m, &nodes, list, mark);
                    0
                }),
                &rung,
            );
            remark(list, mark + round, mark + round + 1);
        }
        work(&mut m, &nodes, list, mark + 3);
    }
}

#[test]
fn handles_weak_tables_and_large_objects_are_copied() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let table = WeakTable::new(&nodes.heap).unwrap();
        let handles: Vec<Handle> = (0..3_000)
            .map(|number| {
                let node = new_node(&mut m, nodes.kind, std::ptr::null_mut(), number);
                table.insert(&mut m, number, Address::from_ptr(node)).unwrap();
                nodes.heap.handle(Address::from_ptr(node))
            })
            .collect();
        let large = m.alloc(Kind::UNIFORM, 3 << 20).unwrap().as_ptr().cast::<usize>();
        let _large = nodes.heap.handle(Address::from_ptr(large));
        // SAFETY: the last word of a new object.
        unsafe { large.add((3 << 17) - 1).write(handles[7].get().as_usize()) };
        let check = |m: &mut Mutator<PlainPointers>| {
            m.collect();
            for (number, handle) in handles.iter().enumerate() {
                assert_eq!(number_of(handle.get().as_ptr()), number as u64);
                let found = table.find(m, number as u64, |node| node == handle.get());
                assert_eq!(found, Some(handle.get()));
            }
            // SAFETY: as above.
            assert_eq!(unsafe { large.add((3 << 17) - 1).read() }, handles[7].get().as_usize());
        };
        check(&mut m);
        is_well(
            in_child((), |()| {
                check(&mut m);
                for number in 3_000..9_000 {
                    let node = new_node(&mut m, nodes.kind, std::ptr::null_mut(), number);
                    table.insert(&mut m, number, Address::from_ptr(node)).unwrap();
                }
                m.collect();
                assert_eq!(table.len(), 3_000, "what nothing refers to is gone");
                check(&mut m);
                0
            }),
            &rung,
        );
        assert_eq!(table.len(), 3_000);
        check(&mut m);
    }
}

#[test]
fn weak_references_maps_and_finalizers_are_copied() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let map = WeakMap::new(&mut m).unwrap();
        let mut all = Vec::new();
        for number in 0..3_000 {
            let key = nodes.heap.handle(Address::from_ptr(new_node(
                &mut m,
                nodes.kind,
                std::ptr::null_mut(),
                number,
            )));
            let value = new_node(&mut m, nodes.kind, key.get().as_ptr(), number + 10_000);
            map.insert(&mut m, key.get(), value as u64).unwrap();
            let weak = WeakRef::new(&mut m, key.get()).unwrap();
            let ephemeron = Ephemeron::new(&mut m, key.get(), value as u64).unwrap();
            m.register_finalizer(key.get(), number).unwrap();
            all.push((Some(key), weak, ephemeron));
        }
        // Some are queued before the fork.
        all[..100].iter_mut().for_each(|(key, ..)| *key = None);
        m.collect();
        let mut go_on = || {
            all[100..200].iter_mut().for_each(|(key, ..)| *key = None);
            m.collect();
            assert_eq!(nodes.heap.finalizable(), 200);
            for number in 0..200 {
                let (object, token) = m.take_finalizable().expect("queued");
                assert_eq!((number_of(object.as_ptr()), token), (number, number));
            }
            m.collect();
            assert_eq!((map.len(), nodes.heap.stats().finalizers_registered), (2_800, 2_800));
            for (number, (key, weak, ephemeron)) in (0..).zip(&all) {
                let key = key.as_ref().map(Handle::get);
                assert_eq!(weak.get(&mut m), key);
                let got = ephemeron.get(&mut m);
                assert_eq!(got.map(|(key, _)| key), key);
                if let Some((key, value)) = got {
                    assert_eq!(number_of(Address::new(value as usize).as_ptr()), number + 10_000);
                    assert_eq!(map.get(&mut m, key), Some(value));
                }
            }
            // New ones.
            for number in 0..5_000 {
                let node = Address::from_ptr(new_node(&mut m, nodes.kind, std::ptr::null_mut(), number));
                map.insert(&mut m, node, 0).unwrap();
                std::mem::forget(WeakRef::new(&mut m, node).unwrap());
                m.register_finalizer(node, 1).unwrap();
            }
            assert_eq!(m.collect().finalizers_queued, 5_000);
            assert!(m.wait_finalizable(None));
        };
        is_well(
            in_child((), |()| {
                go_on();
                0
            }),
            &rung,
        );
        go_on();
    }
}

/// A thread that is not attached forks, and so does one in a blocking region.
#[test]
fn any_thread_may_fork() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
        let list = new_list(&mut m, &nodes);
        let handle = nodes.heap.handle(Address::from_ptr(list));
        let child = || {
            let mut m = nodes.heap.attach(StackScan::Conservative).expect("a thread of the child");
            work(&mut m, &nodes, handle.get().as_ptr(), 0);
            0
        };
        m.blocking(|| {
            std::thread::scope(|s| {
                s.spawn(|| is_well(in_child((), |()| child()), &rung));
            });
        });
        let mut forked = m.blocking(|| in_child(false, |_| 0));
        assert_eq!(forked.1.code(), Some(0));
        forked.0 = true;
        drop(handle);
        // The child is back from the region, and its world may stop.
        let in_region = || {
            // SAFETY: see `in_child`; the child exits below.
            unsafe { libc::fork() }
        };
        let pid = m.blocking(in_region);
        let is_child = pid == 0;
        if is_child {
            // SAFETY: as above.
            unsafe { libc::alarm(60) };
            let well =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&mut m, &nodes, list, 0)));
            // SAFETY: as above.
            unsafe { libc::_exit(i32::from(well.is_err())) };
        }
        let mut status = 0;
        // SAFETY: waits for that child.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        assert_eq!(status, 0, "{rung}");
        work(&mut m, &nodes, list, 0);
    }
}

/// Threads allocate and write, cycles run, and two threads fork all the time; each child checks what it has.
#[test]
fn forks_in_the_middle_of_it_all() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung).limit(64 << 20).cycle_every(1 << 20));
        let done = AtomicBool::new(false);
        std::thread::scope(|s| {
            let writers: Vec<_> = (0..2)
                .map(|k| {
                    let (nodes, done) = (&nodes, &done);
                    s.spawn(move || {
                        let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
                        let list = new_list(&mut m, nodes);
                        let mut mark = 0;
                        while !done.load(Relaxed) {
                            new_list(&mut m, nodes);
                            remark(list, mark, mark + 1);
                            mark += 1;
                            if mark % 16 == k {
                                let child = |()| {
                                    new_list(&mut m, nodes);
                                    m.collect();
                                    remark(list, mark, mark + 1);
                                    assert!(m.collect().marked_objects >= LIST);
                                    0
                                };
                                is_well(in_child((), child), &"a child in the middle");
                            }
                        }
                    })
                })
                .collect();
            let start = std::time::Instant::now();
            while start.elapsed().as_secs_f64() < 1.5 && !writers.iter().any(|w| w.is_finished()) {
                std::thread::sleep(Duration::from_millis(20));
            }
            done.store(true, Relaxed);
        });
        let stats = nodes.heap.stats();
        assert_eq!((stats.failures, stats.fallbacks), (0, 0), "{rung}: {stats}");
    }
}

/// One heap with a copy, one without: each thread of both.
#[test]
fn a_heap_without_a_copy_beside_one() {
    for rung in rungs() {
        let copied = Nodes::new(builder().rung(rung));
        let other = Nodes::new(builder().rung(rung).host_fork(HostFork::NoHeap));
        let mut m = copied.heap.attach(StackScan::Conservative).unwrap();
        let mut n = other.heap.attach(StackScan::Conservative).unwrap();
        let lists = [new_list(&mut m, &copied), new_list(&mut n, &other)];
        let ((), end, said) = in_child((), |()| {
            work(&mut m, &copied, lists[0], 0);
            assert!(other.heap.attach(StackScan::None).is_err());
            number_of(lists[1]);
            0
        });
        assert!(is_stopped_by(end, &said), "{rung}: {end}: {said}");
        work(&mut m, &copied, lists[0], 0);
        work(&mut n, &other, lists[1], 0);
    }
}

/// The child drops the heap, makes another, and ends in the ordinary way.
#[test]
fn a_copy_can_be_dropped() {
    for rung in rungs() {
        let mut nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
        new_list(&mut m, &nodes);
        for is_used in [false, true] {
            let what = (m, nodes);
            let (what, end, said) = in_child(what, |(mut m, nodes)| {
                if is_used {
                    m.collect();
                }
                drop((m, nodes));
                let nodes = Nodes::new(builder().rung(rung));
                let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
                let list = new_list(&mut m, &nodes);
                work(&mut m, &nodes, list, 0);
                0
            });
            (m, nodes) = what;
            assert_eq!((end.code(), said.as_str()), (Some(0), ""), "{rung}");
            m.collect();
        }
    }
}

/// Where the copy cannot be made, the child has no heap, and says why; the parent goes on.
#[test]
fn a_copy_that_cannot_be_made_is_missed_in_the_child_alone() {
    if !alone("a_copy_that_cannot_be_made_is_missed_in_the_child_alone") {
        return;
    }
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
        let list = new_list(&mut m, &nodes);
        let mut mark = 0;
        let mut calls = vec![(Call::Memfd, 0), (Call::Memfd, 2), (Call::DoFork, 0)];
        if nodes.heap.ladder().chosen().door.is_some() {
            calls.push((Call::UffdOpen, 0));
        }
        for (call, after) in calls {
            inject::arm(call, after, u32::MAX, Errno::NOMEM);
            let ((), end, said) = in_child((), |()| {
                inject::disarm();
                assert!(!nodes.heap.is_here());
                m.collect();
                0
            });
            inject::disarm();
            assert!(nodes.heap.is_here());
            assert!(is_stopped_by(end, &said), "{rung}: {call:?}: {end}: {said}");
            assert!(said.contains("HostFork::Copy asks for could not be made"), "{said}");
            mark = work(&mut m, &nodes, list, mark);
            let child = |()| {
                assert!(nodes.heap.is_here());
                work(&mut m, &nodes, list, mark);
                0
            };
            is_well(in_child((), child), &rung);
        }
    }
}

#[test]
fn a_child_without_its_copy_keeps_none_of_it() {
    if !alone("a_child_without_its_copy_keeps_none_of_it") {
        return;
    }
    let nodes = Nodes::new(builder());
    let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
    std::hint::black_box(new_list(&mut m, &nodes));
    // What is private cannot be inherited, when the files are copied already.
    for call in [Call::DoFork, Call::DontFork] {
        inject::arm(call, 0, u32::MAX, Errno::NOMEM);
    }
    let ((), end, _) = in_child((), |()| {
        let links = std::fs::read_dir("/proc/self/fd").expect("descriptors").flatten();
        let targets = links.filter_map(|link| std::fs::read_link(link.path()).ok());
        targets.filter(|target| target.to_string_lossy().contains("palimpsest-copy")).count() as i32
    });
    inject::disarm();
    assert_eq!(end.code(), Some(0), "descriptors of copies");
}

#[test]
fn tables_of_before_the_fork_are_freed_in_a_child() {
    const TABLES: usize = 50;
    let nodes = Nodes::new(builder());
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    let tables: Vec<_> = (0..TABLES).map(|_| WeakTable::new(&nodes.heap).unwrap()).collect();
    let (tables, end, said) = in_child(tables, |tables| {
        let mappings = || std::fs::read_to_string("/proc/self/maps").expect("mappings").lines().count();
        m.collect();
        let before = mappings();
        drop(tables);
        // Each is a mapping by itself, with a guard on either side.
        i32::from(mappings() + TABLES > before)
    });
    assert_eq!((end.code(), said.as_str()), (Some(0), ""), "{end}");
    drop(tables);
}
