//! The host forks: the child has no heap, and whatever it does with what it inherited, the parent does not notice.

mod common;

use common::child::{alone, in_child, is_stopped_by};
use common::{AtEnd, Node, Nodes, new_node, number_of, rungs};
use palimpsest::{
    Address, Ephemeron, Heap, HeapBuilder, Layout, Mutator, PlainPointers, RootRange, StackScan, WeakMap,
    WeakRef, WeakSlot, WeakTable,
};
use palimpsest_runtime::sys::process::{ChildExit, Forked, exit_now, fork};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed, Ordering::SeqCst};

const LIST: u64 = 5_000;

fn builder() -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(16 << 20).verify(true).poison(true)
}

fn new_list(m: &mut Mutator<PlainPointers>, nodes: &Nodes) -> *mut Node {
    (0..LIST).fold(std::ptr::null_mut(), |list, number| new_node(m, nodes.kind, list, number))
}

/// Writes to every node of a list, and checks all of them.
fn rewrite(list: *mut Node) {
    let mut at = list;
    for number in (0..LIST).rev() {
        assert_eq!(number_of(at), number);
        // SAFETY: a live node.
        at = unsafe {
            (*at).other = at;
            (*at).next
        };
    }
    assert!(at.is_null());
}

#[test]
fn a_child_that_drops_what_it_inherited_does_not_disturb_its_parent() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
        let list = new_list(&mut m, &nodes);
        let handle = nodes.heap.handle(Address::from_ptr(list));
        let table = WeakTable::new(&nodes.heap).unwrap();
        let at = handle.get();
        let weak = WeakRef::new(&mut m, at).unwrap();
        let (map, ephemeron) = (WeakMap::new(&mut m).unwrap(), Ephemeron::new(&mut m, at, 0).unwrap());
        map.insert(&mut m, at, 0).unwrap();
        m.register_finalizer(at, 1).unwrap();
        m.collect();
        // Past the C library, whose handlers do not run then; and through it.
        // SAFETY: the child drops values that touch nothing in a child, and exits.
        match unsafe { fork() }.unwrap() {
            Forked::Child => {
                drop(handle);
                drop((table, weak, map, ephemeron));
                drop(m);
                let is_here = nodes.heap.is_here();
                drop(nodes);
                exit_now(if is_here { 8 } else { 7 });
            }
            Forked::Parent(mut child) => assert_eq!(child.wait(), ChildExit::Status(7)),
        }
        let what = (handle, (table, weak, map, ephemeron), m, nodes);
        let (what, end, said) = in_child(what, |what| {
            let is_here = what.3.heap.is_here();
            drop(what);
            if is_here { 8 } else { 7 }
        });
        assert_eq!((end.code(), said.as_str()), (Some(7), ""), "{rung}");
        let (handle, (table, weak, map, ephemeron), mut m, nodes) = what;
        for _ in 0..3 {
            rewrite(handle.get().as_ptr());
            let record = m.collect();
            assert!(record.failure.is_none() && record.marked_objects >= LIST, "{record}");
            if nodes.heap.stats().degraded.is_none() {
                assert_eq!(record.fallback, None);
            }
        }
        assert!(table.is_empty());
        assert_eq!((weak.get(&mut m), map.get(&mut m, at), map.len()), (Some(at), Some(0), 1));
        assert_eq!((ephemeron.get(&mut m), nodes.heap.stats().finalizers_registered), (Some((at, 0)), 1));
    }
}

#[test]
fn children_do_not_inherit_the_heap() {
    let nodes = Nodes::new(builder());
    let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
    let node = new_node(&mut m, nodes.kind, std::ptr::null_mut(), 1);
    // SAFETY: the child reads what is not mapped there, which is what this shows.
    match unsafe { fork() }.unwrap() {
        Forked::Child => {
            // SAFETY: see above.
            let number = unsafe { (&raw const (*node).number).read_volatile() };
            exit_now(number as i32);
        }
        Forked::Parent(mut child) => assert_eq!(child.wait(), ChildExit::Signal(11)),
    }
}

