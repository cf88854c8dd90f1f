//! The barrier as a mutator sees it: the same for every synchronous delivery, over shared and over private memory.
//!
//! The view of the snapshot is looked at in the barrier's own process here; `snapshot.rs` does it in a worker.

mod common;

use common::deliveries;
use palimpsest_runtime::barrier::{Barrier, Choice, Contents, DeliveryKind};
use palimpsest_runtime::mapping::{Backing, HeapMapping};
use palimpsest_runtime::sys::Errno;
use palimpsest_runtime::worker::{OwnedPage, ReadSide, Reason, SnapshotView};
use palimpsest_runtime::{Address, Bytes, CHUNK_PAGES, CHUNK_SIZE, PAGE_SIZE, PageIndex, PageRange};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};

const PAGES: u32 = 512;

/// Runs `check` on a fresh barrier for everything that can be had here.
fn on_every_barrier(check: impl Fn(&Arc<Barrier>)) {
    let mut checked = 0;
    for backing in [Backing::Shared, Backing::Private] {
        for delivery in deliveries(backing) {
            eprintln!("{delivery} over {backing}");
            let size = Bytes(PAGES as usize * PAGE_SIZE);
            let heap = Arc::new(HeapMapping::reserve(size, backing).expect("a heap"));
            let barrier = Barrier::new(heap, delivery, None, size).expect("a barrier");
            check(&barrier);
            barrier.retire();
            checked += 1;
        }
    }
    assert!(checked >= 2, "mprotect works everywhere");
}

fn word(barrier: &Barrier, page: u32, k: usize) -> &AtomicU64 {
    let at = barrier.heap().base().add(page as usize * PAGE_SIZE + k * 8);
    // SAFETY: an aligned word of the heap, which these tests use as atomics only.
    unsafe { &*at.as_ptr::<AtomicU64>() }
}

fn arm_all(barrier: &Barrier) -> u32 {
    barrier.note_dirty(PageRange::new(0, PAGES));
    arm_dirty(barrier)
}

fn arm_dirty(barrier: &Barrier) -> u32 {
    barrier.settle();
    barrier.arm_round(|_| Choice::All).expect("armed")
}

/// A word of the snapshot.
fn of_snapshot(barrier: &Barrier, page: u32, k: usize) -> u64 {
    let mut into = [0];
    SnapshotView::new(barrier).load(barrier.heap().base().add(page as usize * PAGE_SIZE + k * 8), &mut into);
    into[0]
}

#[test]
fn a_first_write_traps_once_and_again_after_the_next_arming() {
    on_every_barrier(|barrier| {
        // Never-populated pages trap like others.
        assert_eq!(arm_all(barrier), PAGES);
        for round in 1..=3u64 {
            for page in 0..PAGES {
                for k in [0, 7, 511] {
                    word(barrier, page, k).store(round, SeqCst);
                }
            }
            assert_eq!(barrier.counts().trapped, round * u64::from(PAGES));
            assert_eq!(arm_dirty(barrier), PAGES, "what was written is dirty");
            assert_eq!(arm_dirty(barrier), 0, "and nothing else");
        }
        assert_eq!(barrier.counts().preimages, 0);
        assert!((0..PAGES).all(|page| word(barrier, page, 7).load(SeqCst) == 3));
    });
}

#[test]
fn reads_and_opened_pages_do_not_trap() {
    on_every_barrier(|barrier| {
        arm_all(barrier);
        assert!((0..PAGES).all(|page| word(barrier, page, 3).load(SeqCst) == 0));
        barrier.open(PageRange::new(0, PAGES), Contents::Nothing);
        (0..PAGES).for_each(|page| word(barrier, page, 3).store(1, SeqCst));
        assert_eq!(barrier.counts().trapped, 0);
    });
}

#[test]
fn atomic_operations_trap_like_stores_and_take_effect_once() {
    on_every_barrier(|barrier| {
        arm_all(barrier);
        for page in 0..PAGES {
            assert_eq!(word(barrier, page, 0).fetch_add(5, SeqCst), 0);
            assert_eq!(word(barrier, page, 0).compare_exchange(5, 6, SeqCst, SeqCst), Ok(5));
        }
        assert_eq!(barrier.counts().trapped, PAGES.into());
        assert!((0..PAGES).all(|page| word(barrier, page, 0).load(SeqCst) == 6));
    });
}

