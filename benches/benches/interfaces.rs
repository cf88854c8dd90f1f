//! What the safe interface and that for C cost: binary trees of depth 14, by each and by the raw interface, side by side in one run.
//!
//! All make the same objects of two words, and count them, beside a long-lived tree. `raw` allocates as a compiler would have it: its stack
//! is scanned, every allocation is a safepoint, and it polls at every node that it counts. `safe` makes each tree in a call of its own, in
//! which there is no safepoint. `raw-pinned` does by the raw interface what the safe one does underneath; the difference to that is
//! what the safe interface itself costs, the difference to `raw` is what safepoints in the middle of the work cost. `c-inline` and `c-call` do
//! what `raw` does, in C (`support/trees.c`): with the fast path that the header has, and by a call of the library for each object and poll.

use std::ffi::{CStr, c_char, c_uint};
use std::hint::black_box;
use std::ptr;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use palimpsest::{Address, Heap, Kind, Layout, PlainPointers, StackScan};
use palimpsest_safe::{Arena, Gc, Mutation, Rootable, Trace};

#[path = "support/objects.rs"]
mod objects;

const DEPTH: u32 = 14;
const NODES: u64 = (2 << DEPTH) - 1;

mod raw {
    use super::{Kind, objects, ptr};

    #[derive(Clone, Copy)]
    pub(super) struct Tree {
        left: *mut Tree,
        right: *mut Tree,
    }

    pub(super) fn build(mutator: &mut objects::Mutator, kind: Kind, depth: u32) -> *mut Tree {
        if depth == 0 {
            return objects::new(mutator, kind, Tree { left: ptr::null_mut(), right: ptr::null_mut() });
        }
        let left = build(mutator, kind, depth - 1);
        let right = build(mutator, kind, depth - 1);
        objects::new(mutator, kind, Tree { left, right })
    }

    pub(super) fn build_pinned(mutator: &mut objects::Mutator, depth: u32) -> *mut Tree {
        let node = if depth == 0 {
            Tree { left: ptr::null_mut(), right: ptr::null_mut() }
        } else {
            let left = build_pinned(mutator, depth - 1);
            Tree { left, right: build_pinned(mutator, depth - 1) }
        };
        // SAFETY: written at once.
        let place = unsafe { mutator.alloc_no_safepoint(Kind::UNIFORM, size_of::<Tree>()) };
        let place = place.expect("the limit is above what the bench keeps").cast::<Tree>().as_ptr();
        // SAFETY: fresh memory of this size, which nobody else knows.
        unsafe { place.write(node) };
        place
    }

    pub(super) fn count_pinned(tree: *const Tree) -> u64 {
        // SAFETY: a node of a tree that was made since the last safepoint.
        let Tree { left, right } = unsafe { *tree };
        if left.is_null() { 1 } else { 1 + count_pinned(left) + count_pinned(right) }
    }

    pub(super) fn count(mutator: &mut objects::Mutator, tree: *const Tree) -> u64 {
        mutator.poll();
        // SAFETY: a node of a tree of which this frame and its callers hold what is still to be counted.
        let Tree { left, right } = unsafe { *tree };
        if left.is_null() { 1 } else { 1 + count(mutator, left) + count(mutator, right) }
    }
}

/// `support/trees.c`, which uses the C interface.
mod c {
    use super::{c_char, c_uint};
    // Links the library.
    use palimpsest_c as _;

    unsafe extern "C" {
        pub(super) fn trees_begin(limit: usize, depth: c_uint) -> *const c_char;
        pub(super) fn trees_end() -> *const c_char;
        pub(super) fn trees_by_call(depth: c_uint) -> u64;
        pub(super) fn trees_inline(depth: c_uint) -> u64;
    }

    pub(super) fn must(why: *const c_char) {
        // SAFETY: NULL, or the text of this thread's last error.
        let why = (!why.is_null()).then(|| unsafe { super::CStr::from_ptr(why) });
        assert_eq!(why, None);
    }
}

#[derive(Trace)]
struct Tree<'gc> {
    left: Option<Gc<'gc, Tree<'gc>>>,
    right: Option<Gc<'gc, Tree<'gc>>>,
}

impl<'gc> Tree<'gc> {
    fn build(mc: &Mutation<'gc>, depth: u32) -> Gc<'gc, Self> {
        if depth == 0 {
            return Gc::new(mc, Tree { left: None, right: None });
        }
        let left = Some(Self::build(mc, depth - 1));
        let right = Some(Self::build(mc, depth - 1));
        Gc::new(mc, Tree { left, right })
    }

    fn count(&self) -> u64 {
        match (self.left, self.right) {
            (Some(left), Some(right)) => 1 + left.count() + right.count(),
            _ => 1,
        }
    }
}

fn interfaces(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("interfaces/binarytrees");
    group.throughput(Throughput::Elements(NODES));

    let heap = Heap::builder(PlainPointers).limit(512 << 20).build().expect("a heap");
    let kind = heap.define_layout(Layout::mask(0b11)).expect("a layout");
    let mut mutator = heap.attach(StackScan::Conservative).expect("attached");
    let keep = raw::build(&mut mutator, kind, DEPTH + 3);
    let root = heap.handle(Address::from_ptr(keep));
    group.bench_function("raw", |bencher| {
        bencher.iter(|| {
            let tree = raw::build(&mut mutator, kind, black_box(DEPTH));
            assert_eq!(raw::count(&mut mutator, tree), NODES);
        });
    });
    drop((root, mutator, heap));

    // SAFETY: on one thread, from here to `trees_end`.
    c::must(unsafe { c::trees_begin(512 << 20, DEPTH + 3) });
    group.bench_function("c-inline", |bencher| {
        // SAFETY: as above.
        bencher.iter(|| assert_eq!(unsafe { c::trees_inline(black_box(DEPTH)) }, NODES));
    });
    group.bench_function("c-call", |bencher| {
        // SAFETY: as above.
        bencher.iter(|| assert_eq!(unsafe { c::trees_by_call(black_box(DEPTH)) }, NODES));
    });
    // SAFETY: as above.
    c::must(unsafe { c::trees_end() });

    let heap = Heap::builder(PlainPointers).limit(512 << 20).build().expect("a heap");
    let mut mutator = heap.attach(StackScan::None).expect("attached");
    mutator.step_out();
    mutator.step_in_pinned();
    let root = heap.handle(Address::from_ptr(raw::build_pinned(&mut mutator, DEPTH + 3)));
    mutator.step_out();
    group.bench_function("raw-pinned", |bencher| {
        bencher.iter(|| {
            mutator.step_in_pinned();
            let tree = raw::build_pinned(&mut mutator, black_box(DEPTH));
            assert_eq!(raw::count_pinned(tree), NODES);
            mutator.step_out();
        });
    });
    drop((root, mutator, heap));

    let made = Arena::<Rootable![Gc<'_, Tree<'_>>]>::builder().limit(512 << 20);
    let mut arena = made.build(|mc| Tree::build(mc, DEPTH + 3)).expect("an arena");
    group.bench_function("safe", |bencher| {
        bencher.iter(|| {
            let count = arena.mutate(|mc, _| Tree::build(mc, black_box(DEPTH)).count());
            assert_eq!(count, NODES);
        });
    });
    group.finish();
}

criterion_group!(benches, interfaces);
criterion_main!(benches);
