//! What the write barrier costs, piece by piece, each piece beside its floor: the least that does the same.
//!
//! * `first-write`: the first write to an armed page between snapshots, by delivery: it is noticed and the page opened.
//! * `first-write-saved`: the same in a snapshot: the page is copied before. Nothing to do for `async`, which keeps no snapshot.
//! * `save`: 16 pages copied and opened by one call, without a trap; `memcpy` is the copying alone, of 4 KiB from one shared
//!   mapping to another.
//! * `arm`: protecting open pages, by how many there are.
//! * `scan`: asking which of 8192 pages were written and arming them again, by how many were.
//!
//! Ours is a barrier without a collector above it (`support/sides`); the floor is the bare handler, or the bare request, over
//! memory of the same kind. One thread writes, in a scattered order. Figures are those of one page, but for `arm` and `scan`,
//! where they are those of one round over all pages. The two do not take turns here, as they do in the bench `ladder`.

use std::ptr;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{
    Bencher, BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group,
    criterion_main,
};
use palimpsest_runtime::barrier::DeliveryKind;
use palimpsest_runtime::{CHUNK_PAGES, PAGE_SIZE, PageRange};

#[path = "support/sides/mod.rs"]
mod sides;
use sides::floor::afterwards::AsyncFloor;
use sides::floor::memory::shared;
use sides::floor::waiting::Floor;
use sides::own::{Armed, Tracked};
use sides::{AsyncSide, PAGES, Side, time, write_pages};

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn barrier(criterion: &mut Criterion) {
    for delivery in DeliveryKind::ALL {
        let result = if delivery == DeliveryKind::Async {
            afterwards(criterion)
        } else {
            waiting(criterion, delivery)
        };
        if let Err(why) = result {
            println!("skipped: barrier, {delivery}: {why}");
        }
    }
    copying(criterion);
}

/// A delivery that the writer waits for.
fn waiting(criterion: &mut Criterion, delivery: DeliveryKind) -> Result<(), Box<dyn std::error::Error>> {
    let (own, floor) = (Armed::new(delivery)?, Floor::new(delivery)?);
    in_both(criterion, "first-write", delivery, &own, floor, |bencher, side| {
        by_page(bencher, side, PAGES, || {
            side.arm(1);
            let spent = time(|| write_pages(side.base(), 1));
            side.settle();
            spent
        });
    });
    in_both(criterion, "first-write-saved", delivery, &own, floor, |bencher, side| {
        by_page(bencher, side, PAGES, || {
            side.arm(1);
            side.begin_snapshot();
            let spent = time(|| write_pages(side.base(), 1));
            side.settle();
            side.end_snapshot(PAGES);
            spent
        });
    });
    in_both(criterion, "save", delivery, &own, floor, |bencher, side| {
        by_page(bencher, side, PAGES, || {
            side.arm(1);
            side.begin_snapshot();
            let spent = time(|| {
                for page in (0..PAGES).step_by(CHUNK_PAGES as usize) {
                    side.save(PageRange::new(page, page + CHUNK_PAGES));
                }
            });
            side.end_snapshot(PAGES);
            spent
        });
    });
    for pages in [1, 16, 512, PAGES] {
        let subject = format!("arm/{pages}");
        in_both(criterion, &subject, delivery, &own, floor, |bencher, side| {
            side.begin_turn();
            side.arm_first(PAGES);
            bencher.iter_custom(|rounds| {
                (0..rounds)
                    .map(|_| {
                        side.open(PageRange::new(0, pages));
                        touch(side.base(), pages);
                        time(|| side.arm_first(pages))
                    })
                    .sum()
            });
            side.open(PageRange::new(0, PAGES));
            side.end_turn();
        });
    }
    own.retire();
    Ok(())
}

