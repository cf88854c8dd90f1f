//! The silent break of copy-on-write: what a fork does to the memory of a barrier.
//!
//! A worker has its parent's memory as of the fork, and a write by either side gives one of them a copy of its own. The
//! barrier is not told of that break and must not be: nothing in the heap changed. These tests hold the kernel to it, with
//! children that write where a worker would only read.

mod common;

use common::deliveries;
use palimpsest_runtime::barrier::{Barrier, Choice, Tracker};
use palimpsest_runtime::mapping::{Backing, HeapMapping};
use palimpsest_runtime::sys::process::{self, Child, ChildExit, Forked};
use palimpsest_runtime::worker::{self, Order, Record, Verdict};
use palimpsest_runtime::{Address, Bytes, PAGE_SIZE, PageRange};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const PAGES: u32 = 64;

fn heap(backing: Backing) -> Arc<HeapMapping> {
    Arc::new(HeapMapping::reserve(Bytes(PAGES as usize * PAGE_SIZE), backing).expect("a heap"))
}

fn all() -> PageRange {
    PageRange::new(0, PAGES)
}

fn word(base: Address, page: u32) -> &'static AtomicU64 {
    // SAFETY: an aligned word of a heap that the test keeps, used as an atomic only.
    unsafe { &*base.add(page as usize * PAGE_SIZE).as_ptr::<AtomicU64>() }
}

/// A child that inherits the whole of a private heap.
fn child_with(heap: &HeapMapping, body: impl FnOnce()) -> Child {
    // SAFETY: the child runs `body`, which loads and stores words, and exits.
    let fork = || match unsafe { process::fork() }.expect("a fork") {
        Forked::Child => {
            body();
            process::exit_now(0)
        }
        Forked::Parent(child) => child,
    };
    heap.inherited_by(&[all()], fork).expect("an inherited heap")
}

#[test]
fn a_break_in_the_child_neither_notifies_nor_dirties_the_parents_pages() {
    for delivery in deliveries(Backing::Private) {
        let heap = heap(Backing::Private);
        let base = heap.base();
        let barrier = Barrier::new(heap.clone(), delivery, None, Bytes::mib(1)).expect("a barrier");
        (0..PAGES).for_each(|page| word(base, page).store(1, SeqCst));
        barrier.note_dirty(all());
        barrier.arm_round(|_| Choice::All).expect("armed");

        let mut child = child_with(&heap, || {
            for page in 0..PAGES {
                // With `mprotect` the child's copy is protected too, as any memory is; it is not what breaks here.
                if barrier.delivery().fault() != Some(palimpsest_runtime::sys::signal::Fault::Segv) {
                    word(base, page).store(2, SeqCst);
                }
                if word(base, page).load(SeqCst) == 0 {
                    process::exit_now(1);
                }
            }
        });
        assert_eq!(child.wait(), ChildExit::Status(0), "{delivery}: the child's writes are its own business");
        assert_eq!(barrier.counts().trapped, 0, "{delivery}: the parent was notified");
        assert_eq!(barrier.arm_round(|_| Choice::All).expect("armed"), 0, "{delivery}: a page became dirty");
        assert!((0..PAGES).all(|page| word(base, page).load(SeqCst) == 1));

        // And the parent's own writes still trap, after the fork and in the presence of a child.
        let mut child = child_with(&heap, || std::thread::sleep(Duration::from_millis(50)));
        (0..PAGES).for_each(|page| word(base, page).store(3, SeqCst));
        assert_eq!(barrier.counts().trapped, PAGES.into(), "{delivery}");
        child.wait();
        barrier.retire();
    }
}

