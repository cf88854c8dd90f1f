//! What the first write to an armed page costs the writer, a page: the price of having no barrier in the code.
//!
//! * `open`: the page is not armed; the write alone, for comparison.
//! * `armed`: between snapshots. The trap, and opening the page.
//! * `saved`: during a snapshot. The same, with a copy of the page before.
//! * `bulk`: pages of a recycled block, opened together before the first write as the allocator does it.
//!
//! Pages are written in a scattered order, as a program's are. One thread writes; nothing else runs.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use palimpsest_runtime::barrier::Contents;
use palimpsest_runtime::{CHUNK_PAGES, PageRange};

mod support;
use support::{Armed, PAGES};

fn first_write(criterion: &mut Criterion) {
    let armed = match Armed::new() {
        Ok(armed) => armed,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let mut group = criterion.benchmark_group("first_write");
    group.throughput(Throughput::Elements(PAGES.into()));
    group.bench_function("open", |bencher| {
        bencher.iter_custom(|rounds| sum(rounds, || time(|| armed.write_all())));
    });
    group.bench_function("armed", |bencher| {
        bencher.iter_custom(|rounds| {
            sum(rounds, || {
                armed.arm_all();
                time(|| armed.write_all())
            })
        });
    });
    group.bench_function("saved", |bencher| {
        bencher.iter_custom(|rounds| {
            sum(rounds, || {
                armed.arm_all();
                armed.barrier.begin_snapshot();
                let spent = time(|| armed.write_all());
                assert_eq!(armed.barrier.end_snapshot(), PAGES, "each page was saved once");
                spent
            })
        });
    });
    group.bench_function("bulk", |bencher| {
        bencher.iter_custom(|rounds| {
            sum(rounds, || {
                armed.arm_all();
                time(|| {
                    for page in (0..PAGES).step_by(CHUNK_PAGES as usize) {
                        armed.barrier.open(PageRange::new(page, page + CHUNK_PAGES), Contents::Nothing);
                    }
                    armed.write_all();
                })
            })
        });
    });
    group.finish();
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn sum(rounds: u64, round: impl FnMut() -> Duration) -> Duration {
    std::iter::repeat_with(round).take(rounds as usize).sum()
}

criterion_group!(benches, first_write);
criterion_main!(benches);
