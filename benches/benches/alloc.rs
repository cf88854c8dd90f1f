//! What an object costs: allocation in a loop, with the collections that it causes.
//!
//! Nothing is kept, so memory comes back as entirely free blocks, and the figure is the fast path, writing the object, and
//! a share of a cycle over an empty heap.
//!
//! * `typed`: of a defined layout, size known to the compiler, its words written by the program. Under 10 ns is the goal
//!   for a small one.
//! * `leaf`: the same without references, so in the space where no page is armed.
//! * `zeroed`: cleared by the allocator, size and kind known at run time only, as in an interpreter.
//!
//! The floors, for each of these sizes:
//!
//! * `bump`: the next bytes of one buffer, which is used again from the start when it is full; written like `typed`.
//! * `malloc`, `mimalloc`: an object that is written and freed at once: their best case, the same few addresses over and over.
//!
//! The difference between `typed` and `leaf` is mostly what arming pages costs, and opening them again in recycled blocks.

use std::alloc::{GlobalAlloc, Layout as Shape, System};
use std::hint::black_box;
use std::ptr;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mimalloc::MiMalloc;
use palimpsest::{Heap, Kind, Layout, PlainPointers, StackScan};

#[path = "support/objects.rs"]
mod objects;
use objects::Mutator;

const LIMIT: usize = 256 << 20;

/// What the bump allocator goes round in: about as much as is allocated between two cycles.
const BUFFER: usize = 16 << 20;

#[derive(Clone, Copy)]
#[repr(C)]
struct Pair {
    references: [*mut Pair; 2],
}

/// References in the first half.
#[derive(Clone, Copy)]
#[repr(C)]
struct Node {
    references: [*mut Node; 4],
    words: [u64; 4],
}

fn alloc(criterion: &mut Criterion) {
    let heap = Heap::builder(PlainPointers).limit(LIMIT).build().expect("a heap");
    let mut mutator = heap.attach(StackScan::Conservative).expect("attached");
    let pair = heap.define_layout(Layout::mask(0b11)).expect("a kind");
    let node = heap.define_layout(Layout::mask(0b1111)).expect("a kind");

    let mut group = criterion.benchmark_group("alloc");
    let empty_pair = Pair { references: [ptr::null_mut(); 2] };
    let empty_node = Node { references: [ptr::null_mut(); 4], words: [1; 4] };
    bench(&mut group, "typed", &mut mutator, pair, empty_pair);
    bench(&mut group, "typed", &mut mutator, node, empty_node);
    bench(&mut group, "leaf", &mut mutator, Kind::LEAF, [1u64; 2]);
    bench(&mut group, "leaf", &mut mutator, Kind::LEAF, [1u64; 8]);
    for bytes in [16, 64, 256, 1024] {
        group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: bytes as u64 });
        group.bench_with_input(BenchmarkId::new("zeroed", bytes), &bytes, |bencher, &bytes| {
            let kind = Kind::UNIFORM;
            bencher.iter(|| mutator.alloc(black_box(kind), black_box(bytes)).expect("nothing is kept"));
        });
    }
    floors::<2>(&mut group);
    floors::<8>(&mut group);
    floors::<32>(&mut group);
    floors::<128>(&mut group);
    group.finish();
}

/// The least that makes an object of so many words and writes it.
fn floors<const WORDS: usize>(group: &mut BenchmarkGroup<'_, WallTime>) {
    let bytes = WORDS * 8;
    group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: bytes as u64 });
    let mut buffer = vec![[0u64; WORDS]; BUFFER / bytes];
    let (mut next, end) = (0, buffer.len());
    group.bench_function(BenchmarkId::new("bump", bytes), |bencher| {
        bencher.iter(|| {
            next = if next + 1 < end { next + 1 } else { 0 };
            buffer[next] = [1; WORDS];
            buffer[next].as_ptr()
        });
    });
    group.bench_function(BenchmarkId::new("malloc", bytes), |bencher| {
        bencher.iter(|| made_and_freed::<WORDS>(&System));
    });
    group.bench_function(BenchmarkId::new("mimalloc", bytes), |bencher| {
        bencher.iter(|| made_and_freed::<WORDS>(&MiMalloc));
    });
}

/// One object of an allocator's.
#[inline(always)]
fn made_and_freed<const WORDS: usize>(allocator: &impl GlobalAlloc) {
    let shape = Shape::new::<[u64; WORDS]>();
    // SAFETY: not of no size; what is not null has room for the words, and is freed once, as what it was made as.
    unsafe {
        let place = black_box(allocator.alloc(shape)).cast::<[u64; WORDS]>();
        assert!(!place.is_null(), "there is memory");
        place.write([1; WORDS]);
        allocator.dealloc(black_box(place).cast(), shape);
    }
}

/// Objects that hold `value`.
fn bench<T: Copy>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mutator: &mut Mutator,
    kind: Kind,
    value: T,
) {
    let bytes = size_of::<T>();
    group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: bytes as u64 });
    group.bench_function(BenchmarkId::new(name, bytes), |bencher| {
        bencher.iter(|| objects::new(mutator, kind, value));
    });
}

criterion_group!(benches, alloc);
criterion_main!(benches);
