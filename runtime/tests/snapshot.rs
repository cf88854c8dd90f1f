//! The worker sees exactly the heap of the pause, whatever several mutators write meanwhile.
//!
//! Each writer keeps the sum of the words it owns. At the stopped world the sums are taken; the worker adds up every word
//! of its snapshot, and must arrive at the same sum, and see no word that is newer than the pause. The same
//! worker shows that the ambiguity is real: read from the wrong side, the sum comes out different.

mod common;

use common::deliveries;
use palimpsest_runtime::barrier::{Barrier, Choice, Contents, DeliveryKind};
use palimpsest_runtime::mapping::{Backing, HeapMapping};
use palimpsest_runtime::mutator::Registry;
use palimpsest_runtime::worker::{
    self, Failure, Order, OwnedPage, ReadSide, Reason, Record, SnapshotView, Verdict,
};
use palimpsest_runtime::{Address, Bytes, PAGE_SIZE, PageIndex, PageRange};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

const WRITERS: u64 = 3;
const PATIENCE: Duration = Duration::from_secs(60);

struct Bench {
    heap: Arc<HeapMapping>,
    barrier: Arc<Barrier>,
    registry: Registry,
    record: Record,
}

/// Words of a writer: what they add up to, and the largest that was written.
#[derive(Default)]
struct Account {
    sum: AtomicU64,
    newest: AtomicU64,
}

impl Bench {
    fn new(delivery: DeliveryKind, size: Bytes, pool: Bytes) -> Self {
        let heap = Arc::new(HeapMapping::reserve(size, Backing::Shared).unwrap());
        let barrier = Barrier::new(heap.clone(), delivery, None, pool).unwrap();
        Self { heap, barrier, registry: Registry::new(), record: Record::new().unwrap() }
    }

    fn order(&self, cycle: u64) -> Order<'_> {
        Order { tables: &[], record: &self.record, cycle, nice: 5, company: None }
    }

    fn pages(&self) -> PageRange {
        PageRange::new(0, (self.heap.half().0 / PAGE_SIZE) as u32)
    }

    /// Populates the heap and tells the barrier that all of it is in use.
    fn fill(&self) {
        for page in self.pages().iter() {
            let (at, _) = self.heap.span(PageRange::new(page.0, page.0 + 1));
            // SAFETY: a page of the heap; its words are only ever used as atomics.
            unsafe { (*at.as_ptr::<AtomicU64>()).store(0, Relaxed) };
        }
        self.barrier.note_dirty(self.pages());
    }

    /// Writes at random to the words that are this writer's until `done`, polling every 64 writes.
    fn write(&self, writer: u64, account: &Account, done: &AtomicBool) {
        // SAFETY: the registry outlives the writers, which keep the state until they detach.
        let own = unsafe { self.registry.attach(false, self.barrier.delivery().fault()) }.unwrap();
        let words = self.heap.half().0 as u64 / 8;
        let mut random = 0x9e37_79b9_7f4a_7c15 ^ (writer << 17);
        let (mut sum, mut count) = (0u64, 0u64);
        while !done.load(Relaxed) {
            for _ in 0..64 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                // Half of the writes go to a 64th of the heap. Writers share pages, not words.
                let span = if random & 1 == 0 { words } else { words / 64 };
                let word = (random >> 8) % (span / WRITERS) * WRITERS + writer;
                let at = self.heap.base().add(word as usize * 8);
                count += 1;
                // SAFETY: an aligned word of the heap, used as an atomic by all.
                let word = unsafe { &*at.as_ptr::<AtomicU64>() };
                sum = sum.wrapping_add(count).wrapping_sub(word.load(Relaxed));
                word.store(count, Relaxed);
            }
            account.sum.store(sum, Relaxed);
            account.newest.store(count, Relaxed);
            if self.registry.stop_wanted() {
                self.registry.park(&own);
            }
        }
        self.registry.detach(&own);
    }

    fn arm_all_dirty(&self) -> u32 {
        self.barrier.arm_round(|_| Choice::All).unwrap()
    }
}

