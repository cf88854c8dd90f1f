//! Threads that step out of the heap, and threads that are pinned in it: what is a safepoint, and what is refused.

mod common;

use common::{Node, Nodes, check_list, list, new_node, rungs};
use palimpsest::{
    Address, Ephemeron, Heap, InlineAlloc, Kind, Mutator, PlainPointers, StackScan, WeakMap, WeakRef,
    WeakSlot, WeakTable,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::time::Duration;

fn nodes(rung: palimpsest::Wish) -> Nodes {
    Nodes::new(Heap::builder(PlainPointers).limit(64 << 20).rung(rung).verify(true).poison(true))
}

fn refuses(what: &str, f: impl FnOnce()) {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("it was not refused");
    let message = payload.downcast_ref::<String>().map(String::as_str);
    let message = message.or(payload.downcast_ref::<&str>().copied()).unwrap_or_default();
    assert!(message.contains(what), "{message}");
}

/// Another thread asks for cycles all the time; none comes between what a pinned thread does.
#[test]
fn nothing_that_a_pinned_thread_does_is_a_safepoint() {
    for rung in rungs() {
        let nodes = nodes(rung);
        let (heap, kind) = (&nodes.heap, nodes.kind);
        let other = Nodes::new(Heap::builder(PlainPointers).limit(8 << 20).rung(rung));
        let (stop, cycles) = (AtomicBool::new(false), AtomicU32::new(0));
        std::thread::scope(|s| {
            s.spawn(|| {
                let mut m = heap.attach(StackScan::None).unwrap();
                while !stop.load(SeqCst) {
                    m.collect();
                    cycles.fetch_add(1, SeqCst);
                }
            });
            let _end = common::AtEnd(&stop);
            let mut m = heap.attach(StackScan::None).unwrap();
            let mut elsewhere = other.heap.attach(StackScan::None).unwrap();
            for round in 0..20 {
                m.step_out();
                // The other thread's cycles go on without this one.
                let before = cycles.load(SeqCst);
                while cycles.load(SeqCst) < before + 2 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                m.step_in_pinned();
                let all = list(&mut m, kind, 5000);
                std::thread::sleep(Duration::from_millis(2));
                m.poll();
                // SAFETY: the node is written at once.
                let large = unsafe { m.alloc_no_safepoint(Kind::LEAF, 100_000) }.unwrap();
                // Waiting in another heap is no safepoint of this one.
                if round % 4 == 0 {
                    elsewhere.collect();
                    elsewhere.blocking(|| std::thread::sleep(Duration::from_millis(2)));
                }
                check_list(list(&mut m, kind, 2000), 2000);
                check_list(all, 5000);
                // SAFETY: a live object.
                unsafe { large.write_bytes(1, 100_000) };
            }
        });
        assert!(cycles.load(SeqCst) >= 40, "{rung}");
    }
}

#[test]
fn what_would_wait_for_itself_is_refused() {
    let nodes = nodes(rungs()[0]);
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    refuses("step_in without", || m.step_in());
    m.step_out();
    refuses("step in first", || m.alloc(nodes.kind, 16).map(|_| ()).unwrap());
    refuses("step in first", || m.alloc(nodes.kind, 100_000).map(|_| ()).unwrap());
    refuses("step in first", || drop(m.collect()));
    refuses("step in first", || m.step_out());
    m.step_in_pinned();
    refuses("step_in_pinned", || drop(m.collect()));
    refuses("step_in_pinned", || drop(m.collect_young()));
    refuses("step_in_pinned", || m.blocking(|| {}));
    refuses("step_in without", || m.step_in());
    m.alloc(nodes.kind, 16).unwrap();
    m.step_out();
    m.step_in();
    m.collect();
    let scanned = std::thread::scope(|s| {
        let scanned = s.spawn(|| {
            let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
            refuses("blocking", || m.step_out());
        });
        m.blocking(|| scanned.join())
    });
    scanned.unwrap();
}

/// The world may be stopped while the thread does this: the collector looks at weak maps then, and arms pages.
#[test]
fn what_is_outside_uses_nothing_of_the_heap() {
    let nodes = nodes(rungs()[0]);
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    let object = Address::from_ptr(new_node(&mut m, nodes.kind, null_mut(), 1));
    let _root = nodes.heap.handle(object);
    let map = WeakMap::new(&mut m).unwrap();
    let weak = WeakRef::new(&mut m, object).unwrap();
    let slot = WeakSlot::new(&mut m, object, object).unwrap();
    let ephemeron = Ephemeron::new(&mut m, object, 0).unwrap();
    let table = WeakTable::new(&nodes.heap).unwrap();
    let finalizer = m.register_finalizer(object, 0).unwrap();
    m.step_out();
    refuses("step in first", || drop(m.kernel_io(object, 16)));
    refuses("step in first", || _ = m.inline_alloc(false));
    refuses("step in first", || drop(WeakMap::new(&mut m)));
    refuses("step in first", || _ = map.insert(&mut m, object, 0));
    refuses("step in first", || _ = map.get(&mut m, object));
    refuses("step in first", || drop(WeakRef::new(&mut m, object)));
    refuses("step in first", || _ = weak.get(&mut m));
    refuses("step in first", || _ = WeakSlot::new(&mut m, object, object));
    refuses("step in first", || _ = slot.get(&mut m));
    refuses("step in first", || slot.set(&mut m, object));
    refuses("step in first", || drop(Ephemeron::new(&mut m, object, 0)));
    refuses("step in first", || _ = ephemeron.get(&mut m));
    refuses("step in first", || _ = table.find(&mut m, 0, |_| true));
    refuses("step in first", || _ = m.register_finalizer(object, 0));
    refuses("step in first", || _ = m.unregister_finalizer(finalizer));
    refuses("step in first", || _ = m.take_finalizable());
    refuses("step in first", || _ = m.queue_all_finalizers());
    m.step_in();
    assert_eq!((weak.get(&mut m), map.len()), (Some(object), 0));
}

/// Threads detach while they are outside, and the world stops all the time.
#[test]
fn a_thread_may_leave_from_outside() {
    for rung in rungs() {
        let nodes = nodes(rung);
        let (heap, kind) = (&nodes.heap, nodes.kind);
        let stop = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                let mut m = heap.attach(StackScan::None).unwrap();
                while !stop.load(SeqCst) {
                    m.collect();
                }
            });
            let _end = common::AtEnd(&stop);
            for k in 0..1000 {
                let mut m = heap.attach(StackScan::None).unwrap();
                for number in 0..k % 3 {
                    new_node(&mut m, kind, null_mut(), number);
                }
                m.step_out();
            }
        });
    }
}

