//! What an object costs: `Mutator::alloc` in a loop, with the collections that it causes.
//!
//! Nothing is kept, so memory comes back as entirely free blocks, and the figure is the fast path, clearing, and a
//! share of a cycle over an empty heap. `traced` objects live where a cycle arms pages and recycling a block opens them
//! again; `leaf` objects where neither happens. The difference between the two is mostly that.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use palimpsest::{Heap, Kind, PlainPointers, StackScan};

const LIMIT: usize = 256 << 20;

fn alloc(criterion: &mut Criterion) {
    let heap = Heap::builder(PlainPointers).limit(LIMIT).build().expect("a heap");
    let mut mutator = heap.attach(StackScan::Conservative).expect("attached");
    let mut group = criterion.benchmark_group("alloc");
    for (name, kind) in [("traced", Kind::UNIFORM), ("leaf", Kind::LEAF)] {
        for bytes in [16, 64, 256, 1024] {
            group.throughput(Throughput::ElementsAndBytes { elements: 1, bytes: bytes as u64 });
            group.bench_with_input(BenchmarkId::new(name, bytes), &bytes, |bencher, &bytes| {
                bencher.iter(|| mutator.alloc(black_box(kind), black_box(bytes)).expect("nothing is kept"));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, alloc);
criterion_main!(benches);
