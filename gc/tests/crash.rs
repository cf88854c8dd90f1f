//! An invariant that does not hold is reported once, with the state of the heap, and the process ends. A worker that finds one
//! costs its cycle; the host goes on if the heap is sound.
//!
//! Tables are found by their names in `/proc/self/maps` and written over. Each such test is a process of its own.

mod common;

use common::{Nodes, alone_heard, rungs};
use palimpsest::{Address, Embedder, Heap, Kind, Layout, PlainPointers, StackScan};
use palimpsest_runtime::crash::violated;
use std::alloc::{GlobalAlloc, System};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

const PAGE: usize = 4096;
const BLOCK: usize = 1 << 16;

/// In which thread nobody may allocate, by its number; 0 for none.
static FORBIDDEN: AtomicU32 = AtomicU32::new(0);

/// An allocator that says so where it is called in the middle of a report.
struct Watching;

// SAFETY: as the system's, which is called for everything.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: std::alloc::Layout) -> *mut u8 {
        let forbidden = FORBIDDEN.load(SeqCst);
        // SAFETY: no preconditions; the message is as long as is said.
        if forbidden != 0 && unsafe { libc::gettid() } as u32 == forbidden {
            let text = "ALLOCATED\n";
            // SAFETY: as above.
            unsafe { libc::write(2, text.as_ptr().cast(), text.len()) };
        }
        // SAFETY: passed on to the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: std::alloc::Layout) {
        // SAFETY: passed on to the caller.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// Ends this process as the collector does, in a thread that may not allocate from here on.
fn violate(at: Option<Address>, what: &str) -> ! {
    // SAFETY: no precondition.
    FORBIDDEN.store(unsafe { libc::gettid() } as u32, SeqCst);
    violated(at, format_args!("{what}"))
}

/// Where a table of this name is mapped, first and last.
fn table(name: &str) -> (usize, usize) {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    let file = format!("memfd:palimpsest-{name} ");
    let line =
        maps.lines().find(|line| line.contains(&file)).unwrap_or_else(|| panic!("no {name} in {maps}"));
    let (from, rest) = line.split_once('-').expect("a range");
    let (to, _) = rest.split_once(' ').expect("a range");
    let number = |text| usize::from_str_radix(text, 16).expect("an address");
    (number(from), number(to))
}

/// Writes over a table of the only heap of this process.
fn overwrite<T>(name: &str, index: usize, value: T) {
    let (at, end) = table(name);
    let at = at + index * size_of::<T>();
    assert!(at < end);
    // SAFETY: in the table; what is broken by that is to be reported.
    unsafe { std::ptr::with_exposed_provenance_mut::<T>(at).write_volatile(value) };
}

/// How often a text is in another.
fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

/// Whether a process was ended by one report with these words in it.
fn is_reported(end: ExitStatus, said: &str, words: &[&str]) {
    let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
    assert!(missing.is_empty(), "{missing:?} in {said}");
    assert_eq!(count(said, "an invariant of the garbage collector does not hold"), 1, "{said}");
    assert_eq!((count(said, "  violated  "), count(said, "     to do  ")), (1, 1), "{said}");
    assert_eq!(end.signal(), Some(libc::SIGABRT), "{end}: {said}");
    assert!(!said.contains("ALLOCATED"), "{said}");
}

/// What every report has.
const SECTIONS: [&str; 9] = [
    " version  palimpsest 0.",
    "  thread  ",
    "    heap  ",
    "B in use, ",
    " options  limit=64M",
    "   cycle  ",
    "mutators  ",
    "   block  ",
    " granule  ",
];

fn nodes(rung: palimpsest::Wish) -> Nodes {
    Nodes::new(Heap::builder(PlainPointers).limit(64 << 20).rung(rung))
}

#[test]
fn a_report_has_all_sections_and_allocates_nothing() {
    let end = alone_heard("a_report_has_all_sections_and_allocates_nothing", "alone", || {
        let nodes = nodes(rungs()[0]);
        let mut mutator = nodes.heap.attach(StackScan::None).expect("a thread");
        let object = Address::from_ptr(mutator.alloc(Kind::UNIFORM, 64).expect("memory").as_ptr());
        let _root = nodes.heap.handle(object);
        assert!(mutator.collect().failure.is_none());
        violate(Some(object), "something made up");
    });
    let Some((end, said)) = end else { return };
    is_reported(end, &said, &SECTIONS);
    let words = [
        "violated  something made up",
        "number 1, full, has ended",
        "(it reports) is running",
        "  object  at 0x",
    ];
    is_reported(end, &said, &words);
    is_reported(end, &said, &["64 bytes\n", "colour marked", "  memory  at 0x"]);
    if said.contains("preimage/") {
        is_reported(end, &said, &["snapshot  is not kept; epoch ", "    page  0 is "]);
    }
}

