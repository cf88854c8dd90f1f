//! What a pointer store costs when no page is armed: nothing, against the same store into malloc's memory.
//!
//! There is no barrier in the code, so the two figures are the same instruction; a difference is a difference of
//! pages (size, place), not of work. Nothing is allocated while it measures, so no cycle arms a page. The first store to
//! an armed page is another figure and not this one.

use std::hint::black_box;

use criterion::{Bencher, Criterion, Throughput, criterion_group, criterion_main};
use palimpsest::{Address, Heap, Kind, PlainPointers, StackScan};

/// 32 KiB: fits the first-level cache of common processors together with the loop.
const WORDS: usize = 4096;

fn store(criterion: &mut Criterion) {
    let heap = Heap::builder(PlainPointers).build().expect("a heap");
    let mut mutator = heap.attach(StackScan::Conservative).expect("attached");
    let object = mutator.alloc(Kind::UNIFORM, WORDS * 8).expect("32 KiB").cast::<u64>().as_ptr();
    let _root = heap.handle(Address::from_ptr(object));
    let mut native = vec![0u64; WORDS];

    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(WORDS as u64));
    // The value is the object's own address: a reference that a collection would follow.
    group.bench_function("heap", |bencher| fill(bencher, object, object as u64));
    group.bench_function("malloc", |bencher| fill(bencher, native.as_mut_ptr(), object as u64));
    group.finish();
}

/// Stores `value` into each of the `WORDS` words from `start`.
fn fill(bencher: &mut Bencher<'_>, start: *mut u64, value: u64) {
    bencher.iter(|| {
        let (start, value) = (black_box(start), black_box(value));
        for word in 0..WORDS {
            // SAFETY: both callers own `WORDS` words from `start`. Volatile, so that each stays a store of one word.
            unsafe { start.add(word).write_volatile(value) };
        }
    });
}

criterion_group!(benches, store);
criterion_main!(benches);
