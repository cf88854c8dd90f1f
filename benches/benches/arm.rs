//! What arming costs the collector, a page, ahead of the pause.
//!
//! * `contiguous`: whole chunks are dirty, as after allocation; one call protects many pages.
//! * `scattered`: every second page is dirty, the worst case; one call for each.
//!
//! No thread runs that would need a TLB shoot-down, so with busy mutators on other processors it costs more.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use palimpsest_runtime::PageRange;
use palimpsest_runtime::barrier::Contents;

#[path = "support/armed.rs"]
mod armed;
use armed::{Armed, PAGES};

fn arm(criterion: &mut Criterion) {
    let armed = match Armed::new() {
        Ok(armed) => armed,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let mut group = criterion.benchmark_group("arm");
    for (name, step) in [("contiguous", 1), ("scattered", 2)] {
        group.throughput(Throughput::Elements((PAGES / step).into()));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    armed.arm_all();
                    open_every(&armed, step);
                    let start = Instant::now();
                    assert_eq!(armed.arm_all(), PAGES / step);
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

/// Opens every `step`th page, without a trap.
fn open_every(armed: &Armed, step: u32) {
    for page in (0..PAGES).step_by(step as usize) {
        armed.barrier.open(PageRange::new(page, page + 1), Contents::Nothing);
    }
}

criterion_group!(benches, arm);
criterion_main!(benches);