#[test]
fn a_break_in_the_child_is_no_written_page_of_a_tracker() {
    let heap = heap(Backing::Private);
    let base = heap.base();
    let tracker = match Tracker::new(heap.clone(), None) {
        Ok(tracker) => tracker,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    (0..PAGES).for_each(|page| word(base, page).store(1, SeqCst));
    assert_eq!(tracker.take_written(all(), |_| {}).expect("a walk"), PAGES);
    let mut child = child_with(&heap, || (0..PAGES).for_each(|page| word(base, page).store(2, SeqCst)));
    assert_eq!(child.wait(), ChildExit::Status(0));
    assert_eq!(tracker.take_written(all(), |_| {}).expect("a walk"), 0, "nothing was written here");

    word(base, 7).store(3, SeqCst);
    word(base, 8).store(3, SeqCst);
    word(base, 60).fetch_add(1, SeqCst);
    let mut runs = Vec::new();
    assert_eq!(tracker.written(all(), |run| runs.push(run)).expect("a walk"), 3);
    assert_eq!(runs, [PageRange::new(7, 9), PageRange::new(60, 61)]);
    assert_eq!(tracker.take_written(all(), |_| {}).expect("a walk"), 3, "looking does not take");
    assert_eq!(tracker.take_written(all(), |_| {}).expect("a walk"), 0, "taking does");
}

#[test]
fn an_inherited_heap_is_the_heap_of_the_fork_whatever_the_parent_writes() {
    let heap = heap(Backing::Private);
    let base = heap.base();
    (0..PAGES).for_each(|page| word(base, page).store(u64::from(page) + 1, SeqCst));
    let record = Record::new().expect("a record");
    let order = Order { tables: &[], record: &record, cycle: 1, nice: 0, company: None };
    // SAFETY: no other thread writes to the heap, and the body only reads and adds.
    let mut worker = unsafe {
        worker::fork_inheriting(&order, &heap, &[PageRange::new(0, PAGES / 2)], |view, _| {
            let mut sum = 0;
            for page in 0..PAGES / 2 {
                let mut into = [0];
                view.load(base.add(page as usize * PAGE_SIZE), &mut into);
                sum += into[0];
            }
            record.figure(0).store(sum, SeqCst);
            true
        })
    }
    .expect("a worker");
    (0..PAGES).for_each(|page| word(base, page).store(0, SeqCst));
    worker.begin();
    let event = palimpsest_runtime::sys::event::Event::new().expect("an event");
    worker.watch(&event, Duration::from_secs(20), || Verdict::GoOn).expect("a complete worker");
    let half = u64::from(PAGES / 2);
    assert_eq!(record.figure(0).load(SeqCst), half * (half + 1) / 2);

    // What is left out of the fork is not there.
    // SAFETY: as above; the body is expected to be killed by its own load.
    let mut worker = unsafe {
        worker::fork_inheriting(&order, &heap, &[PageRange::new(0, 1)], |view, _| {
            view.load(base.add(PAGE_SIZE), &mut [0]);
            true
        })
    }
    .expect("a worker");
    worker.begin();
    let end = worker.watch(&event, Duration::from_secs(20), || Verdict::GoOn);
    assert_eq!(end, Err(worker::Failure::Signal(libc::SIGSEGV)));
}

#[test]
fn a_worker_cannot_write_to_the_heap() {
    for delivery in deliveries(Backing::Shared) {
        let heap = heap(Backing::Shared);
        let base = heap.base();
        let barrier = Barrier::new(heap, delivery, None, Bytes::mib(1)).expect("a barrier");
        let record = Record::new().expect("a record");
        let order = Order { tables: &[], record: &record, cycle: 1, nice: 0, company: None };
        barrier.begin_snapshot(|_| Choice::All).expect("a snapshot");
        // SAFETY: nobody writes to the heap but the body, which is to be killed for it.
        let mut worker = unsafe {
            worker::fork(&order, &barrier, |_, _| {
                word(base, 0).store(9, SeqCst);
                true
            })
        }
        .expect("a worker");
        worker.begin();
        let end = worker.watch(barrier.control(), Duration::from_secs(20), || Verdict::GoOn);
        assert_eq!(end, Err(worker::Failure::Signal(libc::SIGSEGV)), "{delivery}");
        assert_eq!(word(base, 0).load(SeqCst), 0);
        barrier.end_snapshot();
        barrier.retire();
    }
}
