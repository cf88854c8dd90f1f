//! Objects that the embedder's own code traces: it sees frozen bytes and frozen native memory, whatever the program does meanwhile.

mod common;

use common::{Node, Random, number_of, rungs};
use palimpsest::{
    Address, Embedder, Frozen, Heap, HeapBuilder, Kind, Layout, Mutator, RootRange, Scope, StackScan, Tracer,
    WeakTable,
};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Numbers of trace functions.
const BAG: u16 = 1;
const PAIRS: u16 = 2;
const FIRST_WORD: u16 = 3;

/// A native collection of references: an object of two words, a header and this.
type Bag = Vec<*mut Node>;

struct Language;

// SAFETY: depends on the word alone; every word that is looked at is the address of an object, or 0.
unsafe impl Embedder for Language {
    fn decode(&self, word: u64) -> Option<Address> {
        (word != 0).then(|| Address::new(word as usize))
    }

    fn layout(&self, header: u64) -> Layout {
        if header == BAG.into() { Layout::native(BAG) } else { Layout::leaf() }
    }

    fn trace(&self, id: u16, object: &Frozen<'_>, tracer: &mut Tracer<'_>) {
        match id {
            BAG => {
                let mut words = [0; 2];
                object.load(0, &mut words);
                // SAFETY: the test puts a bag's address there, or 0; nobody changes the bag while it is traced.
                let bag = unsafe { (words[1] as *const Bag).as_ref() };
                for (k, node) in bag.into_iter().flatten().enumerate() {
                    if k % 1000 == 999 && !tracer.goes_on() {
                        return;
                    }
                    tracer.object(Address::from_ptr(*node));
                }
            }
            // Every other word is a number.
            PAIRS => {
                for at in (0..object.bytes() / 8).step_by(2) {
                    let mut word = [0];
                    object.load(at, &mut word);
                    tracer.word(word[0]);
                }
            }
            FIRST_WORD => {
                let mut words = [1; 100];
                object.load(0, &mut words);
                assert!(words[object.bytes() / 8..].iter().all(|word| *word == 0), "nothing beyond the end");
                tracer.conservative(words[0]);
            }
            other => panic!("there is no trace function {other}"),
        }
    }
}

fn builder(rung: palimpsest::Wish) -> HeapBuilder<Language> {
    Heap::builder(Language).limit(64 << 20).rung(rung).verify(true).poison(true)
}

/// Makes a word a root.
fn root(heap: &Heap<Language>, word: &'static mut *mut Node) -> palimpsest::Roots {
    // SAFETY: a word that is leaked.
    unsafe { heap.add_roots(RootRange::Fixed { start: (&raw const *word).cast(), len: 1 }) }
}

/// A node of a layout of this embedder's.
fn node(m: &mut Mutator<Language>, kind: Kind, number: u64) -> *mut Node {
    let node = m.alloc(kind, size_of::<Node>()).expect("room for a node").as_ptr().cast::<Node>();
    // SAFETY: a new object, large enough for a node.
    unsafe { node.write(Node { next: null_mut(), other: null_mut(), number, check: !number }) };
    node
}

/// Fills the block that the thread allocates in with what stays, so that what was allocated before is on no page that is written to.
fn fill(m: &mut Mutator<Language>, kind: Kind) -> palimpsest::Handle {
    let first = node(m, kind, 0);
    let handle = m.heap().handle(Address::from_ptr(first));
    for number in 0..(64 << 10) / size_of::<Node>() as u64 {
        let next = node(m, kind, number);
        // SAFETY: a new node, and one that the handle keeps.
        unsafe { (*next).next = handle.get().as_ptr() };
        handle.set(Address::from_ptr(next));
    }
    handle
}

/// A new bag object, registered, which a handle keeps alive.
fn bag(m: &mut Mutator<Language>) -> (palimpsest::Handle, *mut Bag) {
    let bag = Box::into_raw(Box::new(Bag::new()));
    let object = m.alloc(Kind::HEADED, 16).expect("room").cast::<u64>();
    // SAFETY: a new object of two words.
    unsafe {
        object.write(BAG.into());
        object.add(1).write(bag as u64);
    }
    let address = Address::from_ptr(object.as_ptr());
    m.register_external(address, bag as u64).expect("room");
    (m.heap().handle(address), bag)
}