#[test]
fn several_threads_that_find_something_print_one_report() {
    let end = alone_heard("several_threads_that_find_something_print_one_report", "alone", || {
        let nodes = nodes(rungs()[0]);
        let all = Barrier::new(4);
        std::thread::scope(|scope| {
            for k in 0..4 {
                let (nodes, all) = (&nodes, &all);
                scope.spawn(move || {
                    let _mutator = nodes.heap.attach(StackScan::Conservative).expect("a thread");
                    all.wait();
                    violated(None, format_args!("thread {k} has found something"));
                });
            }
        });
    });
    let Some((end, said)) = end else { return };
    is_reported(end, &said, &["has found something", "4 attached"]);
}

#[test]
fn a_reference_to_no_object_is_reported_by_the_verification() {
    let end = alone_heard("a_reference_to_no_object_is_reported_by_the_verification", "alone", || {
        let nodes = Nodes::new(Heap::builder(PlainPointers).limit(64 << 20).verify(true));
        let mut mutator = nodes.heap.attach(StackScan::None).expect("a thread");
        let object = Address::from_ptr(mutator.alloc(Kind::UNIFORM, 64).expect("memory").as_ptr());
        let _root = nodes.heap.handle(object);
        assert!(mutator.collect().failure.is_none());
        // The whole table is for the whole heap, whose base is where the object of the first allocation is.
        let base = object.as_usize() & !(BLOCK - 1);
        assert_eq!(object.as_usize(), base, "the first object of the heap");
        overwrite("metadata", 0, 0u8);
        overwrite("metadata", 3, 0u8);
        mutator.collect();
    });
    let Some((end, said)) = end else { return };
    is_reported(end, &said, &SECTIONS);
    is_reported(
        end,
        &said,
        &["a root refers to 0x", "where no object starts", "the world is stopped", "is being verified"],
    );
}

#[test]
fn a_page_word_that_cannot_be_is_reported_by_the_trap_handler() {
    for rung in ["preimage/signal", "preimage/protect"] {
        let rung: palimpsest::Wish = rung.parse().expect("a rung");
        if !rungs().contains(&rung) {
            continue;
        }
        let end = alone_heard("a_page_word_that_cannot_be_is_reported_by_the_trap_handler", rung, || {
            let nodes = nodes(rung);
            let mut mutator = nodes.heap.attach(StackScan::None).expect("a thread");
            let objects: Vec<_> =
                (0..64).map(|_| mutator.alloc(Kind::UNIFORM, PAGE).expect("memory").cast::<u64>()).collect();
            let _roots: Vec<_> =
                objects.iter().map(|object| nodes.heap.handle(Address::from_ptr(object.as_ptr()))).collect();
            let base = objects[0].as_ptr().addr() & !(BLOCK - 1);
            let (words, _) = table("pages");
            let is_armed = |page: usize| {
                // SAFETY: a word of the table.
                unsafe { std::ptr::with_exposed_provenance::<u32>(words + 4 * page).read_volatile() == 1 }
            };
            for _ in 0..50 {
                mutator.collect();
                let page_of = |object: &std::ptr::NonNull<u64>| (object.as_ptr().addr() - base) / PAGE;
                if let Some(object) =
                    objects.iter().find(|object| page_of(object) > 0 && is_armed(page_of(object)))
                {
                    // Saved, in a pre-image that is another page's.
                    overwrite("pages", page_of(object), 4u32 + 5);
                    // SAFETY: the object is rooted.
                    unsafe { object.write_volatile(0) };
                    panic!("the write went through");
                }
            }
            panic!("no page was armed");
        });
        let Some((end, said)) = end else { continue };
        is_reported(end, &said, &SECTIONS);
        let words = [
            "is saved in pre-image 5, which is not a pre-image of it",
            "that pre-image is page ",
            "(it reports)",
        ];
        is_reported(end, &said, &words);
    }
}

/// Has workers find something, as long as they are told to.
struct Accuser;

static ACCUSES: AtomicBool = AtomicBool::new(false);

// SAFETY: depends on the word alone; what it does in a worker is what the collector does there.
unsafe impl Embedder for Accuser {
    fn decode(&self, word: u64) -> Option<Address> {
        (word != 0).then(|| Address::new(word as usize))
    }

    fn layout(&self, _header: u64) -> Layout {
        if ACCUSES.load(SeqCst) && std::process::id() != HOST.load(SeqCst) {
            violated(Some(Address::new(0x1230)), format_args!("a worker says \u{1b}[2J what is not so"));
        }
        Layout::words()
    }
}

static HOST: AtomicU32 = AtomicU32::new(0);

