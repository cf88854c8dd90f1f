//! A heap that is gone keeps no memory, whatever is left of what was made for it. One test, since it looks at the whole process.

mod common;

use common::rungs;
use palimpsest::{
    Address, Ephemeron, Handle, Heap, HeapBuilder, Kind, Mutator, PlainPointers, RootRange, Roots, StackScan,
    WeakMap, WeakRef, WeakTable, Wish,
};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

/// What every rung's heap has in use.
const FILLED: usize = 48 * MIB;

/// What may be left of it.
const LEFT: usize = 4 * MIB;

/// What outlives its heap.
struct Left {
    handle: Handle,
    address: Address,
    _roots: Roots,
    _weak: WeakRef,
    map: WeakMap,
    _ephemeron: Ephemeron,
    _table: WeakTable,
}

/// Bytes of memory that this process has, shared memory that it has mapped included.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("the kernel says");
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a number") * 4096
}

fn heap(rung: Wish) -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(128 * MIB).rung(rung)
}

/// Fills a heap with what is alive, in both halves, and leaves one of each.
fn fill(m: &mut Mutator<PlainPointers>) -> Left {
    static NO_WORD: u64 = 0;
    let heap = m.heap().clone();
    let list = heap.handle(Address::new(0));
    for _ in 0..FILLED / 4096 {
        // Words that are no references are odd.
        let mut new = |kind| {
            let object = m.alloc(kind, 2048).unwrap().cast::<[usize; 256]>();
            // SAFETY: a new object of that size.
            unsafe { object.write([5; 256]) };
            object.as_ptr()
        };
        let leaf = heap.handle(Address::from_ptr(new(Kind::LEAF)));
        let object = new(Kind::UNIFORM);
        // SAFETY: just made, and larger than that.
        unsafe { object.cast::<[usize; 2]>().write([list.get().as_usize(), leaf.get().as_usize()]) };
        list.set(Address::from_ptr(object));
    }
    let address = list.get();
    let map = WeakMap::new(m).unwrap();
    map.insert(m, address, 0).unwrap();
    let (weak, ephemeron) = (WeakRef::new(m, address).unwrap(), Ephemeron::new(m, address, 0).unwrap());
    let table = WeakTable::new(&heap).unwrap();
    // SAFETY: a static, which nobody writes to.
    let roots = unsafe { heap.add_roots(RootRange::Fixed { start: &raw const NO_WORD, len: 1 }) };
    Left { handle: list, address, _roots: roots, _weak: weak, map, _ephemeron: ephemeron, _table: table }
}

/// What is left of the heap is small, and may be used as far as it can be without one, and dropped.
fn check(left: Left, before: usize, what: &dyn std::fmt::Display) {
    // Of a heap that goes away on another thread.
    let since = Instant::now();
    while resident() > before + LEFT {
        let more = resident().saturating_sub(before);
        assert!(since.elapsed() < Duration::from_secs(10), "{what}: {more} bytes more than before");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((left.handle.get(), left.map.len()), (left.address, 1), "{what}");
    left.handle.set(Address::new(0));
    // On a thread that had nothing to do with it.
    std::thread::spawn(move || drop(left)).join().unwrap();
}

#[test]
fn a_heap_that_is_gone_keeps_no_memory() {
    // What the process has once for all.
    drop(heap("stw".parse().unwrap()).build().unwrap());
    for rung in rungs() {
        let before = resident();
        let heap = heap(rung).build().unwrap();
        let mut m = heap.attach(StackScan::None).unwrap();
        let left = fill(&mut m);
        m.collect();
        assert!(resident() > before + FILLED, "{rung}");
        drop((m, heap));
        check(left, before, &rung);
    }
    for rung in rungs() {
        a_listener_drops_it(rung);
    }
}

/// The collector's thread drops the last clone itself, in the middle of a cycle, which goes on.
fn a_listener_drops_it(rung: Wish) {
    let before = resident();
    let (last, dropped) = (Arc::new(Mutex::new(None::<Heap<PlainPointers>>)), Arc::new(Mutex::new(false)));
    let (go, wait) = mpsc::channel();
    let (of_listener, said) = (last.clone(), dropped.clone());
    let wait = Mutex::new(wait);
    let heap = heap(rung).min_headroom(16 * MIB).on_cycle(move |_| {
        // The first cycle, until there is nobody else.
        if wait.lock().unwrap().recv().is_ok() {
            let heap = of_listener.lock().unwrap().take();
            *said.lock().unwrap() |= heap.is_some();
            drop(heap);
        }
    });
    let heap = heap.build().unwrap();
    let mut m = heap.attach(StackScan::None).unwrap();
    let left = fill(&mut m);
    // A cycle has begun, or begins, since so much was allocated; and waits in the listener.
    *last.lock().unwrap() = Some(heap);
    drop(m);
    go.send(()).expect("a listener");
    check(left, before, &rung);
    assert!(*dropped.lock().unwrap(), "{rung}");
}