/// Where an ordinary allocation would make a cycle, that of a pinned thread fails; and there is room again later.
#[test]
fn a_pinned_thread_runs_out_of_memory_rather_than_wait() {
    for rung in rungs() {
        let nodes = Nodes::new(Heap::builder(PlainPointers).limit(2 << 20).rung(rung));
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        for _ in 0..3 {
            m.step_out();
            m.step_in_pinned();
            let mut allocated = 0;
            while m.alloc(nodes.kind, 32).is_ok() {
                allocated += 32;
                assert!(allocated < 4 << 20, "{rung}");
            }
            m.alloc(Kind::LEAF, 1 << 20).unwrap_err();
            m.step_out();
            m.step_in();
            m.collect();
            m.alloc(nodes.kind, 32).unwrap();
        }
        // Nor does an ordinary one that is not to be a safepoint.
        // SAFETY: no references but what the layout finds in zeroed memory: written at once.
        let fill = |m: &mut Mutator<PlainPointers>| unsafe {
            m.alloc_no_safepoint(nodes.kind, 32).map(|object| object.write_bytes(0, 32))
        };
        while fill(&mut m).is_ok() {}
        m.alloc(nodes.kind, 32).expect("this one makes a cycle");
    }
}

/// The documented words of the fast path, used as compiled code would.
fn inline(m: &mut Mutator<PlainPointers>, at: InlineAlloc, kind: Kind, bytes: usize) -> *mut u8 {
    let granules = bytes.div_ceil(16);
    // SAFETY: as the documentation of `InlineAlloc` says.
    unsafe {
        let start = at.cursor.read();
        if at.limit.read() - start < granules * 16 {
            return m.alloc_uninit(kind, bytes).expect("room").as_ptr();
        }
        at.cursor.write(start + granules * 16);
        let first = at.metadata.wrapping_add(start / 16);
        let byte = kind.number() | at.colour.read();
        if granules == 1 {
            first.write(byte | InlineAlloc::END);
        } else {
            first.write(byte);
            first.wrapping_add(granules - 1).write(InlineAlloc::END);
        }
        std::ptr::with_exposed_provenance_mut(start)
    }
}

#[test]
fn compiled_code_allocates_by_the_documented_words() {
    for rung in rungs() {
        let nodes = nodes(rung);
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let (traced, leaf) = (m.inline_alloc(false), m.inline_alloc(true));
        let poll = m.poll_address();
        let mut keeper = None;
        let mut head = null_mut::<Node>();
        for number in 0..50_000u64 {
            // SAFETY: the heap is there.
            if unsafe { poll.read_volatile() } != 0 {
                m.poll();
            }
            let node = inline(&mut m, traced, nodes.kind, size_of::<Node>()).cast::<Node>();
            // SAFETY: a new object, large enough for a node.
            unsafe { node.write(Node { next: head, other: null_mut(), number, check: !number }) };
            keeper = Some(nodes.heap.handle(Address::from_ptr(node)));
            head = node;
            let small = inline(&mut m, leaf, Kind::LEAF, 16);
            // SAFETY: a new object.
            unsafe { small.write_bytes(0xff, 16) };
            if number % 10_000 == 0 {
                assert_eq!(m.collect().marked_objects, number + 1, "{rung}");
            }
        }
        assert_eq!(m.collect().marked_objects, 50_000, "{rung}");
        check_list(head, 50_000);
        drop(keeper);
    }
}

/// The caller has no word of it to write.
#[test]
fn an_object_of_no_bytes_refers_to_nothing() {
    let nodes = nodes(rungs()[0]);
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    for _ in 0..3 {
        list(&mut m, nodes.kind, 5000);
        m.collect();
        // SAFETY: there is no word to write.
        let object = unsafe { m.alloc_uninit(Kind::UNIFORM, 0) }.unwrap();
        let _root = nodes.heap.handle(Address::from_ptr(object.as_ptr()));
        let record = m.collect();
        assert_eq!((record.marked_objects, record.stray_references), (1, 0));
    }
}
