//! What a worker's read costs, by kind (`docs/src/read-side.md`) and by how many words are loaded at once.
//!
//! * `snapshot`: the default, from pages that nobody has written to: the words, and a look at the page's state.
//! * `snapshot-saved`: the default, from pages that were written to: the words, the state, and the words again from the pre-image.
//! * `wrong-side-ok`: whichever side is there: the words alone.
//! * `inherited`: from a page that the kernel's copy-on-write keeps; measured in a worker that inherited it.
//! * `owned-page`: a page copied, for what wants a reference instead of loading.
//! * `break`: the kernel's copy of an inherited page, which the parent's first write to it makes. It is the price of `inherited`, paid by
//!   the program.
//!
//! The floor is a plain copy of as many bytes out of the same mapping; for `break`, a first write to a page that no child has. Words are
//! read all over 32 MiB, in a scattered order; the figure is that of one load.

use std::error::Error;
use std::hint::black_box;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use palimpsest_runtime::barrier::{Barrier, Choice, Contents, DeliveryKind};
use palimpsest_runtime::mapping::{Backing, HeapMapping};
use palimpsest_runtime::sys::process::{self, Forked};
use palimpsest_runtime::worker::{
    self, InheritedView, Order, OwnedPage, ReadSide, Reason, Record, SnapshotView, Verdict,
};
use palimpsest_runtime::{Address, Bytes, PAGE_SIZE, PageIndex, PageRange};

const PAGES: usize = 8192;
const SIZE: Bytes = Bytes(PAGES * PAGE_SIZE);

/// Words of a small object, of a larger one, and of a page.
const WORDS: [usize; 3] = [2, 8, PAGE_SIZE / 8];

const MEASURED: Reason = Reason::because("what is read is thrown away");

fn read_side(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read-side");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(100)).measurement_time(Duration::from_millis(500));
    if let Err(why) = shared(&mut group) {
        println!("skipped: read-side of a snapshot: {why}");
    }
    if let Err(why) = inherited(&mut group) {
        println!("skipped: read-side of inherited pages: {why}");
    }
    group.finish();
}

/// A heap whose pages are populated.
fn heap(backing: Backing) -> Result<Arc<HeapMapping>, Box<dyn Error>> {
    let heap = HeapMapping::reserve(SIZE, backing)?;
    // SAFETY: the traced half, which nobody else knows.
    unsafe { heap.base().as_ptr::<u8>().write_bytes(1, SIZE.0) };
    Ok(Arc::new(heap))
}

/// Calls `load` for the page's first words of each page, in a scattered order.
fn all_pages(base: Address, mut load: impl FnMut(Address)) {
    for turn in 0..PAGES {
        load(base.add(turn.wrapping_mul(1237) % PAGES * PAGE_SIZE));
    }
}

