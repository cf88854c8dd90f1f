//! How long the world stops for a cycle, by the size of the live heap.
//!
//! A list of 64-byte nodes of so many MiB, and one attached thread that asks for cycle after cycle. `preimage` is to be
//! flat; `stop-the-world`, which marks in the pause, is what it would be otherwise.
//!
//! The thread waits for the cycle that it asked for, so it neither runs when it is stopped nor writes while pages are armed
//! ahead of the pause: the handshake and the last round of arming are at their least. `workload graph` has them at their
//! worst. The time is the collector's own record, and a cycle takes far longer than its pause.
//!
//! With `PALIMPSEST_BENCH_LARGE` set there is a heap of 4 GiB too; it takes 5 GiB of memory.

use std::time::Duration;
use std::{env, ptr};

use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use palimpsest::{Address, Handle, Heap, Layout, PlainPointers, Snapshot, StackScan};
use palimpsest_runtime::probe;

#[path = "support/objects.rs"]
mod objects;
use objects::Mutator;

#[derive(Clone, Copy)]
#[repr(C)]
struct Node {
    next: *mut Node,
    words: [u64; 7],
}

/// A heap and what keeps it full. The root goes before the mutator, and that before its heap.
struct Full {
    _list: Handle,
    mutator: Mutator,
}

fn pause(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pause");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(3));
    let large = env::var_os("PALIMPSEST_BENCH_LARGE").map(|_| 4096);
    let sizes = [64, 256, 1024].into_iter().chain(large).map(|mib| (Snapshot::Preimage, mib));
    let contrast = [64, 256].map(|mib| (Snapshot::StopTheWorld, mib));
    for (snapshot, mib) in sizes.chain(contrast) {
        if snapshot == Snapshot::Preimage
            && let Err(why) = probe::signal_delivery()
        {
            eprintln!("skipped: {why}");
            continue;
        }
        // Made when it is first used: what the command line leaves out costs no memory.
        let mut heap = None;
        group.bench_function(BenchmarkId::new(snapshot.to_string(), mib), |bencher| {
            let full = heap.get_or_insert_with(|| fill(snapshot, mib));
            bencher.iter_custom(|cycles| (0..cycles).map(|_| pause_of_cycle(full, snapshot)).sum());
        });
        if let Some(mut full) = heap {
            // Of what the pause is made up.
            println!("one of them: {}", full.mutator.collect());
        }
    }
    group.finish();
}

/// A heap with a list of this size.
fn fill(snapshot: Snapshot, mib: usize) -> Full {
    let live = mib << 20;
    let heap = Heap::builder(PlainPointers).snapshot(snapshot).limit(2 * live + (64 << 20)).build();
    let heap = heap.expect("a heap");
    let kind = heap.define_layout(Layout::mask(0b1)).expect("a kind");
    let mut mutator = heap.attach(StackScan::Conservative).expect("attached");
    let mut list = ptr::null_mut();
    for _ in 0..live / size_of::<Node>() {
        list = objects::new(&mut mutator, kind, Node { next: list, words: [1; 7] });
    }
    Full { _list: heap.handle(Address::from_ptr(list)), mutator }
}

fn pause_of_cycle(full: &mut Full, snapshot: Snapshot) -> Duration {
    let record = full.mutator.collect();
    assert_eq!(record.snapshot, snapshot, "{record}");
    Duration::from_secs_f64(record.pause_ms / 1e3)
}

criterion_group!(benches, pause);
criterion_main!(benches);
