//! What forking a snapshot's worker costs the pause: the time of the call that forks, in the parent.
//!
//! * `heap`: by the size of the populated heap, which no child inherits: it should not matter.
//! * `native`: by the size of other private memory, populated, whose page tables the kernel copies: it does.
//!
//! `ours` is `worker::fork` in a snapshot; the worker maps the heap and ends. The floor is the bare call by which the library forks, in
//! the same process, with a child that ends at once. That the child ends and is reaped is not in the time.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use palimpsest_runtime::barrier::{Barrier, Choice, DeliveryKind};
use palimpsest_runtime::mapping::{Backing, HeapMapping};
use palimpsest_runtime::sys::process::{self, Forked};
use palimpsest_runtime::worker::{self, Order, Record, Verdict};
use palimpsest_runtime::{Bytes, PAGE_SIZE, PageRange};

#[path = "support/room.rs"]
mod room;
#[path = "support/sides/mod.rs"]
mod sides;
use sides::floor::memory::Inherited;

/// Of heap, and of native memory.
const MIB: [usize; 3] = [16, 256, 1024];

fn fork(criterion: &mut Criterion) {
    for mib in MIB {
        let done = room::needs((mib + 256) << 20).map_err(Into::into).and_then(|()| {
            let mut frozen = Frozen::new(mib)?;
            bench(criterion, "heap", mib, &mut frozen);
            frozen.barrier.retire();
            Ok::<_, Box<dyn Error>>(())
        });
        report("heap", mib, done);
    }
    for mib in MIB {
        let done = room::needs((mib + 256) << 20).map_err(Into::into).and_then(|()| {
            let mut frozen = Frozen::new(16)?;
            let native = Inherited::new(mib << 20)?;
            native.be_inherited(true);
            bench(criterion, "native", mib, &mut frozen);
            native.be_inherited(false);
            frozen.barrier.retire();
            Ok(())
        });
        report("native", mib, done);
    }
}

fn report(what: &str, mib: usize, done: Result<(), Box<dyn Error>>) {
    if let Err(why) = done {
        println!("skipped: fork/{what}/{mib}: {why}");
    }
}

fn bench(criterion: &mut Criterion, what: &str, mib: usize, frozen: &mut Frozen) {
    let mut group = criterion.benchmark_group(format!("fork/{what}"));
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(800));
    group.bench_function(BenchmarkId::new("ours", mib), |bencher| {
        bencher.iter_custom(|forks| (0..forks).map(|_| frozen.fork()).sum());
    });
    group.bench_function(BenchmarkId::new("floor", mib), |bencher| {
        bencher.iter_custom(|forks| (0..forks).map(|_| bare_fork()).sum());
    });
    group.finish();
}

/// A populated heap under a barrier, of which snapshots are taken.
struct Frozen {
    barrier: Arc<Barrier>,
    record: Record,
    cycle: u64,
}

impl Frozen {
    fn new(mib: usize) -> Result<Self, Box<dyn Error>> {
        let heap = Arc::new(HeapMapping::reserve(Bytes::mib(mib), Backing::Shared)?);
        // SAFETY: the traced half, which nobody else knows.
        unsafe { heap.base().as_ptr::<u8>().write_bytes(1, heap.half().0) };
        let pool = Bytes::mib(1);
        let made = Barrier::new(heap.clone(), DeliveryKind::Signal, None, pool);
        let barrier = made.or_else(|_| Barrier::new(heap.clone(), DeliveryKind::Protect, None, pool))?;
        barrier.note_dirty(PageRange::new(0, (heap.half().0 / PAGE_SIZE) as u32));
        barrier.arm_round(|_| Choice::All)?;
        Ok(Self { barrier, record: Record::new()?, cycle: 0 })
    }

    fn fork(&mut self) -> Duration {
        self.barrier.begin_snapshot(|_| Choice::All).expect("no page is pinned");
        self.cycle += 1;
        let order = Order { tables: &[], record: &self.record, cycle: self.cycle, nice: 0, company: None };
        let start = Instant::now();
        // SAFETY: no thread is attached that would have to be stopped, the snapshot has begun, and the worker does nothing.
        let worker = unsafe { worker::fork(&order, &self.barrier, |_, _| true) };
        let spent = start.elapsed();
        let mut worker = worker.expect("a process more");
        worker.begin();
        let end = worker.watch(self.barrier.control(), Duration::from_secs(10), || Verdict::GoOn);
        end.expect("the worker did nothing, and that completely");
        drop(worker);
        self.barrier.end_snapshot();
        spent
    }
}

fn bare_fork() -> Duration {
    let start = Instant::now();
    // SAFETY: the child does nothing but exit.
    let forked = unsafe { process::fork() }.expect("a process more");
    match forked {
        Forked::Child => process::exit_now(0),
        Forked::Parent(mut child) => {
            let spent = start.elapsed();
            child.wait();
            spent
        }
    }
}

criterion_group!(benches, fork);
criterion_main!(benches);
