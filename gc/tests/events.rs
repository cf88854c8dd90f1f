//! What listeners are told, when, on which thread, and that they cannot harm the collector.

mod common;

use common::child::in_child;
use common::{Nodes, alone, new_node, number_of, rungs};
use palimpsest::events::{CycleBegin, Listener, Pause, Reason, Sweep};
use palimpsest::{
    CycleRecord, Heap, HeapBuilder, HostFork, Kind, Ladder, OutOfMemory, PlainPointers, Scope, Snapshot,
    StackScan, Stats,
};
use palimpsest_runtime::sys::Errno;
use palimpsest_runtime::sys::inject::{self, Call};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// What was told.
#[derive(Clone, PartialEq, Debug)]
enum Told {
    Made { rung: String, degraded: Option<String> },
    Began(CycleBegin),
    Paused(Pause),
    FellBack(u64, String),
    Failed(u64, String),
    Ended(Box<CycleRecord>),
    OutOfMemory(OutOfMemory),
}

/// Writes down all that it is told, and on which thread.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<(Told, ThreadId)>>>);

impl Diary {
    fn note(&self, told: Told) {
        self.0.lock().unwrap().push((told, thread::current().id()));
    }

    fn all(&self) -> Vec<Told> {
        self.0.lock().unwrap().iter().map(|(told, _)| told.clone()).collect()
    }

    fn reasons(&self) -> Vec<Reason> {
        let began = |told: Told| if let Told::Began(cycle) = told { Some(cycle.reason) } else { None };
        self.all().into_iter().filter_map(began).collect()
    }
}

impl Listener for Diary {
    fn heap_made(&self, ladder: &Ladder) {
        self.note(Told::Made { rung: ladder.chosen().to_string(), degraded: ladder.degraded() });
    }
    fn cycle_began(&self, cycle: &CycleBegin) {
        self.note(Told::Began(*cycle));
    }
    fn pause_ended(&self, pause: &Pause) {
        self.note(Told::Paused(*pause));
    }
    fn fell_back(&self, cycle: u64, why: &str) {
        self.note(Told::FellBack(cycle, why.into()));
    }
    fn worker_failed(&self, cycle: u64, why: &str) {
        self.note(Told::Failed(cycle, why.into()));
    }
    fn cycle_ended(&self, record: &CycleRecord) {
        self.note(Told::Ended(Box::new(record.clone())));
    }
    fn out_of_memory(&self, error: &OutOfMemory) {
        self.note(Told::OutOfMemory(*error));
    }
}

/// Panics at whatever it is told, with something that panics again when it is dropped. Counts how often.
#[derive(Clone, Default)]
struct Hysteric(Arc<AtomicU64>);

struct Again;

impl Drop for Again {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("again"));
    }
}

impl Hysteric {
    fn panic(&self) {
        self.0.fetch_add(1, Relaxed);
        // Past the hook, which would write about each.
        std::panic::resume_unwind(Box::new(Again));
    }
}

impl Listener for Hysteric {
    fn heap_made(&self, _: &Ladder) {
        self.panic();
    }
    fn cycle_began(&self, _: &CycleBegin) {
        self.panic();
    }
    fn pause_ended(&self, _: &Pause) {
        self.panic();
    }
    fn fell_back(&self, _: u64, _: &str) {
        self.panic();
    }
    fn worker_failed(&self, _: u64, _: &str) {
        self.panic();
    }
    fn cycle_ended(&self, _: &CycleRecord) {
        self.panic();
    }
    fn out_of_memory(&self, _: &OutOfMemory) {
        self.panic();
    }
}

fn builder() -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(16 << 20)
}

/// Nodes that take longer to mark than it takes misfortune to strike.
const NODES: u64 = 150_000;

/// Collects so often, with a list that has to survive.
fn work(nodes: &Nodes, cycles: usize) -> Stats {
    let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
    let list =
        (0..NODES).fold(std::ptr::null_mut(), |list, number| new_node(&mut m, nodes.kind, list, number));
    for _ in 0..cycles {
        m.collect();
        assert_eq!(number_of(list), NODES - 1);
    }
    nodes.heap.stats()
}

