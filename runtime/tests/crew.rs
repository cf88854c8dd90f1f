//! Several workers: each sees the heap and the native memory of the fork, and the leader learns who died.

use palimpsest_runtime::mapping::{Backing, HeapMapping};
use palimpsest_runtime::sys::event::Event;
use palimpsest_runtime::sys::process::Strike;
use palimpsest_runtime::worker::{self, Company, Crew, Fate, MAX_WORKERS, Member, Order, Record, Verdict};
use palimpsest_runtime::{Bytes, PageRange};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const WORKERS: usize = 4;

/// Runs `body` in four workers of a heap of one page, which holds 5 at the fork, as a number in native memory does, and 6 when
/// they begin. Returns how the leader's work ended, how many took part, and how many were lost.
fn run(
    fates: [Fate; MAX_WORKERS],
    patience: Duration,
    body: impl FnOnce(u64, &Member<'_>) -> bool,
) -> (Result<(), worker::Failure>, u32, u32) {
    let heap = HeapMapping::reserve(Bytes(1), Backing::Private).expect("a heap");
    // SAFETY: the first word of the heap, which nobody else uses.
    let word = unsafe { &*heap.base().as_ptr::<AtomicU64>() };
    let native = Box::new(AtomicU64::new(5));
    word.store(5, SeqCst);
    let (record, crew) = (Record::new().expect("a record"), Crew::new().expect("a crew"));
    let company = Some(Company { crew: &crew, workers: WORKERS, fates });
    let order = Order { tables: &[], record: &record, cycle: 1, nice: 0, company };
    // SAFETY: nobody writes to the heap meanwhile, and the bodies only use atomics and wait.
    let mut worker = unsafe {
        worker::fork_inheriting(&order, &heap, &[PageRange::new(0, 1)], |view, member| {
            let mut seen = [0];
            view.load(heap.base(), &mut seen);
            body(seen[0] * 10 + native.load(SeqCst), member)
        })
    }
    .expect("a worker");
    word.store(6, SeqCst);
    native.store(6, SeqCst);
    worker.begin();
    let end = worker.watch(&Event::new().expect("an event"), patience, || Verdict::GoOn);
    (end, worker.muster().workers, worker.muster().lost)
}

/// A leader that waits, alive, until something holds.
fn wait(member: &Member<'_>, holds: impl Fn() -> bool) -> bool {
    let crew = member.crew().expect("a crew");
    while !holds() {
        member.advance();
        crew.rest(&holds);
    }
    true
}

#[test]
fn each_sees_what_was_there_at_the_fork() {
    let end = run([Fate::NONE; MAX_WORKERS], Duration::from_secs(20), |seen, member| {
        let crew = member.crew().expect("a crew");
        if member.index() > 0 {
            // One that saw something else counts as lost.
            return seen == 55;
        }
        seen == 55 && wait(member, || (1..WORKERS).all(|sibling| crew.is_gone(sibling)))
    });
    assert_eq!(end, (Ok(()), WORKERS as u32, 0));
}

#[test]
fn the_leader_learns_who_died() {
    for (strike, patience) in [(Strike::Kill, 20_000), (Strike::Stop, 600)] {
        let mut fates = [Fate::NONE; MAX_WORKERS];
        fates[2] = Fate::after(100, strike);
        let end = run(fates, Duration::from_millis(patience), |_, member| {
            let crew = member.crew().expect("a crew");
            if member.index() > 0 {
                // Until they are ended; the one with a fate before that.
                loop {
                    member.step();
                    member.advance();
                    crew.rest(|| member.index() == 2);
                }
            }
            wait(member, || crew.is_gone(2)) && !crew.is_gone(1) && !crew.is_gone(3)
        });
        assert_eq!(end, (Ok(()), WORKERS as u32, 1), "{strike:?}");
    }
}

#[test]
fn a_leader_that_gives_up_ends_all() {
    let end = run([Fate::NONE; MAX_WORKERS], Duration::from_secs(20), |_, member| {
        member.index() > 0 && wait(member, || member.is_orphan())
    });
    assert_eq!((end.0, end.2), (Err(worker::Failure::Exit(1)), 0));
}
