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
//! The difference between `typed` and `leaf` is mostly what arming pages costs, and opening them again in recycled blocks.

use std::hint::black_box;
use std::ptr;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use palimpsest::{Heap, Kind, Layout, PlainPointers, StackScan};

#[path = "support/objects.rs"]
mod objects;
use objects::Mutator;

const LIMIT: usize = 256 << 20;

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
    group.finish();
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