#[test]
fn a_worker_that_is_wrong_costs_its_cycle_and_the_host_goes_on() {
    HOST.store(std::process::id(), SeqCst);
    for rung in common::forking_rungs() {
        for workers in [1, 3] {
            let (tell, failures) = std::sync::mpsc::channel();
            let builder = Heap::builder(Accuser).limit(64 << 20).rung(rung).workers(workers);
            let heap = builder
                .on_cycle(move |record| {
                    // One failure is enough.
                    ACCUSES.store(false, SeqCst);
                    if let Some(why) = &record.failure {
                        tell.send((why.clone(), record.verify_ms)).expect("this test listens");
                    }
                })
                .build()
                .expect("a heap");
            let mut mutator = heap.attach(StackScan::None).expect("a thread");
            let object = mutator.alloc(Kind::HEADED, 64).expect("memory");
            let _root = heap.handle(Address::from_ptr(object.as_ptr()));
            ACCUSES.store(true, SeqCst);
            // The cycle that fails is followed by another.
            let next = mutator.collect();
            let (why, verify_ms) = failures.recv().expect("a cycle has failed");
            assert!(verify_ms > 0.0);
            assert!(
                why.contains("worker found that a worker says \\u{1b}[2J what is not so (at 0x1230)"),
                "{why}"
            );
            assert!(why.ends_with("but the heap's metadata was looked at, and is sound"), "{why}");
            assert_eq!((next.number, next.failure, next.marked_objects), (2, None, 1), "on {rung}");
        }
    }
}

#[test]
fn a_worker_that_is_right_has_its_parent_report() {
    for rung in common::forking_rungs() {
        let end = alone_heard("a_worker_that_is_right_has_its_parent_report", rung, || {
            let heap = Heap::builder(PlainPointers).limit(64 << 20).rung(rung).build().expect("a heap");
            let mut mutator = heap.attach(StackScan::None).expect("a thread");
            let holder = mutator.alloc(Kind::CONSERVATIVE, 64).expect("memory").cast::<usize>();
            let _root = heap.handle(Address::from_ptr(holder.as_ptr()));
            // The first of several leaf blocks, which are behind the traced half in the table.
            let leaf = mutator.alloc(Kind::LEAF, 1024).expect("memory");
            // SAFETY: a word of the object.
            unsafe { holder.write(leaf.as_ptr().expose_provenance()) };
            for _ in 0..1024 {
                mutator.alloc(Kind::LEAF, 1024).expect("memory");
            }
            mutator.collect();
            let index = (leaf.as_ptr().addr() - (holder.as_ptr().addr() & !(BLOCK - 1))) / BLOCK;
            overwrite("blocks", index, 99u8);
            mutator.collect();
        });
        let Some((end, said)) = end else { continue };
        is_reported(end, &said, &SECTIONS);
        // By the verification after the worker's finding, or by the sweeping that may still go on.
        is_reported(
            end,
            &said,
            &["is in no state that there is", "is 99, no state that there is, leaf half"],
        );
    }
}

/// In builds with debug assertions.
#[cfg(debug_assertions)]
mod guards {
    use super::*;

    #[test]
    fn what_is_written_past_a_table_is_reported_after_the_next_cycle() {
        for name in ["record", "packet-lists", "overflow"] {
            let end = alone_heard(
                "guards::what_is_written_past_a_table_is_reported_after_the_next_cycle",
                name,
                || {
                    let nodes = nodes(rungs()[0]);
                    let mut mutator = nodes.heap.attach(StackScan::None).expect("a thread");
                    overwrite(name, 511, 1u64);
                    mutator.collect();
                    // It reports before it tells others of the next.
                    mutator.collect();
                },
            );
            let Some((end, said)) = end else { continue };
            is_reported(end, &said, &["behind the last value of the table at 0x", "something wrote past it"]);
        }
    }

    #[test]
    fn what_runs_over_the_edge_of_a_table_faults_there() {
        for (name, behind) in [("metadata", true), ("pages", false), ("preimages", true), ("blocks", false)] {
            let end = alone_heard("guards::what_runs_over_the_edge_of_a_table_faults_there", name, || {
                let _heap = Heap::builder(PlainPointers)
                    .limit(16 << 20)
                    .rung("preimage/protect".parse::<palimpsest::Wish>().expect("a rung"))
                    .build()
                    .expect("a heap");
                let (first, end) = table(name);
                let at = if behind { end } else { first - 8 };
                // SAFETY: it is not: this is to fault.
                unsafe { std::ptr::with_exposed_provenance_mut::<u64>(at).write_volatile(1) };
            });
            let Some((end, said)) = end else { continue };
            assert_eq!(end.signal(), Some(libc::SIGSEGV), "{name}: {said}");
            assert_eq!(count(&said, "in the guard beside memory of the heap"), 1, "{said}");
        }
    }
}