#[test]
fn a_child_that_touches_the_heap_is_told_what_happened() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
        let node = new_node(&mut m, nodes.kind, std::ptr::null_mut(), 1);
        let leaf = m.alloc(palimpsest::Kind::LEAF, 64).unwrap().as_ptr().cast::<u64>();
        for write in [false, true] {
            for at in [node.cast::<u64>(), leaf] {
                let ((), end, said) = in_child((), |()| {
                    // SAFETY: ends this child, which is what this shows.
                    unsafe { if write { at.write_volatile(1) } else { _ = at.read_volatile() } }
                    0
                });
                assert_eq!(end.signal(), Some(libc::SIGSEGV), "{rung}: {end}: {said}");
                assert_eq!(said.matches("palimpsest").count(), 1, "{said}");
                for part in ["is a fork of the one that made the heap at 0x", "call exec", &format!("{at:p}")]
                {
                    assert!(said.contains(part), "{rung}: {said}");
                }
            }
        }
    }
}

#[test]
fn a_fault_elsewhere_is_not_taken_for_one_in_a_heap() {
    let _nodes = Nodes::new(builder());
    let ((), end, said) = in_child((), |()| {
        // SAFETY: ends this child.
        unsafe { std::ptr::without_provenance::<u64>(8).read_volatile() };
        0
    });
    assert_eq!((end.signal(), said.as_str()), (Some(libc::SIGSEGV), ""));
}

/// Something that a child without a heap cannot do.
type Stop<'a> = &'a dyn Fn(&mut Mutator<PlainPointers>);

#[test]
fn every_entry_point_says_so_in_a_child_and_none_hangs() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung).cycle_every(1 << 20));
        let table = WeakTable::new(&nodes.heap).unwrap();
        let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
        let list = new_list(&mut m, &nodes);
        let word = [0u64; 1];
        let at = Address::from_ptr(list);
        let (weak, map) = (WeakRef::new(&mut m, at).unwrap(), WeakMap::new(&mut m).unwrap());
        let slot = WeakSlot::new(&mut m, at, at).unwrap();
        let ephemeron = Ephemeron::new(&mut m, at, 0).unwrap();
        let stops: [(&str, Stop<'_>); 22] = [
            ("Mutator::collect", &|m| _ = m.collect()),
            ("Heap::stats", &|_| _ = nodes.heap.stats()),
            ("Heap::handle", &|_| drop(nodes.heap.handle(Address::from_ptr(list)))),
            ("Heap::add_roots", &|_| {
                // SAFETY: does not get so far.
                drop(unsafe { nodes.heap.add_roots(RootRange::Fixed { start: word.as_ptr(), len: 1 }) });
            }),
            ("Heap::define_layout", &|_| _ = nodes.heap.define_layout(Layout::mask(1))),
            ("WeakTable", &|_| _ = table.len()),
            ("WeakTable", &|m| _ = table.find(m, 1, |_| true)),
            ("Mutator::alloc", &|m| _ = m.alloc(nodes.kind, 8 << 20)),
            ("WeakRef::new", &|m| _ = WeakRef::new(m, at)),
            ("WeakRef", &|m| _ = weak.get(m)),
            ("WeakRef", &|m| weak.set(m, at)),
            ("WeakSlot::new", &|m| _ = WeakSlot::new(m, at, at)),
            ("WeakSlot::get", &|m| _ = slot.get(m)),
            ("WeakMap::new", &|m| _ = WeakMap::new(m)),
            ("WeakMap", &|m| _ = map.insert(m, at, 0)),
            ("WeakMap", &|_| _ = map.len()),
            ("Ephemeron", &|m| _ = ephemeron.get(m)),
            ("Mutator::register_finalizer", &|m| _ = m.register_finalizer(at, 0)),
            ("Mutator::take_finalizable", &|m| _ = m.take_finalizable()),
            ("Mutator::wait_finalizable", &|m| _ = m.wait_finalizable(None)),
            ("Mutator::queue_all_finalizers", &|m| _ = m.queue_all_finalizers()),
            ("Heap::finalizable", &|_| _ = nodes.heap.finalizable()),
        ];
        for (name, stop) in stops {
            let ((), end, said) = in_child((), |()| {
                stop(&mut m);
                0
            });
            assert_eq!(end.signal(), Some(libc::SIGABRT), "{rung}: {name}: {end}: {said}");
            assert!(said.contains(name) && said.contains("call exec"), "{rung}: {name}: {said}");
        }
        // In a run that the thread had, it is the store that faults; without one, it is as above.
        let ((), end, said) = in_child((), |()| {
            new_list(&mut m, &nodes);
            0
        });
        assert!(is_stopped_by(end, &said), "{rung}: {end}: {said}");
        let ((), end, _) = in_child((), |()| {
            assert!(nodes.heap.attach(StackScan::None).unwrap_err().to_string().contains("call exec"));
            for _ in 0..100 {
                m.poll();
                m.blocking(std::thread::yield_now);
            }
            0
        });
        assert_eq!(end.code(), Some(0), "{rung}");
        rewrite(list);
    }
}