#[test]
fn a_native_collection_keeps_what_is_in_it_and_nothing_else() {
    for rung in rungs() {
        let heap = builder(rung).build().unwrap();
        let kind = heap.define_layout(Layout::mask(0b11)).unwrap();
        let mut m = heap.attach(StackScan::None).unwrap();
        let (handle, bag) = bag(&mut m);
        // The bag is old, and its page is not written to any more.
        m.collect();
        for round in 0..20u64 {
            for number in 0..500 {
                let node = node(&mut m, kind, round * 1000 + number);
                // SAFETY: the collector looks at the bag in a fork, or while this thread is stopped.
                unsafe { (*bag).push(node) };
            }
            let record = m.collect_young();
            assert_eq!((record.failure, record.stray_references), (None, 0), "{rung}");
            if record.scope == Scope::Young {
                assert_eq!(record.marked_objects, 500, "{rung}: what the bag got since");
            }
            // SAFETY: as above.
            for (k, node) in unsafe { (*bag).iter().enumerate() } {
                assert_eq!(number_of(*node) % 1000, k as u64 % 500, "{rung}");
            }
        }
        // SAFETY: as above.
        unsafe { (*bag).truncate(100) };
        assert_eq!(m.collect().marked_objects, 101, "{rung}: the bag and what is left in it");
        // Nobody has the bag any more: it is handed over once, with what it refers to.
        drop(handle);
        let record = m.collect();
        assert_eq!((record.finalizers_queued, record.marked_objects), (1, 101), "{rung}");
        let (_, token) = m.take_finalizable().expect("the bag");
        // SAFETY: made by `Box::into_raw`, and no object refers to it any more.
        drop(unsafe { Box::from_raw(token as *mut Bag) });
        assert_eq!(m.take_finalizable(), None);
    }
}

/// The program changes a native collection all the while: moves what is in it, drops and adds, in steps between safepoints.
#[test]
fn a_collection_that_changes_while_it_is_traced_loses_nothing() {
    for rung in rungs() {
        let heap = builder(rung).cycle_every(256 << 10).build().unwrap();
        let kind = heap.define_layout(Layout::mask(0b11)).unwrap();
        let mut m = heap.attach(StackScan::None).unwrap();
        let (_handle, bag) = bag(&mut m);
        let mut random = Random(42);
        for number in 0.. {
            if number % 10_000 == 0 && heap.stats().cycles >= 5 {
                break;
            }
            assert!(number < 100_000_000, "{rung}: where are the cycles?");
            let node = node(&mut m, kind, number);
            // SAFETY: no safepoint until the next allocation.
            unsafe {
                match random.below(4) {
                    0 if (*bag).len() > 2000 => (*bag).shuffle_away(&mut random, node),
                    1 => (*bag).insert(random.below((*bag).len() + 1).min(16), node),
                    _ => (*bag).push(node),
                }
                if (*bag).len() > 5000 {
                    (*bag).drain(1000..4000);
                    (*bag).shrink_to_fit();
                }
                assert!((*bag).iter().rev().take(10).all(|node| number_of(*node) <= number));
            }
        }
        // SAFETY: as above.
        unsafe { (*bag).iter().for_each(|node| _ = number_of(*node)) };
    }
}

trait ShuffleAway {
    fn shuffle_away(&mut self, random: &mut Random, node: *mut Node);
}

impl ShuffleAway for Bag {
    /// Puts the last one in some place, and the new one in the place of another.
    fn shuffle_away(&mut self, random: &mut Random, node: *mut Node) {
        let (a, b) = (random.below(self.len()), random.below(self.len()));
        let last = self.pop().expect("many");
        self[a.min(b)] = last;
        let end = self.len();
        self[a.max(b).min(end - 1)] = node;
    }
}