#[test]
fn the_default_side_is_the_snapshot_and_the_other_side_is_what_was_written() {
    let why = Reason::because("shows that the wrong side is returned when it is asked for");
    on_every_barrier(|barrier| {
        (0..PAGES).for_each(|page| word(barrier, page, 1).store(page.into(), SeqCst));
        arm_all(barrier);
        barrier.begin_snapshot(|_| Choice::All).expect("a snapshot");
        for page in (0..PAGES).step_by(2) {
            word(barrier, page, 1).store(1 << 40, SeqCst);
        }
        let view = SnapshotView::new(barrier);
        let mut owned = OwnedPage([0; PAGE_SIZE / 8]);
        for page in 0..PAGES {
            let at = barrier.heap().base().add(page as usize * PAGE_SIZE + 8);
            assert_eq!(of_snapshot(barrier, page, 1), page.into());
            view.copy_page(PageIndex(page), &mut owned);
            assert_eq!(owned.0[1], page.into());
            let mut wrong = [0];
            view.load_from(ReadSide::WrongSideOk(why), at, &mut wrong);
            assert_eq!(wrong[0], if page % 2 == 0 { 1 << 40 } else { page.into() });
        }
        assert_eq!(barrier.counts().preimages, u64::from(PAGES) / 2);
        assert_eq!(barrier.end_snapshot(), PAGES / 2);
        assert_eq!(arm_dirty(barrier), PAGES / 2);
    });
}

#[test]
fn the_default_never_returns_a_racing_writers_side() {
    on_every_barrier(|barrier| {
        for round in 1..=20u64 {
            (0..PAGES).for_each(|page| word(barrier, page, 5).store(round, SeqCst));
            arm_all(barrier);
            barrier.begin_snapshot(|_| Choice::All).expect("a snapshot");
            std::thread::scope(|s| {
                for first in 0..2 {
                    // Two writers on every page: both fault on it, one saves it, both writes land.
                    s.spawn(move || {
                        for page in 0..PAGES {
                            word(barrier, page, 5 + first).store(round + 1_000, SeqCst);
                        }
                    });
                }
                for _ in 0..3 {
                    assert!((0..PAGES).all(|page| of_snapshot(barrier, page, 5) == round));
                }
            });
            assert!((0..PAGES).all(|page| of_snapshot(barrier, page, 5) == round));
            assert!((0..PAGES).all(|page| word(barrier, page, 6).load(SeqCst) == round + 1_000));
            assert_eq!(barrier.end_snapshot(), PAGES, "each page was saved once");
        }
    });
}

/// Has the kernel write eight bytes into the heap, as `read(2)` does.
fn read_into(at: Address, value: u64) -> Result<usize, Errno> {
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    rustix::io::write(&writer, &value.to_ne_bytes()).expect("room in the pipe");
    // SAFETY: eight bytes of the heap, which nobody else uses.
    let into = unsafe { std::slice::from_raw_parts_mut(at.as_ptr::<u8>(), 8) };
    rustix::io::read(&reader, into)
}

#[test]
fn a_kernel_write_to_an_armed_page_fails_or_is_served() {
    on_every_barrier(|barrier| {
        arm_all(barrier);
        let result = read_into(barrier.heap().base(), 77);
        let served = barrier.delivery().kind() == DeliveryKind::Monitor
            && barrier.delivery().door().is_some_and(|door| door.sees_kernel_writes());
        if served {
            assert_eq!((result, barrier.counts().trapped), (Ok(8), 1));
            assert_eq!(arm_dirty(barrier), 1, "and noticed");
        } else {
            assert_eq!((result, barrier.counts().trapped), (Err(Errno::FAULT), 0));
        }
    });
}

#[test]
fn pinned_pages_take_kernel_writes_and_stay_dirty_and_in_the_snapshot() {
    on_every_barrier(|barrier| {
        arm_all(barrier);
        let base = barrier.heap().base();
        let pin = barrier.pin(PageRange::new(0, 2));
        assert_eq!(arm_dirty(barrier), 0, "pinned pages stay open");
        assert_eq!(read_into(base, 1), Ok(8));

        // A snapshot that is taken meanwhile has them as they were.
        barrier.begin_snapshot(|_| Choice::All).expect("a snapshot");
        assert_eq!(read_into(base, 2), Ok(8));
        assert_eq!((word(barrier, 0, 0).load(SeqCst), of_snapshot(barrier, 0, 0)), (2, 1));
        assert_eq!(barrier.end_snapshot(), 2);
        let again = barrier.pin(PageRange::new(1, 2));
        drop(pin);
        assert_eq!(arm_dirty(barrier), 1, "one page is pinned twice");
        assert_eq!(read_into(base.add(PAGE_SIZE), 3), Ok(8));
        drop(again);
        assert_eq!(arm_dirty(barrier), 1);
        word(barrier, 1, 9).store(1, SeqCst);
        assert_eq!(barrier.counts().trapped, 1);
    });
}