#[test]
fn nothing_comes_where_the_heap_was_and_no_descriptor_reaches_into_the_parent() {
    if !alone("nothing_comes_where_the_heap_was_and_no_descriptor_reaches_into_the_parent") {
        return;
    }
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
        let node = new_node(&mut m, nodes.kind, std::ptr::null_mut(), 1);
        let ((), end, said) = in_child((), |()| {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
            let at = node.map_addr(|at| at / 4096 * 4096).cast();
            // SAFETY: a new mapping that replaces nothing.
            let got = unsafe { libc::mmap(at, 4096, libc::PROT_READ, flags, -1, 0) };
            assert_eq!(got, libc::MAP_FAILED, "the place is taken");
            for fd in std::fs::read_dir("/proc/self/fd").unwrap() {
                let Ok(target) = std::fs::read_link(fd.unwrap().path()) else { continue };
                let target = target.to_string_lossy();
                for ours in ["userfaultfd", "palimpsest-", "pagemap"] {
                    assert!(!target.contains(ours), "{target}");
                }
            }
            0
        });
        assert_eq!(end.code(), Some(0), "{rung}: {said}");
    }
}

#[test]
fn a_child_can_have_a_heap_of_its_own() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
        let list = new_list(&mut m, &nodes);
        let ((), end, said) = in_child((), |()| {
            for _ in 0..2 {
                let own = Nodes::new(builder().rung(rung));
                let mut m = own.heap.attach(StackScan::Conservative).unwrap();
                let list = new_list(&mut m, &own);
                for _ in 0..3 {
                    m.collect();
                    rewrite(list);
                }
                assert_eq!(own.heap.stats().failures, 0);
                // A grandchild has neither.
                let ((), end, said) = in_child((), |()| {
                    // SAFETY: ends this process.
                    unsafe { list.cast::<u64>().write_volatile(1) };
                    0
                });
                assert!(is_stopped_by(end, &said), "{end}: {said}");
            }
            // The parent's is as far away as before.
            // SAFETY: ends this process.
            unsafe { list.cast::<u64>().read_volatile() };
            0
        });
        assert!(is_stopped_by(end, &said), "{rung}: {end}: {said}");
        m.collect();
        rewrite(list);
    }
}

/// Children come and go while cycles run and threads write to the heap: none is lost, none falls back, none fails.
#[test]
fn the_cycle_in_flight_is_not_disturbed() {
    for rung in rungs() {
        // Room enough that no thread is out of memory because others were faster.
        let nodes = Nodes::new(builder().rung(rung).limit(64 << 20).cycle_every(512 << 10));
        let done = AtomicBool::new(false);
        std::thread::scope(|s| {
            for k in 0..2 {
                let (nodes, done) = (&nodes, &done);
                s.spawn(move || {
                    let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
                    let mut list = new_list(&mut m, nodes);
                    while !done.load(Relaxed) {
                        rewrite(list);
                        list = new_list(&mut m, nodes);
                        if k == 0 {
                            // In a region in which the world may be stopped, now and after the child is back from it.
                            let ((), end, said) = m.blocking(|| in_child((), |()| 3));
                            assert_eq!((end.code(), said.as_str()), (Some(3), ""));
                            let ((), end, _) = in_child((), |()| {
                                m.blocking(|| ());
                                m.poll();
                                3
                            });
                            assert_eq!(end.code(), Some(3));
                        }
                    }
                });
            }
            let _end = AtEnd(&done);
            let mut forks = 0;
            while nodes.heap.stats().cycles < 25 || forks < 25 {
                let ((), end, said) = in_child((), |()| 0);
                assert_eq!((end.code(), said.as_str()), (Some(0), ""), "{rung}");
                forks += 1;
            }
        });
        let stats = nodes.heap.stats();
        assert_eq!((stats.failures, stats.fallbacks), (0, 0), "{rung}: {stats}");
        assert_eq!(stats.degraded, nodes.heap.ladder().degraded(), "{rung}");
    }
}