/// Adds up all words of the snapshot from one side; also the largest. No allocation: this runs in a worker.
fn add_up(view: &SnapshotView<'_>, base: Address, side: ReadSide, record: &Record) -> (u64, u64) {
    let (mut sum, mut newest) = (0u64, 0u64);
    let mut copy = OwnedPage([0; PAGE_SIZE / 8]);
    for page in 0..view.pages() {
        match side {
            // An owned copy has the same side as a load.
            ReadSide::Snapshot if page % 2 == 0 => view.copy_page(PageIndex(page), &mut copy),
            _ => view.load_from(side, base.add(page as usize * PAGE_SIZE), &mut copy.0),
        }
        for word in copy.0 {
            sum = sum.wrapping_add(word);
            newest = newest.max(word);
        }
        record.advance();
    }
    (sum, newest)
}

#[test]
fn the_worker_sees_the_heap_of_the_pause() {
    for delivery in deliveries(Backing::Shared) {
        // With the others the same number of writes takes longer, and in this build all is added up more slowly.
        let size = match delivery {
            DeliveryKind::Signal if cfg!(debug_assertions) => 256,
            DeliveryKind::Signal => 1024,
            _ => 128,
        };
        see_the_heap_of_the_pause(&Bench::new(delivery, Bytes::mib(size), Bytes::mib(size)));
    }
}

fn see_the_heap_of_the_pause(bench: &Bench) {
    let accounts: Vec<_> = (0..WRITERS).map(|_| Account::default()).collect();
    let done = AtomicBool::new(false);
    let (mut preimages, mut wrong_sides) = (0, 0);
    bench.fill();
    std::thread::scope(|scope| {
        for (k, account) in accounts.iter().enumerate() {
            let done = &done;
            scope.spawn(move || bench.write(k as u64, account, done));
        }
        for cycle in 1..=3 {
            for _ in 0..12 {
                if bench.arm_all_dirty() < 64 {
                    break;
                }
            }
            let world = bench.registry.stop_world();
            let sum = accounts.iter().fold(0u64, |s, a| s.wrapping_add(a.sum.load(Relaxed)));
            let newest = accounts.iter().map(|a| a.newest.load(Relaxed)).max().unwrap();
            bench.barrier.begin_snapshot(|_| Choice::All).unwrap();
            let order = bench.order(cycle);
            let (base, record) = (bench.heap.base(), &bench.record);
            // SAFETY: the world is stopped, the snapshot has begun, and the body only reads and adds.
            let mut worker = unsafe {
                worker::fork(&order, &bench.barrier, |view, _| {
                    let (sum, newest) = add_up(view, base, ReadSide::Snapshot, record);
                    let why = Reason::because("shows that the wrong side is really returned when asked for");
                    let (wrong, _) = add_up(view, base, ReadSide::WrongSideOk(why), record);
                    for (k, figure) in [sum, newest, wrong].into_iter().enumerate() {
                        record.figure(k).store(figure, Relaxed);
                    }
                    true
                })
            }
            .unwrap();
            drop(world);
            worker.begin();
            worker.watch(bench.barrier.control(), PATIENCE, || Verdict::GoOn).unwrap();
            preimages += bench.barrier.end_snapshot();
            assert_eq!(bench.record.figure(0).load(Relaxed), sum, "cycle {cycle}: not the heap of the pause");
            assert!(
                bench.record.figure(1).load(Relaxed) <= newest,
                "cycle {cycle}: a word newer than the pause"
            );
            wrong_sides += u32::from(bench.record.figure(2).load(Relaxed) != sum);
        }
        done.store(true, SeqCst);
    });
    assert!(preimages > 0, "nothing was written during a snapshot: the test shows nothing");
    assert!(wrong_sides > 0, "the wrong side was never returned: the test shows nothing");
    let counts = bench.barrier.counts();
    assert!(counts.preimages >= preimages.into());
    bench.barrier.clone().retire();
}