/// Reads a diary from the first page to the last: each cycle tells what it should, in order, and nothing besides. Returns how
/// many fell back and failed.
fn check_order(diary: &Diary, stats: &Stats) -> (u64, u64) {
    let told = diary.all();
    let mut told = told.into_iter();
    let Some(Told::Made { rung, degraded }) = told.next() else { panic!("the heap comes first") };
    assert_eq!((rung, degraded), (stats.rung.clone(), stats.degraded.clone()));
    let (mut number, mut fallbacks, mut failures) = (0, 0, 0);
    while let Some(first) = told.next() {
        number += 1;
        let Told::Began(begin) = first else { panic!("{first:?} is no beginning") };
        assert_eq!(begin.number, number);
        let Some(Told::Paused(pause)) = told.next() else { panic!("a pause in cycle {number}") };
        let (mut fell_back, mut failed) = (None, None);
        let record = loop {
            match told.next() {
                Some(Told::FellBack(n, why)) if n == number && fell_back.is_none() => fell_back = Some(why),
                Some(Told::Failed(n, why)) if n == number && failed.is_none() => failed = Some(why),
                Some(Told::Ended(record)) => break record,
                other => panic!("{other:?} in cycle {number}"),
            }
        };
        assert_eq!(record.number, number);
        assert!(record.scope == begin.scope || record.scope == Scope::Full);
        assert_eq!((&record.fallback, &record.failure), (&fell_back, &failed), "told as it is in the record");
        fallbacks += u64::from(fell_back.is_some());
        failures += u64::from(failed.is_some());
        assert_eq!((pause.cycle, pause.snapshot), (number, record.snapshot));
        assert_eq!(
            (pause.stop_ms, pause.arm_ms, pause.fork_ms),
            (record.stop_ms, record.arm_ms, record.fork_ms)
        );
        let parts = pause.stop_ms + pause.arm_ms + pause.fork_ms + pause.mark_ms;
        assert!(parts <= pause.pause_ms + 1e-6 && pause.pause_ms <= record.pause_ms, "{pause:?} of {record}");
        assert!(pause.mark_ms > 0.0 || record.snapshot != Snapshot::StopTheWorld, "{pause:?}");
        assert!(pause.resume_ms > 0.0);
    }
    assert_eq!(number, stats.cycles + stats.failures);
    assert_eq!((fallbacks, failures), (stats.fallbacks, stats.failures));
    (fallbacks, failures)
}

/// Keeps what has moments in it.
#[derive(Clone, Default)]
struct Moments(Arc<Mutex<Heard>>);

/// All of them, in the order in which they were told.
type Heard = (Vec<CycleRecord>, Vec<Pause>, Vec<Sweep>);

impl Listener for Moments {
    fn pause_ended(&self, pause: &Pause) {
        self.0.lock().unwrap().1.push(*pause);
    }
    fn cycle_ended(&self, record: &CycleRecord) {
        self.0.lock().unwrap().0.push(record.clone());
    }
    fn swept(&self, sweep: &Sweep) {
        self.0.lock().unwrap().2.push(*sweep);
    }
}

#[test]
fn moments_of_a_cycle_are_in_the_order_in_which_it_does_things() {
    const CYCLES: usize = 4;
    // What a float may lose where durations are added.
    const BIT: f64 = 1e-6;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    for rung in rungs() {
        let moments = Moments::default();
        let nodes = Nodes::new(builder().rung(rung).listener(moments.clone()));
        let before = ms(nodes.heap.age());
        work(&nodes, CYCLES);
        let after = ms(nodes.heap.age());
        let has_barrier = nodes.heap.stats().snapshot == Snapshot::Preimage;
        drop(nodes);
        let (records, pauses, sweeps) = &*moments.0.lock().unwrap();
        assert!(records.len() >= CYCLES && pauses.len() == records.len(), "{records:?}");
        let mut last = before.min(records[0].began_ms);
        for (record, pause) in records.iter().zip(pauses) {
            assert!(last <= record.began_ms, "{record:?}");
            last = record.began_ms;
            assert_eq!(record.arm_rounds.len(), record.rounds as usize);
            assert!(!has_barrier || record.rounds > 0, "{record:?}");
            let pages: u64 = record.arm_rounds.iter().map(|round| u64::from(round.pages)).sum();
            assert_eq!(pages, record.armed_pages);
            for round in &record.arm_rounds {
                assert!(last <= round.began_ms + BIT, "{record:?}");
                last = round.began_ms + round.ms;
            }
            assert!(last <= record.pause_began_ms + BIT, "{record:?}");
            assert_eq!((pause.cycle, pause.began_ms), (record.number, record.pause_began_ms));
            last = pause.began_ms + pause.pause_ms;
            assert!(last <= record.ended_ms + BIT, "{record:?}");
            last = record.ended_ms;
            if let Some(sweep) = sweeps.iter().find(|sweep| sweep.cycle == record.number) {
                assert!(last <= sweep.began_ms + BIT, "{sweep:?} of {record:?}");
                last = sweep.began_ms + sweep.ms - BIT;
            }
        }
        assert!(records[CYCLES - 1].ended_ms <= after, "{records:?}");
        assert!(sweeps.len() + 1 >= records.len(), "all but perhaps the last: {sweeps:?}");
    }
}

