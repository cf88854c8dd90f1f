//! System calls that are denied, each in turn, on each rung: the heap refuses with an error that says what to change, or
//! does without and says so, and what the program computes is right in every case.
//!
//! What happens is compared with the table in the chapter `docs/src/faults.md`, which this test can write: run it with
//! `PALIMPSEST_WRITE_DOCS=1`. The switches are the process's, so all of this is one test in a process of its own.

mod common;

use common::chapter::has_table;
use common::{Nodes, new_node, number_of};
use palimpsest::{Address, Heap, HeapBuilder, Kind, PlainPointers, Snapshot, StackScan, Stats, Wish, ladder};
use palimpsest_runtime::sys::Errno;
use palimpsest_runtime::sys::inject::{self, Call};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How often a call fails.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Times {
    /// Once, at each of the first few calls in turn.
    Once,
    /// From the first call on.
    Always,
    /// From the moment on when the heap has been made.
    AlwaysLater,
}

/// What comes of it. A heap is made, a list of 20,000 nodes is built and rewritten over four cycles, and then checked.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Outcome {
    /// No heap; the error contains this.
    Refused(&'static str),
    /// A lower rung than the best, and why.
    Lower(&'static str),
    /// The cycle marks in the stopped world, this once or as long as the call fails; the reason contains this.
    FallsBack(&'static str),
    /// The write barrier is given up for good: no write is lost, and later cycles mark in the stopped world.
    GivesUp,
    /// Two cycles fail, which reclaim nothing; then they mark in the stopped world. The reason contains this.
    Fails(&'static str),
    /// Which pages were written is not known, and the record says why.
    Untracked(&'static str),
    /// Nothing that the program notices.
    Nothing,
}

impl Outcome {
    fn in_words(self) -> String {
        match self {
            Outcome::Refused(why) => format!("no heap: an error that names \"{why}\""),
            Outcome::Lower(why) => format!("a lower rung; `Stats::degraded` names \"{why}\""),
            Outcome::FallsBack(why) => {
                format!("such cycles mark in the stopped world; `fallback` names \"{why}\"")
            }
            Outcome::GivesUp => {
                "the barrier is given up for good, no write is lost; later cycles stop the world".into()
            }
            Outcome::Fails(why) => {
                format!(
                    "the cycle fails and reclaims nothing, `failure` names \"{why}\"; after two, cycles stop the world"
                )
            }
            Outcome::Untracked(why) => format!("written pages are unknown; `untracked` names \"{why}\""),
            Outcome::Nothing => "more memory or time is used, nothing else".into(),
        }
    }
}

struct Case {
    /// What is denied, for people.
    what: &'static str,
    /// The rung that is forced; empty: the best that holds.
    rung: &'static str,
    call: Call,
    errno: Errno,
    times: Times,
    /// Another call that fails all the while.
    also: Option<Call>,
    expected: Outcome,
}

const fn case(
    what: &'static str,
    rung: &'static str,
    call: Call,
    errno: Errno,
    times: Times,
    expected: Outcome,
) -> Case {
    Case { what, rung, call, errno, times, also: None, expected }
}

/// A page cannot be opened, and the userfaultfd cannot be told to end its work.
const fn stubborn(rung: &'static str) -> Case {
    let what = "opening a page again, and giving up";
    let also = Some(Call::UffdUnregister);
    Case { also, ..case(what, rung, Call::UffdOpenPages, Errno::PERM, Times::Once, Outcome::GivesUp) }
}

const CASES: &[Case] = {
    use Outcome::{Fails, FallsBack, GivesUp, Lower, Nothing, Refused, Untracked};
    use Times::{Always, AlwaysLater, Once};
    &[
        // First: a process installs each handler once.
        case(
            "installing a handler",
            "preimage/signal",
            Call::Handler,
            Errno::INVAL,
            Always,
            Refused("SIGBUS handler"),
        ),
        case(
            "installing a handler",
            "preimage/protect",
            Call::Handler,
            Errno::INVAL,
            Always,
            Refused("SIGSEGV handler"),
        ),
        case("opening a userfaultfd", "", Call::UffdOpen, Errno::PERM, Always, Lower("seccomp")),
        case(
            "opening a userfaultfd",
            "preimage/signal",
            Call::UffdOpen,
            Errno::PERM,
            Always,
            Refused("seccomp"),
        ),
        case(
            "registering the heap with it",
            "",
            Call::UffdRegister,
            Errno::BUSY,
            Always,
            Lower("another userfaultfd"),
        ),
        case("making a memory file", "", Call::Memfd, Errno::PERM, Always, Refused("memfd_create")),
        case("mapping memory", "", Call::Map, Errno::NOMEM, Always, Refused("mapping")),
        case("keeping memory out of forks", "", Call::DontFork, Errno::INVAL, Always, Refused("DontFork")),
        case("making an eventfd", "", Call::Event, Errno::MFILE, Always, Refused("eventfd")),
        case(
            "starting the collector's thread",
            "stw",
            Call::Thread,
            Errno::AGAIN,
            Always,
            Refused("collector thread"),
        ),
        case(
            "starting the monitor's thread",
            "preimage/monitor",
            Call::Thread,
            Errno::AGAIN,
            Always,
            Refused("monitor thread"),
        ),
        case("waiting for a worker", "preimage", Call::Wait, Errno::PERM, AlwaysLater, Fails("not complete")),
        case("giving shared memory back", "", Call::PunchHole, Errno::INVAL, AlwaysLater, Nothing),
        case("giving private memory back", "", Call::Discard, Errno::INVAL, AlwaysLater, Nothing),
        case("populating memory", "", Call::Populate, Errno::INVAL, AlwaysLater, Nothing),
        case(
            "letting a worker inherit the heap",
            "forkcow",
            Call::DoFork,
            Errno::INVAL,
            AlwaysLater,
            FallsBack("DoFork"),
        ),
        case(
            "protecting pages",
            "preimage/signal",
            Call::UffdArm,
            Errno::NOMEM,
            Once,
            FallsBack("write-protecting"),
        ),
        case(
            "protecting pages",
            "preimage/monitor",
            Call::UffdArm,
            Errno::NOMEM,
            Once,
            FallsBack("write-protecting"),
        ),
        case(
            "protecting pages",
            "preimage/protect",
            Call::Protect,
            Errno::NOMEM,
            Once,
            FallsBack("vm.max_map_count"),
        ),
        case(
            "protecting pages",
            "preimage/signal",
            Call::UffdArm,
            Errno::NOMEM,
            Always,
            FallsBack("write-protecting"),
        ),
        case(
            "protecting pages",
            "preimage/protect",
            Call::Protect,
            Errno::NOMEM,
            Always,
            FallsBack("vm.max_map_count"),
        ),
        case("opening a page again", "preimage/signal", Call::UffdOpenPages, Errno::NOMEM, Once, GivesUp),
        case("opening a page again", "preimage/monitor", Call::UffdOpenPages, Errno::NOMEM, Once, GivesUp),
        case("opening a page again", "preimage/protect", Call::ProtectOpen, Errno::NOMEM, Once, GivesUp),
        stubborn("preimage/signal"),
        stubborn("preimage/monitor"),
        case("reading an event", "preimage/monitor", Call::UffdRead, Errno::IO, Once, GivesUp),
        case("waking a writer", "preimage/monitor", Call::UffdWake, Errno::INVAL, Once, GivesUp),
        case("forking a worker", "preimage", Call::Fork, Errno::AGAIN, Once, FallsBack("RLIMIT_NPROC")),
        case("forking a worker", "preimage", Call::Fork, Errno::AGAIN, Always, FallsBack("RLIMIT_NPROC")),
        case("forking a worker", "forkcow", Call::Fork, Errno::AGAIN, Always, FallsBack("RLIMIT_NPROC")),
        case(
            "mapping in the worker",
            "preimage",
            Call::WorkerMap,
            Errno::NOMEM,
            Always,
            Fails("could not map the heap"),
        ),
        case(
            "mapping in the worker",
            "forkcow",
            Call::WorkerMap,
            Errno::NOMEM,
            Always,
            Fails("could not map the heap"),
        ),
        case("scanning page tables", "forkcow/async", Call::Scan, Errno::NOTTY, Always, Refused("6.7")),
        case(
            "scanning page tables",
            "stw/async",
            Call::Scan,
            Errno::NOMEM,
            AlwaysLater,
            Untracked("scanning"),
        ),
    ]
};

fn builder() -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(32 << 20).verify(true)
}

/// Builds a list, rewrites it over several cycles, and checks it.
fn work(nodes: &Nodes) -> Stats {
    let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
    let mut list = std::ptr::null_mut();
    for number in 0..20_000 {
        list = new_node(&mut m, nodes.kind, list, number);
    }
    for _ in 0..4 {
        // Large garbage, whose memory goes back to the system.
        for kind in [Kind::CONSERVATIVE, Kind::LEAF] {
            m.alloc(kind, 1 << 20).unwrap();
        }
        m.collect();
        let mut at = list;
        while !at.is_null() {
            // SAFETY: a live node.
            unsafe {
                (*at).other = list;
                at = (*at).next;
            }
        }
    }
    let mut at = list;
    for number in (0..20_000).rev() {
        assert_eq!(number_of(at), number);
        // SAFETY: a live node.
        at = unsafe { (*at).next };
    }
    nodes.heap.stats()
}

/// Moves what is in a table about, and adds to it, until there were enough cycles: each verifies the heap.
fn rewrite(nodes: &Nodes) {
    const SLOTS: usize = 20_000;
    let mut m = nodes.heap.attach(StackScan::None).unwrap();
    let table = m.alloc(Kind::UNIFORM, SLOTS * 8).unwrap().cast::<*mut common::Node>();
    let _table = nodes.heap.handle(Address::from_ptr(table.as_ptr()));
    let mut random = common::Random(table.as_ptr() as u64);
    while nodes.heap.stats().cycles < 30 {
        for _ in 0..10_000 {
            let (a, b) = (random.below(SLOTS), random.below(SLOTS));
            // SAFETY: slots of the table, and nodes that are in it.
            unsafe {
                let moved = table.add(a).read();
                if !moved.is_null() {
                    number_of(moved);
                }
                table.add(b).write(moved);
                let node = new_node(&mut m, nodes.kind, moved, a as u64);
                if random.below(2) == 0 {
                    (*node).next = std::ptr::null_mut();
                }
                table.add(a).write(node);
            }
        }
    }
}

/// What is armed fails; the rest is let through.
fn denying<R>(call: Call, after: u32, times: u32, errno: Errno, f: impl FnOnce() -> R) -> R {
    inject::arm(call, after, times, errno);
    let result = f();
    inject::disarm();
    result
}

/// What the collector's thread does once a cycle is over may be still to come.
fn await_call(call: Call) {
    let begin = Instant::now();
    while inject::failed(call) == 0 && begin.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn make(rung: &str) -> Result<Nodes, palimpsest::Error> {
    let wish = (!rung.is_empty()).then(|| rung.parse::<Wish>().expect("a rung"));
    let heap = wish.map_or_else(builder, |wish| builder().rung(wish)).build()?;
    let kind = heap.define_layout(palimpsest::Layout::mask(0b11))?;
    Ok(Nodes { heap, kind })
}

/// Runs one case, and says what is wrong with it.
fn run(case: &Case) -> Result<(), String> {
    let mut made_to_fail = 0;
    let positions: &[u32] = if case.times == Times::Once { &[0, 1, 2, 5, 20, 100] } else { &[0] };
    for &after in positions {
        let times = if case.times == Times::Once { 1 } else { u32::MAX };
        let made = (case.times == Times::AlwaysLater).then(|| make(case.rung));
        if let Some(also) = case.also {
            inject::arm(also, 0, u32::MAX, case.errno);
        }
        let result: Result<Stats, String> = denying(case.call, after, times, case.errno, || {
            let nodes = made.unwrap_or_else(|| make(case.rung)).map_err(|e| e.to_string())?;
            let stats = work(&nodes);
            if matches!(case.expected, Outcome::Nothing) {
                await_call(case.call);
            }
            Ok(stats)
        });
        let held = match (case.expected, &result) {
            (Outcome::Refused(why), Err(error)) => error.contains(why),
            (Outcome::Lower(why), Ok(stats)) => {
                stats.degraded.as_ref().is_some_and(|text| text.contains(why)) && stats.failures == 0
            }
            (Outcome::FallsBack(why), Ok(stats)) => {
                let none = case.times == Times::Once && stats.fallbacks == 0;
                none || (stats.fallbacks >= if case.times == Times::Once { 1 } else { 4 }
                    && stats.failures == 0
                    && stats.last_trouble.as_ref().is_some_and(|text| text.contains(why)))
            }
            (Outcome::GivesUp, Ok(stats)) => {
                stats.fallbacks == 0 || stats.degraded.as_ref().is_some_and(|text| text.contains("given up"))
            }
            (Outcome::Fails(why), Ok(stats)) => {
                stats.failures >= 2
                    && stats.fallbacks >= 4
                    && stats.last_trouble.as_ref().is_some_and(|text| text.contains(why))
            }
            (Outcome::Untracked(why), Ok(stats)) => {
                stats.last_trouble.as_ref().is_some_and(|text| text.contains(why)) && stats.failures == 0
            }
            (Outcome::Nothing, Ok(stats)) => stats.failures == 0 && stats.fallbacks == 0,
            _ => false,
        };
        made_to_fail += inject::failed(case.call);
        let cycles = result.as_ref().map_or(u64::MAX, |stats| stats.cycles);
        if !held || cycles < 4 {
            return Err(match result {
                Ok(stats) => format!("after {after}: {stats}"),
                Err(error) => format!("after {after}: {error}"),
            });
        }
    }
    // In the worker it is counted in the worker's copy; that it failed there is what the record says.
    if made_to_fail > 0 || case.call == Call::WorkerMap {
        Ok(())
    } else {
        Err("the call was never made".into())
    }
}

/// Whether this machine has what a case is about.
fn can_run(case: &Case) -> bool {
    let machine = ladder::Machine::look();
    let wish = case.rung.parse::<Wish>().unwrap_or_default();
    let first = if case.rung.is_empty() { Some(wish.candidates()[0]) } else { None };
    let needed: Vec<_> = first.map_or_else(|| wish.candidates(), |first| vec![first]);
    needed.iter().any(|rung| machine.allows(rung).is_ok())
}

const NAMES: &[(Errno, &str)] = &[
    (Errno::PERM, "EPERM"),
    (Errno::BUSY, "EBUSY"),
    (Errno::NOMEM, "ENOMEM"),
    (Errno::INVAL, "EINVAL"),
    (Errno::MFILE, "EMFILE"),
    (Errno::IO, "EIO"),
    (Errno::AGAIN, "EAGAIN"),
    (Errno::NOTTY, "ENOTTY"),
];

fn table() -> String {
    let mut table =
        String::from("| what is denied | how often | rung | what comes of it |\n| --- | --- | --- | --- |\n");
    for case in CASES {
        let times = match case.times {
            Times::Once => "once, anywhere",
            Times::Always | Times::AlwaysLater => "always",
        };
        let rung = if case.rung.is_empty() { "any".into() } else { format!("`{}`", case.rung) };
        let (what, errno) = (case.what, case.errno);
        let name = NAMES.iter().find(|(known, _)| *known == errno).expect("the error's name").1;
        let words = case.expected.in_words();
        writeln!(table, "| {what} ({name}) | {times} | {rung} | {words} |").expect("a string");
    }
    table
}

#[test]
fn every_denied_call_has_a_clear_outcome() {
    if std::env::var_os(ladder::VARIABLE).is_some() {
        eprintln!("skipped: {} is set, and this test chooses its rungs itself", ladder::VARIABLE);
        return;
    }
    let mut wrong = String::new();
    for case in CASES {
        if !can_run(case) {
            eprintln!("skipped: {} on {}: not to be had here", case.what, case.rung);
            continue;
        }
        if let Err(why) = run(case) {
            writeln!(wrong, "{} on {:?}, expected {:?}: {why}\n", case.what, case.rung, case.expected)
                .expect("a string");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");

    // At each point of making a heap: no heap, and the error says of what; or a heap, lower on the ladder.
    for (call, words) in [(Call::Memfd, ["memory file", "memfd_create"]), (Call::Map, ["mapping"; 2])] {
        for after in 0..40 {
            if let Err(error) = denying(call, after, 1, Errno::NOMEM, || builder().build()) {
                let text = error.to_string();
                assert!(words.iter().any(|word| text.contains(word)), "{text}");
            }
        }
    }

    // Pages cannot be protected while other threads write: what could not be armed this time is armed the next.
    for rung in ["preimage/signal", "preimage/monitor", "preimage/protect"] {
        let call = if rung.ends_with("protect") { Call::Protect } else { Call::UffdArm };
        for after in [0, 3, 20] {
            let Ok(wish) = rung.parse::<Wish>() else { unreachable!("a rung") };
            let heap = match builder().rung(wish).cycle_every(256 << 10).build() {
                Ok(heap) => heap,
                Err(why) => {
                    eprintln!("skipped: {why}");
                    continue;
                }
            };
            let kind = heap.define_layout(palimpsest::Layout::mask(0b11)).unwrap();
            let nodes = Nodes { heap, kind };
            denying(call, after, 3, Errno::NOMEM, || {
                std::thread::scope(|s| {
                    for _ in 0..2 {
                        s.spawn(|| rewrite(&nodes));
                    }
                });
            });
            let stats = nodes.heap.stats();
            assert!(stats.cycles >= 30 && stats.fallbacks >= 1, "{rung}: {stats}");
            assert_ne!(stats.snapshot, Snapshot::StopTheWorld);
        }
    }
}

#[test]
fn the_table_in_the_docs_is_this_one() {
    has_table("faults.md", "gc/tests/denied.rs", &table());
}