/// A guard may be dropped by a thread in a blocking region, also while the collector takes a snapshot.
#[test]
fn a_pin_that_is_dropped_while_the_snapshot_begins_leaves_no_page_open() {
    on_every_barrier(|barrier| {
        arm_all(barrier);
        let mut pin = Some(barrier.pin(PageRange::new(0, 1)));
        word(barrier, 0, 0).store(7, SeqCst);
        // Something in the next chunk to be armed, at which the pin goes.
        word(barrier, 20, 0).store(1, SeqCst);
        barrier.settle();
        let choose = |chunk| {
            if chunk == 1 {
                drop(pin.take());
            }
            Choice::All
        };
        barrier.begin_snapshot(choose).expect("a snapshot");
        assert!(pin.is_none());
        word(barrier, 0, 0).store(8, SeqCst);
        assert_eq!(of_snapshot(barrier, 0, 0), 7);
        barrier.end_snapshot();
    });
}

/// The kernel writes, on behalf of a thread in a blocking region, while the collector takes a snapshot.
#[test]
fn a_write_that_is_served_while_the_snapshot_begins_is_dirty_afterwards() {
    on_every_barrier(|barrier| {
        if barrier.delivery().kind() != DeliveryKind::Monitor
            || !barrier.delivery().door().is_some_and(|door| door.sees_kernel_writes())
        {
            return;
        }
        arm_all(barrier);
        word(barrier, 0, 0).store(1, SeqCst);
        barrier.settle();
        let at = barrier.heap().base().add(12 * PAGE_SIZE);
        let choose = |_| {
            assert_eq!(read_into(at, 5), Ok(8));
            Choice::All
        };
        barrier.begin_snapshot(choose).expect("a snapshot");
        assert_eq!(barrier.end_snapshot(), 1);
        // The page is in the next snapshot.
        barrier.begin_snapshot(|_| Choice::All).expect("a snapshot");
        word(barrier, 12, 0).store(9, SeqCst);
        assert_eq!(of_snapshot(barrier, 12, 0), 5);
        barrier.end_snapshot();
    });
}

/// Two threads that fault on one page: one of them finds it open. That is no fault of somebody else, however often it happens.
#[test]
fn writers_race_for_a_hot_page_for_ever() {
    on_every_barrier(|barrier| {
        let done = AtomicBool::new(false);
        barrier.note_dirty(PageRange::new(0, 1));
        std::thread::scope(|s| {
            for k in 0..2 {
                let done = &done;
                s.spawn(move || {
                    while !done.load(Relaxed) {
                        word(barrier, 0, k).fetch_add(1, Relaxed);
                    }
                });
            }
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(3) {
                barrier.arm_round(|_| Choice::All).expect("armed");
                std::thread::sleep(Duration::from_millis(1));
            }
            done.store(true, Relaxed);
        });
        assert!(barrier.counts().trapped > 100, "the page was not hot: {:?}", barrier.counts());
    });
}

/// Recycled blocks are opened all over an armed heap: the mappings stay bounded, and the barrier whole.
#[test]
fn mappings_are_bounded_whatever_is_opened() {
    let name = "mappings_are_bounded_whatever_is_opened";
    let case = || {
        const BLOCKS: u32 = 40_000;
        let size = Bytes(2 * BLOCKS as usize * CHUNK_SIZE);
        let heap = Arc::new(HeapMapping::reserve(size, Backing::Shared).expect("a heap"));
        let barrier =
            Barrier::new(heap, DeliveryKind::Protect, None, Bytes::mib(16)).expect("a barrier by mprotect");
        barrier.note_dirty(PageRange::new(0, 2 * BLOCKS * CHUNK_PAGES));
        arm_dirty(&barrier);
        for block in 0..BLOCKS {
            let first = 2 * block * CHUNK_PAGES;
            barrier.open(PageRange::new(first, first + CHUNK_PAGES), Contents::Nothing);
        }
        assert!(!barrier.is_broken());
        let mappings = std::fs::read_to_string("/proc/self/maps").expect("the mappings").lines().count();
        assert!(mappings < 40_000, "{mappings} mappings");
    };
    if let Some(status) = common::alone(name, case) {
        assert!(status.success(), "{status}");
    }
}