#[test]
fn each_cycle_is_told_in_order_whatever_happens_to_its_worker() {
    for rung in rungs() {
        for chaos in [None, Some(1)] {
            let diary = Diary::default();
            let mut builder = builder().rung(rung).listener(diary.clone());
            if let Some(one_in) = chaos {
                builder = builder.worker_chaos(one_in).worker_patience(Duration::from_millis(50));
            }
            let nodes = Nodes::new(builder);
            let stats = work(&nodes, 12);
            let told = check_order(&diary, &stats);
            if chaos.is_none() {
                assert_eq!(told, (0, 0), "{stats}");
            } else if stats.snapshot != Snapshot::StopTheWorld {
                // Not each worker that is struck is struck in time.
                assert!(told.1 > 0, "{stats}");
            }
            let on = |thread: &dyn Fn(&Told) -> bool| {
                let told = diary.0.lock().unwrap();
                told.iter().filter(|(what, _)| thread(what)).map(|(_, id)| *id).collect::<Vec<_>>()
            };
            assert_eq!(on(&|what| matches!(what, Told::Made { .. })), [thread::current().id()]);
            let collectors = on(&|what| !matches!(what, Told::Made { .. }));
            assert!(collectors.iter().all(|id| *id == collectors[0] && *id != thread::current().id()));
        }
    }
}

#[test]
fn a_cycle_says_why_it_was_asked_for() {
    let diary = Diary::default();
    let nodes = Nodes::new(builder().listener(diary.clone()));
    work(&nodes, 1);
    assert_eq!(diary.reasons(), [Reason::Explicit]);
    let record = nodes.heap.attach(StackScan::None).unwrap().collect_young();
    let Some(Told::Began(young)) = diary.all().into_iter().rfind(|told| matches!(told, Told::Began(_)))
    else {
        panic!("a second cycle")
    };
    assert_eq!((young.number, young.reason, young.scope), (2, Reason::Explicit, record.scope));

    let diary = Diary::default();
    let nodes = Nodes::new(builder().stress(100).listener(diary.clone()));
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    for number in 0..1000 {
        new_node(&mut m, nodes.kind, std::ptr::null_mut(), number);
    }
    assert!(!diary.reasons().is_empty() && diary.reasons().iter().all(|why| *why == Reason::Stress));

    let diary = Diary::default();
    let nodes = Nodes::new(builder().cycle_every(64 << 10).listener(diary.clone()));
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    while nodes.heap.stats().cycles == 0 {
        m.alloc(Kind::LEAF, 1000).expect("room: all is garbage");
    }
    assert_eq!(diary.reasons()[0], Reason::Allocation);
}

#[test]
fn out_of_memory_is_told_on_the_thread_that_gets_the_error() {
    let diary = Diary::default();
    let heap = Heap::builder(PlainPointers).limit(4 << 20).listener(diary.clone()).build().unwrap();
    let mut m = heap.attach(StackScan::None).unwrap();
    let beyond = m.alloc(Kind::LEAF, 1 << 30).unwrap_err();
    assert_eq!(diary.0.lock().unwrap().last(), Some(&(Told::OutOfMemory(beyond), thread::current().id())));

    let mut kept = Vec::new();
    let full = loop {
        match m.alloc(Kind::LEAF, 1 << 19) {
            Ok(object) => kept.push(heap.handle(palimpsest::Address::from_ptr(object.as_ptr()))),
            Err(error) => break error,
        }
    };
    assert!(!kept.is_empty());
    assert_eq!(diary.0.lock().unwrap().last(), Some(&(Told::OutOfMemory(full), thread::current().id())));
    assert!(diary.reasons().contains(&Reason::Limit), "{:?}", diary.reasons());
    assert_eq!(diary.all().iter().filter(|told| matches!(told, Told::OutOfMemory(_))).count(), 2);
}

#[test]
fn a_listener_that_panics_harms_nobody() {
    let (diary, hysteric, last) = (Diary::default(), Hysteric::default(), Arc::new(AtomicU64::new(0)));
    let counter = last.clone();
    let builder = builder().worker_chaos(2).worker_patience(Duration::from_millis(50));
    let builder = builder.listener(hysteric.clone()).listener(diary.clone());
    let nodes = Nodes::new(builder.on_cycle(move |record| {
        counter.store(record.number, Relaxed);
        std::panic::resume_unwind(Box::new("on_cycle"));
    }));
    let stats = work(&nodes, 10);
    check_order(&diary, &stats);
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    m.alloc(Kind::LEAF, 1 << 30).unwrap_err();
    assert_eq!(hysteric.0.load(Relaxed), diary.all().len() as u64, "told as often as the others");
    assert_eq!(last.load(Relaxed), stats.cycles + stats.failures);
}