/// What so many loads take, by rounds over all pages.
fn each_of(loads: u64, mut round: impl FnMut() -> Duration) -> Duration {
    let rounds = loads.div_ceil(PAGES as u64).max(1);
    let spent: Duration = (0..rounds).map(|_| round()).sum();
    spent.mul_f64(loads as f64 / (rounds * PAGES as u64) as f64)
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn shared(group: &mut BenchmarkGroup<'_, WallTime>) -> Result<(), Box<dyn Error>> {
    let heap = heap(Backing::Shared)?;
    let made = Barrier::new(heap.clone(), DeliveryKind::Signal, None, SIZE);
    let barrier = made.or_else(|_| Barrier::new(heap.clone(), DeliveryKind::Protect, None, SIZE))?;
    let all = PageRange::new(0, PAGES as u32);
    barrier.note_dirty(all);
    barrier.arm_round(|_| Choice::All)?;
    barrier.begin_snapshot(|_| Choice::All)?;
    let base = heap.base();
    for saved in [false, true] {
        if saved {
            barrier.open(all, Contents::Objects);
        }
        let view = SnapshotView::new(&barrier);
        for words in WORDS {
            let mut into = vec![0; words];
            group.throughput(Throughput::Bytes(words as u64 * 8));
            let name = if saved { "snapshot-saved" } else { "snapshot" };
            group.bench_function(BenchmarkId::new(name, words * 8), |bencher| {
                bencher.iter_custom(|loads| {
                    each_of(loads, || timed(|| all_pages(base, |at| view.load(at, black_box(&mut into)))))
                });
            });
            if saved {
                continue;
            }
            let side = ReadSide::WrongSideOk(MEASURED);
            group.bench_function(BenchmarkId::new("wrong-side-ok", words * 8), |bencher| {
                bencher.iter_custom(|loads| {
                    each_of(loads, || {
                        timed(|| all_pages(base, |at| view.load_from(side, at, black_box(&mut into))))
                    })
                });
            });
            group.bench_function(BenchmarkId::new("floor", words * 8), |bencher| {
                bencher
                    .iter_custom(|loads| each_of(loads, || timed(|| copy_all(base, black_box(&mut into)))));
            });
        }
        if !saved {
            let mut page = OwnedPage([0; PAGE_SIZE / 8]);
            group.throughput(Throughput::Bytes(PAGE_SIZE as u64));
            group.bench_function("owned-page", |bencher| {
                bencher.iter_custom(|loads| {
                    each_of(loads, || {
                        timed(|| {
                            all_pages(base, |at| {
                                let number = (at.as_usize() - base.as_usize()) / PAGE_SIZE;
                                view.copy_page(PageIndex(number as u32), black_box(&mut page));
                            })
                        })
                    })
                });
            });
        }
    }
    barrier.end_snapshot();
    barrier.retire();
    Ok(())
}

fn copy_all(base: Address, into: &mut [u64]) {
    all_pages(base, |at| {
        // SAFETY: words of a populated page, which nobody writes to.
        unsafe { ptr::copy_nonoverlapping(at.as_ptr::<u64>().cast_const(), into.as_mut_ptr(), into.len()) };
    });
}

fn inherited(group: &mut BenchmarkGroup<'_, WallTime>) -> Result<(), Box<dyn Error>> {
    let heap = heap(Backing::Private)?;
    let (base, record) = (heap.base(), Record::new()?);
    for words in WORDS {
        group.throughput(Throughput::Bytes(words as u64 * 8));
        for (name, is_floor) in [("inherited", false), ("inherited-floor", true)] {
            let mut into = vec![0; words];
            group.bench_function(BenchmarkId::new(name, words * 8), |bencher| {
                bencher.iter_custom(|loads| {
                    in_worker(&heap, &record, |view| {
                        each_of(loads, || {
                            timed(|| {
                                if is_floor {
                                    copy_all(base, black_box(&mut into));
                                } else {
                                    all_pages(base, |at| view.load(at, black_box(&mut into)));
                                }
                            })
                        })
                    })
                });
            });
        }
    }
    group.throughput(Throughput::Bytes(PAGE_SIZE as u64));
    for (name, has_child) in [("break", true), ("break-floor", false)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|pages| each_of(pages, || time_to_write(&heap, has_child)));
        });
    }
    Ok(())
}

/// Runs `measure` in a worker that inherits the whole heap, and returns what it returned there.
fn in_worker(
    heap: &HeapMapping,
    record: &Record,
    measure: impl FnOnce(&InheritedView) -> Duration,
) -> Duration {
    let order = Order { tables: &[], record, cycle: 1, nice: 0, company: None };
    let pages = [PageRange::new(0, PAGES as u32)];
    // SAFETY: no thread is attached that would have to be stopped; `measure` allocates nothing, locks nothing, and looks at the heap.
    let worker = unsafe {
        worker::fork_inheriting(&order, heap, &pages, |view, _| {
            record.figure(0).store(measure(view).as_nanos() as u64, Relaxed);
            true
        })
    };
    let mut worker = worker.expect("a process more");
    worker.begin();
    let control = palimpsest_runtime::sys::event::Event::new().expect("an event");
    let end = worker.watch(&control, Duration::from_secs(120), || Verdict::GoOn);
    end.expect("the worker has measured");
    Duration::from_nanos(record.figure(0).load(Relaxed))
}

/// The time of a first write to each page, while a child has them too or not.
fn time_to_write(heap: &HeapMapping, has_child: bool) -> Duration {
    let write = || timed(|| all_pages(heap.base(), touch));
    if !has_child {
        return write();
    }
    let fork = || {
        // SAFETY: the child waits for its end and does nothing else.
        match unsafe { process::fork() }.expect("a process more") {
            Forked::Child => loop {
                std::thread::sleep(Duration::from_secs(1));
            },
            Forked::Parent(child) => child,
        }
    };
    let mut child =
        heap.inherited_by(&[PageRange::new(0, PAGES as u32)], fork).expect("advice about forking");
    let spent = write();
    child.kill();
    child.wait();
    spent
}

fn touch(at: Address) {
    // SAFETY: a word of the heap, which is private, and which only this thread uses.
    unsafe { at.as_ptr::<u64>().write_volatile(1) };
}

criterion_group!(benches, read_side);
criterion_main!(benches);