/// The same work for ours and for the floor.
fn in_both(
    criterion: &mut Criterion,
    subject: &str,
    delivery: DeliveryKind,
    own: &Armed,
    floor: &Floor,
    bench: impl Fn(&mut Bencher<'_>, &dyn Side),
) {
    let mut group = group(criterion, subject);
    group.bench_function(BenchmarkId::new("ours", delivery), |bencher| bench(bencher, own));
    group.bench_function(BenchmarkId::new("floor", delivery), |bencher| bench(bencher, floor));
    group.finish();
}

/// Rounds over so many pages, of which criterion wants the time for one page. All pages are open before and afterwards.
fn by_page(bencher: &mut Bencher<'_>, side: &dyn Side, pages: u32, mut round: impl FnMut() -> Duration) {
    side.begin_turn();
    bencher.iter_custom(|wanted| each_of(wanted, pages, &mut round));
    side.end_turn();
}

/// As many rounds as it takes to have `wanted` pages, and what `wanted` pages take by them.
fn each_of(wanted: u64, pages: u32, round: &mut dyn FnMut() -> Duration) -> Duration {
    let rounds = wanted.div_ceil(pages.into()).max(1);
    let spent: Duration = (0..rounds).map(|_| round()).sum();
    spent.mul_f64(wanted as f64 / (rounds * u64::from(pages)) as f64)
}

/// Writes to the first so many pages.
fn touch(base: *mut u8, pages: u32) {
    for page in 0..pages as usize {
        // SAFETY: a side's page, which is open; nothing in it is needed.
        unsafe { base.add(page * PAGE_SIZE).write_volatile(1) };
    }
}

/// The delivery that is asked afterwards.
fn afterwards(criterion: &mut Criterion) -> Result<(), Box<dyn std::error::Error>> {
    let (mut own, mut floor) = (Tracked::new()?, AsyncFloor::new()?);
    let sides: [(&str, &mut dyn AsyncSide); 2] = [("ours", &mut own), ("floor", &mut floor)];
    for (name, side) in sides {
        let mut first = group(criterion, "first-write");
        first.bench_function(BenchmarkId::new(name, DeliveryKind::Async), |bencher| {
            bencher.iter_custom(|wanted| {
                each_of(wanted, PAGES, &mut || {
                    side.arm();
                    time(|| write_pages(side.base(), 1))
                })
            });
        });
        first.finish();
        let mut arm = group(criterion, &format!("arm/{PAGES}"));
        arm.bench_function(BenchmarkId::new(name, DeliveryKind::Async), |bencher| {
            bencher.iter_custom(|rounds| {
                (0..rounds)
                    .map(|_| {
                        touch(side.base(), PAGES);
                        time(|| side.arm())
                    })
                    .sum()
            });
        });
        arm.finish();
        let mut scan = group(criterion, "scan");
        scan.throughput(Throughput::Elements(PAGES.into()));
        for (written, step) in [("all", 1), ("half", 2), ("1 in 8", 8), ("1 in 64", 64), ("none", PAGES + 1)]
        {
            scan.bench_function(BenchmarkId::new(name, written), |bencher| {
                side.arm();
                bencher.iter_custom(|rounds| {
                    (0..rounds)
                        .map(|_| {
                            let expected = if step > PAGES { 0 } else { PAGES / step };
                            if expected > 0 {
                                write_pages(side.base(), step);
                            }
                            let mut found = 0;
                            let spent = time(|| found = side.take_written());
                            assert_eq!(found, expected);
                            spent
                        })
                        .sum()
                });
            });
        }
        scan.finish();
    }
    Ok(())
}

/// Copying alone.
fn copying(criterion: &mut Criterion) {
    let len = PAGES as usize * PAGE_SIZE;
    let (Ok(from), Ok(to)) = (shared(len), shared(len)) else {
        println!("skipped: barrier, save/memcpy: no memory file");
        return;
    };
    group(criterion, "save").bench_function("memcpy", |bencher| {
        bencher.iter_custom(|wanted| {
            each_of(wanted, PAGES, &mut || {
                time(|| {
                    for turn in 0..PAGES {
                        let page = (turn.wrapping_mul(1237) % PAGES) as usize;
                        // SAFETY: a page of either mapping, which nobody else uses.
                        unsafe {
                            let from = from.add(page * PAGE_SIZE);
                            ptr::copy_nonoverlapping(from, to.add(turn as usize * PAGE_SIZE), PAGE_SIZE);
                        }
                    }
                })
            })
        });
    });
}

/// Rounds are alike, and a sample has few of them.
fn group<'a>(criterion: &'a mut Criterion, subject: &str) -> Group<'a> {
    let mut group = criterion.benchmark_group(format!("barrier/{subject}"));
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(800));
    group
}

criterion_group!(benches, barrier);
criterion_main!(benches);