/// Looks into the heap that it listens to.
#[derive(Clone, Default)]
struct Curious(Arc<Mutex<Option<Heap<PlainPointers>>>>);

impl Listener for Curious {
    fn cycle_ended(&self, record: &CycleRecord) {
        if let Some(heap) = &*self.0.lock().unwrap() {
            let stats = heap.stats();
            assert_eq!(stats.cycles + stats.failures, record.number, "entered before it is told");
            assert_eq!(heap.pauses().count(), record.number);
        }
    }
}

#[test]
fn a_listener_may_look_at_the_heap() {
    let (curious, diary) = (Curious::default(), Diary::default());
    // A panic in the listener would be swallowed: let it be seen.
    let seen = Arc::new(Mutex::new(Vec::new()));
    struct Checked(Curious, Arc<Mutex<Vec<bool>>>);
    impl Listener for Checked {
        fn cycle_ended(&self, record: &CycleRecord) {
            let look = std::panic::AssertUnwindSafe(|| self.0.cycle_ended(record));
            self.1.lock().unwrap().push(std::panic::catch_unwind(look).is_ok());
        }
    }
    let nodes = Nodes::new(builder().listener(Checked(curious.clone(), seen.clone())).listener(diary));
    *curious.0.lock().unwrap() = Some(nodes.heap.clone());
    work(&nodes, 5);
    assert_eq!(*seen.lock().unwrap(), [true; 5]);
    let (pauses, stops) = (nodes.heap.pauses(), nodes.heap.stops());
    assert_eq!((pauses.count(), stops.count()), (5, 5));
    assert!(stops.max() <= pauses.max() && pauses.min() <= pauses.mean() && pauses.mean() <= pauses.max());
    assert_eq!(pauses.iter().map(|(_, count)| count).sum::<u64>(), 5);
    let stats = nodes.heap.stats();
    assert_eq!(stats.pause_max_ms, pauses.max().as_secs_f64() * 1e3);
    assert_eq!(stats.pause_p999_ms, pauses.quantile(0.999).as_secs_f64() * 1e3);
    work(&nodes, 1);
    assert_eq!((pauses.count(), nodes.heap.pauses().count()), (5, 6), "a snapshot");
    // The listener would keep the heap, and the heap the listener.
    curious.0.lock().unwrap().take();
}

/// The switches are the process's.
#[test]
fn a_heap_that_is_degraded_says_so_when_it_is_made() {
    if std::env::var_os(palimpsest::ladder::VARIABLE).is_some() {
        eprintln!("skipped: the rung is forced");
        return;
    }
    let name = "a_heap_that_is_degraded_says_so_when_it_is_made";
    let end = alone(name, || {
        let diary = Diary::default();
        inject::arm(Call::UffdOpen, 0, u32::MAX, Errno::PERM);
        let heap = builder().listener(diary.clone()).build().unwrap();
        inject::disarm();
        let told = diary.all();
        let [Told::Made { rung, degraded: Some(why) }] = &told[..] else { panic!("{told:?}") };
        assert!(rung == "preimage/protect" && why.contains("seccomp"), "{rung}: {why}");
        drop(heap);
    });
    assert!(end.is_none_or(|status| status.success()));
}

#[test]
fn a_copy_in_a_child_has_its_own_listener() {
    let name = "a_copy_in_a_child_has_its_own_listener";
    let end = alone(name, || {
        for rung in rungs() {
            let count = Arc::new(AtomicU64::new(0));
            let counter = count.clone();
            let builder = builder().rung(rung).host_fork(HostFork::Copy);
            let heap = builder.on_cycle(move |_| _ = counter.fetch_add(1, Relaxed)).build().unwrap();
            let mut m = heap.attach(StackScan::None).unwrap();
            m.collect();
            let (mut m, status, said) = in_child(m, |mut m| {
                m.collect();
                m.collect();
                i32::from(count.load(Relaxed) != 3 || m.heap().pauses().count() != 3)
            });
            assert_eq!((status.code(), said.as_str()), (Some(0), ""));
            m.collect();
            assert_eq!((count.load(Relaxed), heap.pauses().count()), (2, 2));
        }
    });
    assert!(end.is_none_or(|status| status.success()));
}
