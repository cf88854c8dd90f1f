//! A snapshot while mutators write: what a worker reads is what was there.

use super::{Thread, join_all, spawn};
use crate::barrier::{Barrier, Choice, Contents};
use crate::explore::Model;
use crate::unit::{PAGE_SIZE, PAGE_WORDS, PageRange};
use crate::worker::SnapshotView;
use std::sync::Arc;

/// Two writers to one page, and a worker that reads it twice: in each schedule, and for whatever its loads return, it sees the
/// page as it was.
pub const PREIMAGE: Model = Model {
    name: "pre-image",
    preemptions: 3,
    mistakes: &[
        ("trap: published before it is copied", "the worker saw a write"),
        ("trap: opened before it is saved", "the worker saw a write"),
        // By the check of slots at the end: two had the page, and saved it both.
        ("trap: a page is taken without a compare-and-swap", "is saved in pre-image 1 at the end"),
        ("view: the word is looked at first", "the worker saw a write"),
    ],
    orders: &[
        (
            "barrier/trap.rs",
            "word.store(PageWord::saved(slot).raw(), Ordering::Release",
            "the worker saw a write",
        ),
        ("worker/view.rs", "fence(Ordering::Acquire)", "the worker saw a write"),
    ],
    deaths: false,
    run: preimage,
};

/// A snapshot ends while a writer is in its trap and a monitor is late with an event for the same page; pages are armed again at
/// once, and the next snapshot begins.
pub const END: Model = Model {
    name: "end of a snapshot",
    preemptions: 2,
    mistakes: &[
        ("end: slots are taken back under handlers", "the pre-image is not that of this snapshot"),
        ("end: late handlers are not waited for", "the pre-image is not that of this snapshot"),
    ],
    orders: &[],
    deaths: false,
    run: end,
};

/// A monitor is late with an event for an armed page when a snapshot begins: whether it comes before, in the middle or after, the
/// snapshot is right, and the page is armed in the next one.
pub const LATE: Model = Model {
    name: "late event",
    preemptions: 3,
    mistakes: &[
        ("snapshot: handlers at work are not waited for", "the worker saw a write"),
        ("end: a saved page is not dirty", "a page is left open in the snapshot"),
    ],
    orders: &[],
    deaths: false,
    run: late,
};

/// Two writers, two pages, room for one pre-image: one of them waits until the snapshot has ended, and nothing of it is lost.
pub const EXHAUSTED: Model = Model {
    name: "pool exhausted",
    preemptions: 2,
    mistakes: &[("end: those who wait for room are not woken", "somebody waits for ever")],
    orders: &[],
    deaths: false,
    run: exhausted,
};

/// One thread opens two pages in one step, to allocate there, and another writes to one of them.
pub const BULK: Model = Model {
    name: "opening in bulk",
    preemptions: 2,
    mistakes: &[("bulk: opened without saving", "the worker saw a write")],
    orders: &[],
    deaths: false,
    run: bulk,
};

const BEFORE: [u64; PAGE_WORDS] = [10, 20];

/// Begins a snapshot of all pages.
fn begin(barrier: &Barrier) {
    barrier.begin_snapshot(|_: u32| Choice::All).unwrap();
}

/// What a worker sees of a page.
fn look(barrier: &Barrier, page: u32) -> [u64; PAGE_WORDS] {
    let mut words = [0; PAGE_WORDS];
    let at = barrier.heap().base().add(page as usize * PAGE_SIZE);
    SnapshotView::new(barrier).load(at, &mut words);
    words
}

fn writer(barrier: &Arc<Barrier>, page: u32, word: usize, value: u64) -> Thread {
    let barrier = barrier.clone();
    spawn(move || barrier.write(page, word, value))
}

fn preimage() {
    // Room for what two would take that have the page both, and one more: it is not the room that a mistake is noticed by.
    let barrier = Barrier::of(&[BEFORE; 3], 3);
    begin(&barrier);
    let writers = [writer(&barrier, 0, 0, 11), writer(&barrier, 0, 1, 21)];
    for _ in 0..2 {
        assert_eq!(look(&barrier, 0), BEFORE, "the worker saw a write");
    }
    join_all(writers);
    assert_eq!(barrier.heap().contents(0), [11, 21], "a write was lost");
    assert_eq!(barrier.end_snapshot(), 1, "pre-images");
}

fn end() {
    let barrier = Barrier::of(&[BEFORE], 2);
    begin(&barrier);
    let mutator = writer(&barrier, 0, 0, 11);
    let late = barrier.clone();
    let monitor = spawn(move || assert!(late.event(0)));
    barrier.end_snapshot();
    barrier.arm_round(|_: u32| Choice::All).unwrap();
    // The mutator is at a safepoint when the world is stopped; the monitor's thread need not be done.
    mutator.join();
    assert_eq!(barrier.heap().contents(0), [11, 20]);
    begin(&barrier);
    monitor.join();
    barrier.write(0, 1, 21);
    assert_eq!(look(&barrier, 0), [11, 20], "the pre-image is not that of this snapshot");
    barrier.end_snapshot();
}

fn late() {
    let barrier = Barrier::of(&[BEFORE], 2);
    barrier.arm_round(|_: u32| Choice::All).unwrap();
    let late = barrier.clone();
    let monitor = spawn(move || assert!(late.event(0)));
    begin(&barrier);
    barrier.write(0, 0, 11);
    assert_eq!(look(&barrier, 0), BEFORE, "the worker saw a write");
    barrier.end_snapshot();
    monitor.join();
    begin(&barrier);
    assert!(barrier.heap().is_protected(0), "a page is left open in the snapshot");
    barrier.end_snapshot();
}

fn exhausted() {
    let barrier = Barrier::of(&[BEFORE, BEFORE], 1);
    begin(&barrier);
    let writers = [writer(&barrier, 0, 0, 11), writer(&barrier, 1, 0, 12)];
    assert_eq!(look(&barrier, 0), BEFORE);
    assert_eq!(look(&barrier, 1), BEFORE);
    assert!(barrier.end_snapshot() <= 1);
    join_all(writers);
    assert_eq!([barrier.heap().contents(0)[0], barrier.heap().contents(1)[0]], [11, 12], "a write was lost");
    assert!(!barrier.is_exhausted() || barrier.control().is_raised());
}

fn bulk() {
    let barrier = Barrier::of(&[BEFORE, BEFORE], 2);
    begin(&barrier);
    let opener = barrier.clone();
    let threads = [
        spawn(move || {
            opener.open(PageRange::new(0, 2), Contents::Objects);
            opener.write(0, 0, 11);
        }),
        writer(&barrier, 1, 0, 12),
    ];
    assert_eq!(look(&barrier, 0), BEFORE, "the worker saw a write");
    assert_eq!(look(&barrier, 1), BEFORE, "the worker saw a write");
    join_all(threads);
    assert_eq!(look(&barrier, 1), BEFORE, "the worker saw a write");
    assert_eq!([barrier.heap().contents(0)[0], barrier.heap().contents(1)[0]], [11, 12]);
    assert_eq!(barrier.end_snapshot(), 2);
}
