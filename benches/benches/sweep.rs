//! What sweeping a block costs, by the share of its objects that live.
//!
//! 64 MiB of 64-byte objects, of which a share lives, scattered. After a cycle the collector's thread sweeps all blocks in the
//! background; what is measured is its CPU time from the cycle's end until it looks for the next one, which it does not before all
//! is swept. The world is stopped for marking, so that nothing else is done in that time: no page is opened, and no memory given
//! back. The figure is that of one block of 64 KiB.
//!
//! The floor is one pass over as many bytes of metadata, a byte for each 16 bytes of heap, that reads each and writes it back masked.

use std::error::Error;
use std::hint::black_box;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use palimpsest::events::{CycleBegin, Listener};
use palimpsest::{
    Address, CycleRecord, GRANULE, Handle, Heap, Kind, Layout, PlainPointers, Snapshot, StackScan,
};

#[path = "support/objects.rs"]
mod objects;
use objects::Mutator;

const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 1024;

type Object = [u64; 8];

/// As many as fill the blocks.
const OBJECTS: usize = BLOCKS * BLOCK / size_of::<Object>();

fn sweep(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sweep");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_secs(1));
    group.throughput(Throughput::Bytes(BLOCK as u64));
    for percent in [0, 10, 50, 90, 100] {
        let mut swept = Swept::new(percent).expect("a heap whose world is stopped");
        group.bench_function(BenchmarkId::new("ours", percent), |bencher| {
            bencher.iter_custom(|blocks| each_of(blocks, || swept.sweep()));
        });
    }
    let mut metadata = vec![0x8181_0081_0000_8100_u64; BLOCKS * BLOCK / GRANULE / 8];
    group.bench_function("floor", |bencher| {
        bencher.iter_custom(|blocks| {
            each_of(blocks, || {
                let (start, mask) = (Instant::now(), black_box(!0));
                metadata.iter_mut().for_each(|word| *word &= mask);
                black_box(&mut metadata);
                start.elapsed()
            })
        });
    });
    group.finish();
}

/// What so many blocks take, by rounds over all of them.
fn each_of(blocks: u64, mut round: impl FnMut() -> Duration) -> Duration {
    let rounds = blocks.div_ceil(BLOCKS as u64).max(1);
    let spent: Duration = (0..rounds).map(|_| round()).sum();
    spent.mul_f64(blocks as f64 / (rounds * BLOCKS as u64) as f64)
}

/// A heap of objects, some of which are about to die.
struct Swept {
    _root: Handle,
    array: *mut *mut Object,
    kind: Kind,
    percent: usize,
    clock: Arc<Clock>,
    mutator: Mutator,
}

impl Swept {
    fn new(percent: usize) -> Result<Self, Box<dyn Error>> {
        let clock = Arc::new(Clock::default());
        let heap = Heap::builder(PlainPointers)
            .rung(Snapshot::StopTheWorld)
            .limit(512 << 20)
            .min_headroom(384 << 20)
            .young(false)
            .listener(Ear(clock.clone()))
            .build()?;
        let kind = heap.define_layout(Layout::mask(0b1))?;
        let mut mutator = heap.attach(StackScan::None)?;
        let array = mutator.alloc(Kind::UNIFORM, OBJECTS * size_of::<*mut Object>())?.cast::<*mut Object>();
        let root = heap.handle(Address::from_ptr(array.as_ptr()));
        Ok(Self { _root: root, array: array.as_ptr(), kind, percent, clock, mutator })
    }

    /// Fills the heap, lets some die and has the rest marked. The time it takes to sweep.
    fn sweep(&mut self) -> Duration {
        for k in 0..OBJECTS {
            // SAFETY: a word of the array, which the handle keeps, and a new object.
            unsafe {
                if (*self.array.add(k)).is_null() {
                    let object = objects::new(&mut self.mutator, self.kind, [0; 8]);
                    self.array.add(k).write(object);
                }
            }
        }
        for k in 0..OBJECTS {
            // Neighbours share no fate.
            if k.wrapping_mul(2_654_435_761) / 64 % 100 >= self.percent {
                // SAFETY: a word of the array.
                unsafe { self.array.add(k).write(ptr::null_mut()) };
            }
        }
        let record = self.mutator.collect();
        assert_eq!(record.marked_objects as usize - 1, self.living(), "{record}");
        // Begins when all is swept.
        self.mutator.collect();
        Duration::from_nanos(self.clock.swept.load(Relaxed))
    }

    fn living(&self) -> usize {
        // SAFETY: words of the array.
        (0..OBJECTS).filter(|k| unsafe { !(*self.array.add(*k)).is_null() }).count()
    }
}

/// What is read, on the collector's thread, of its clock when it tells of its cycles.
#[derive(Default)]
struct Clock {
    /// The thread's CPU time when the last cycle ended, in nanoseconds.
    ended: AtomicU64,
    /// What it had used when the one after it began.
    swept: AtomicU64,
}

/// The heap's half of it.
struct Ear(Arc<Clock>);

impl Listener for Ear {
    fn cycle_began(&self, _: &CycleBegin) {
        self.0.swept.store(now() - self.0.ended.load(Relaxed), Relaxed);
    }

    fn cycle_ended(&self, _: &CycleRecord) {
        self.0.ended.store(now(), Relaxed);
    }
}

/// The CPU time of this thread, in nanoseconds.
fn now() -> u64 {
    // SAFETY: all-zero is a valid timespec, which the call fills in.
    let (result, time) = unsafe {
        let mut time: libc::timespec = std::mem::zeroed();
        (libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time), time)
    };
    assert_eq!(result, 0, "each thread has a clock");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

criterion_group!(benches, sweep);
criterion_main!(benches);