#[test]
fn programs_are_started_as_ever() {
    for rung in rungs() {
        let nodes = Nodes::new(builder().rung(rung));
        let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
        let list = new_list(&mut m, &nodes);
        for _ in 0..5 {
            // By `posix_spawn`, and by `fork` and `exec`.
            let mut spawned = Command::new("true");
            let mut forked = Command::new("true");
            // SAFETY: does nothing.
            unsafe { forked.pre_exec(|| Ok(())) };
            assert!(spawned.status().unwrap().success() && forked.status().unwrap().success());
            rewrite(list);
            m.collect();
        }
    }
}

/// Between two safepoints nothing is reclaimed, whatever a thread has on its stack. Where no heap is copied, `fork` is none.
#[test]
fn a_fork_is_no_safepoint() {
    if !alone("a_fork_is_no_safepoint") {
        return;
    }
    for rung in rungs() {
        let nodes = Nodes::new(Heap::builder(PlainPointers).limit(16 << 20).rung(rung).poison(true));
        let done = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                let mut m = nodes.heap.attach(StackScan::None).unwrap();
                while !done.load(Relaxed) {
                    m.collect();
                    (0..1000).for_each(|k| _ = new_node(&mut m, nodes.kind, std::ptr::null_mut(), k));
                }
            });
            let mut m = nodes.heap.attach(StackScan::None).unwrap();
            for number in 0..50 {
                let node = new_node(&mut m, nodes.kind, std::ptr::null_mut(), number);
                for _ in 0..3 {
                    in_child((), |()| 0);
                }
                assert_eq!(number_of(node), number);
                m.poll();
            }
            done.store(true, Relaxed);
        });
    }
}

/// A child may drop a table that another thread was laying out anew when the process forked.
#[test]
fn a_table_that_was_in_use_is_dropped_in_a_child() {
    if !alone("a_table_that_was_in_use_is_dropped_in_a_child") {
        return;
    }
    static TABLE: AtomicPtr<WeakTable> = AtomicPtr::new(std::ptr::null_mut());
    const PAGES: usize = 200;
    let nodes = Nodes::new(builder());
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
            let at = Address::from_ptr(new_node(&mut m, nodes.kind, std::ptr::null_mut(), 1));
            while !done.load(Relaxed) {
                let table = Box::into_raw(Box::new(WeakTable::new(&nodes.heap).unwrap()));
                TABLE.store(table, SeqCst);
                // SAFETY: freed below.
                (0..700).for_each(|hash| unsafe { &*table }.insert(&mut m, hash, at).unwrap());
                TABLE.store(std::ptr::null_mut(), SeqCst);
                // SAFETY: made above; the children that have it are other processes.
                drop(unsafe { Box::from_raw(table) });
                m.poll();
            }
        });
        let _end = AtEnd(&done);
        let mut tried = 0;
        while tried < 100 {
            let ((), end, said) = in_child((), |()| {
                let table = TABLE.load(SeqCst);
                if table.is_null() {
                    return 1;
                }
                // SAFETY: new mappings, of this child's own; and the table, which nobody else has in this process.
                let own = unsafe {
                    let access = libc::PROT_READ | libc::PROT_WRITE;
                    let (flags, none) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, std::ptr::null_mut());
                    let own = [(); PAGES].map(|()| libc::mmap(none, 4096, access, flags, -1, 0));
                    drop(table.read());
                    own
                };
                let mut state = 0;
                // SAFETY: asks whether a page is mapped.
                let is_there = |at: &*mut libc::c_void| unsafe { libc::mincore(*at, 4096, &mut state) == 0 };
                if own.iter().all(is_there) { 0 } else { 2 }
            });
            assert!(
                matches!(end.code(), Some(0 | 1)),
                "memory of the child's own is gone, or it died: {end}: {said}"
            );
            tried += u32::from(end.code() == Some(0));
        }
    });
}