#[test]
fn layouts_without_a_header_are_traced_natively_in_objects_of_all_sizes() {
    for rung in rungs() {
        let heap = builder(rung).build().unwrap();
        let kind = heap.define_layout(Layout::mask(0b11)).unwrap();
        let pairs = heap.define_layout(Layout::native(PAIRS)).unwrap();
        let first = heap.define_layout(Layout::native(FIRST_WORD)).unwrap();
        let mut m = heap.attach(StackScan::None).unwrap();
        let word: &'static mut *mut Node = Box::leak(Box::new(null_mut()));
        let at = &raw mut *word;
        let _roots = root(&heap, word);
        for bytes in [16, 48, 4096, 100_000, 3 << 20] {
            let table = m.alloc(pairs, bytes).unwrap().cast::<u64>();
            // SAFETY: the root's word, and words of the object; what is allocated is put there before the next safepoint.
            unsafe {
                at.write(table.as_ptr().cast());
                m.collect();
                for k in (0..bytes / 8).step_by(2 * 97) {
                    let inner = m.alloc(first, 24).unwrap().cast::<u64>();
                    table.add(k).write(inner.as_ptr() as u64);
                    table.add(k + 1).write(0x1234_5678);
                    let node = node(&mut m, kind, k as u64);
                    // Into the middle of the node.
                    inner.write(node as u64 + 17);
                }
                let expected = (bytes / 8).div_ceil(2 * 97) as u64;
                let record = m.collect_young();
                assert_eq!(record.stray_references, 0, "{rung}");
                let old = if record.scope == Scope::Full { 1 } else { 0 };
                assert_eq!(record.marked_objects, 2 * expected + old, "{rung}, {bytes} bytes: {record}");
                for k in (0..bytes / 8).step_by(2 * 97) {
                    let inner = table.add(k).read() as *const u64;
                    assert_eq!(number_of((inner.read() - 17) as *const Node), k as u64, "{rung}");
                }
            }
        }
    }
}

/// What a bag refers to when the snapshot is taken stays, also if it leaves the bag before it is traced, and comes back later.
#[test]
fn what_leaves_a_collection_during_the_marking_is_kept_by_the_snapshot() {
    for rung in rungs() {
        let heap = builder(rung).build().unwrap();
        let kind = heap.define_layout(Layout::mask(0b11)).unwrap();
        let (stop, at_work) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|s| {
            s.spawn(|| {
                let mut m = heap.attach(StackScan::None).unwrap();
                let (_handle, bag) = bag(&mut m);
                for number in 0..1000 {
                    let node = node(&mut m, kind, number);
                    // SAFETY: no safepoint in between.
                    unsafe { (*bag).push(node) };
                }
                while !stop.load(Relaxed) {
                    // Between two safepoints everything is taken out of the bag and put back.
                    // SAFETY: as above.
                    unsafe {
                        let all = std::mem::take(&mut *bag);
                        all.iter().for_each(|node| assert!(number_of(*node) < 1000));
                        (*bag).extend(all.into_iter().rev());
                    }
                    at_work.store(true, Relaxed);
                    m.poll();
                }
            });
            let _end = common::AtEnd(&stop);
            while !at_work.load(Relaxed) {
                std::thread::yield_now();
            }
            let mut m = heap.attach(StackScan::None).unwrap();
            for k in 0..20 {
                let record = if k % 2 == 0 { m.collect() } else { m.collect_young() };
                assert_eq!((record.failure, record.stray_references), (None, 0), "{rung}");
            }
        });
    }
}

/// Queued objects may still be in use: reachable ones where all are queued, and what a weak table is asked for.
#[test]
fn a_collection_that_is_queued_keeps_what_it_gets() {
    for rung in rungs() {
        for reachable in [true, false] {
            let heap = builder(rung).build().unwrap();
            let kind = heap.define_layout(Layout::mask(0b11)).unwrap();
            let interned = WeakTable::new(&heap).unwrap();
            let mut m = heap.attach(StackScan::None).unwrap();
            let (handle, bag) = bag(&mut m);
            let _full = fill(&mut m, kind);
            interned.insert(&mut m, 1, handle.get()).unwrap();
            let object = handle.get();
            m.collect();
            let handle = reachable.then_some(handle);
            if reachable {
                assert_eq!(m.queue_all_finalizers(), 1);
            } else {
                assert_eq!(m.collect().finalizers_queued, 1, "{rung}");
            }
            assert_eq!(interned.find(&mut m, 1, |_| true), Some(object), "{rung}");
            for number in 0..500 {
                let node = node(&mut m, kind, number);
                // SAFETY: the collector looks at the bag in a fork, or while this thread is stopped.
                unsafe { (*bag).push(node) };
            }
            let record = m.collect_young();
            assert_eq!((record.failure, record.stray_references), (None, 0), "{rung}");
            if record.scope == Scope::Young {
                assert_eq!(record.marked_objects, 500, "{rung}, reachable: {reachable}");
            }
            drop(handle);
            let (_, token) = m.take_finalizable().expect("the bag");
            // SAFETY: made by `Box::into_raw`, and nobody uses the object any more.
            drop(unsafe { Box::from_raw(token as *mut Bag) });
        }
    }
}