#[test]
fn writers_wait_for_a_full_pool_and_go_on_when_the_snapshot_is_given_up() {
    for delivery in deliveries(Backing::Shared) {
        wait_for_a_full_pool(Bench::new(delivery, Bytes::mib(16), Bytes::mib(1)));
    }
}

fn wait_for_a_full_pool(bench: Bench) {
    bench.fill();
    assert_eq!(bench.arm_all_dirty(), bench.pages().len());
    let (account, done) = (Account::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let world = bench.registry.stop_world();
        bench.barrier.begin_snapshot(|_| Choice::All).unwrap();
        let order = bench.order(1);
        // SAFETY: the world is stopped, the snapshot has begun, and the body only spins.
        let mut worker = unsafe {
            worker::fork(&order, &bench.barrier, |_, _| {
                loop {
                    std::hint::spin_loop();
                }
            })
        }
        .unwrap();
        drop(world);
        worker.begin();
        scope.spawn(|| bench.write(0, &account, &done));
        let verdict = || if bench.barrier.is_exhausted() { Verdict::Abandon } else { Verdict::GoOn };
        let end = worker.watch(bench.barrier.control(), PATIENCE, verdict);
        assert_eq!(end, Err(Failure::Abandoned));
        assert_eq!(bench.barrier.end_snapshot(), 256);
        let before = account.newest.load(SeqCst);
        while account.newest.load(SeqCst) < before + 1_000 {
            std::thread::yield_now();
        }
        done.store(true, SeqCst);
    });
    assert!(bench.barrier.counts().stalls > 0);
    bench.barrier.retire();
}

#[test]
fn a_stopped_worker_is_killed_when_its_patience_is_over() {
    let bench = Bench::new(DeliveryKind::Protect, Bytes::mib(4), Bytes::mib(4));
    let world = bench.registry.stop_world();
    bench.barrier.begin_snapshot(|_| Choice::All).unwrap();
    let order = bench.order(1);
    // SAFETY: the world is stopped, the snapshot has begun, and the body only counts.
    let mut worker = unsafe {
        worker::fork(&order, &bench.barrier, |_, _| {
            loop {
                bench.record.advance();
            }
        })
    }
    .unwrap();
    drop(world);
    worker.begin();
    worker.stop();
    let patience = Duration::from_millis(300);
    let end = worker.watch(bench.barrier.control(), patience, || Verdict::GoOn);
    assert_eq!(end, Err(Failure::Stalled(patience)));
    drop(worker);
    bench.barrier.end_snapshot();
    bench.barrier.retire();
}

#[test]
fn opening_in_bulk_keeps_pre_images_of_objects_only() {
    for delivery in deliveries(Backing::Shared) {
        open_in_bulk(Bench::new(delivery, Bytes::mib(4), Bytes::mib(4)));
    }
}

fn open_in_bulk(bench: Bench) {
    bench.fill();
    bench.arm_all_dirty();
    let world = bench.registry.stop_world();
    bench.barrier.begin_snapshot(|_| Choice::All).unwrap();
    drop(world);
    bench.barrier.open(PageRange::new(0, 16), Contents::Nothing);
    bench.barrier.open(PageRange::new(16, 32), Contents::Objects);
    bench.barrier.open(PageRange::new(16, 32), Contents::Objects);
    let (at, _) = bench.heap.span(PageRange::new(0, 32));
    for word in (0..32 * PAGE_SIZE).step_by(8) {
        // SAFETY: a word of the heap.
        unsafe { at.add(word).as_ptr::<u64>().write_volatile(1) };
    }
    let counts = bench.barrier.counts();
    assert_eq!((counts.trapped, counts.preimages, counts.opened), (0, 16, 32));
    assert_eq!(bench.barrier.end_snapshot(), 16);
    // All 32 are dirty, and nothing else.
    assert_eq!(bench.arm_all_dirty(), 32);
    bench.barrier.retire();
}
