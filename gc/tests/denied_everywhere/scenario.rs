//! What a program does with a heap while a system call fails: something of everything, with a shadow of what must be there.
//!
//! Whatever fails, the program checks that it has all its objects, that no child and no descriptor is left behind, and says
//! which of the [`Outcome`]s it met. What must not happen is a panic.

use crate::common::child::{in_child, is_stopped_by};
use crate::common::{AtEnd, Node, Nodes, check_list, new_node, number_of};
use crate::expected::{Outcome, ROWS, Row};
use palimpsest::{
    Address, Handle, Heap, HostFork, Kind, Layout, Mutator, PlainPointers, Snapshot, StackScan, WeakRef, Wish,
};
use palimpsest_runtime::sys::inject::{self, Call, Role};
use std::collections::BTreeSet;
use std::io::{Read, Write, pipe};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A call that fails.
#[derive(Copy, Clone, Debug)]
pub struct Fault {
    /// Which of [`ROWS`].
    pub row: usize,
    /// Which of its errors.
    pub errno: usize,
    /// How many of these calls are let through.
    pub after: u32,
    pub times: u32,
}

impl Fault {
    fn arm(self) {
        let Row { role, call, also, errnos, .. } = ROWS[self.row];
        inject::arm_in(role, call, self.after, self.times, errnos[self.errno]);
        for also in also {
            inject::arm_in(role, *also, 0, u32::MAX, errnos[self.errno]);
        }
    }
}

const NODES: u64 = 2_000;
const LIMIT: usize = 8 << 20;

/// What the program met, in the order in which it did.
#[derive(Clone)]
struct Met {
    fault: Option<Fault>,
    list: Arc<Mutex<Vec<(Outcome, String)>>>,
}

impl Met {
    /// How many calls have failed on purpose.
    fn dealt(&self) -> u64 {
        self.fault.map_or(0, |fault| inject::failed(ROWS[fault.row].call))
    }

    fn with(&self, outcome: Outcome, why: impl ToString) {
        self.list.lock().expect("no panic").push((outcome, why.to_string()));
    }
}

/// The whole of it, in a process of its own. Prints what `report` reads.
pub fn play(rung: &str, fault: Option<Fault>) {
    inject::share().expect("memory for the switches");
    // A host may have closed its standard input, and then that number is the next one: nothing of a heap may be found there.
    // SAFETY: nothing here reads it.
    unsafe { libc::close(0) };
    let before = descriptors();
    fault.into_iter().for_each(Fault::arm);
    let met = Met { fault, list: Arc::default() };
    with_heap(rung, &met);
    let (left, after) = (children(), descriptors());
    end_without_detaching(&met);
    let dealt = met.dealt();
    inject::disarm();
    if !left.is_empty() {
        met.with(Outcome::LeavesZombies, format!("{left:?}"));
        assert!(left.iter().all(|(_, state)| state == "Z"), "children that live: {left:?}");
    }
    assert!(after.is_subset(&before), "descriptors that are left: {:?}", after.difference(&before));
    for (outcome, why) in met.list.lock().expect("no panic").iter() {
        println!("\nREPORT met {outcome:?} {}", why.replace('\n', " "));
    }
    for role in Role::ALL {
        for &call in Call::ALL {
            println!("REPORT made {role:?} {call:?} {}", inject::made(role, call));
        }
    }
    println!("REPORT dealt {dealt}\nREPORT done");
}

fn with_heap(rung: &str, met: &Met) {
    let in_cycles = met.clone();
    let mut builder = Heap::builder(PlainPointers)
        .limit(LIMIT)
        .workers(2)
        .verify(true)
        .leaf_huge_pages(true)
        .host_fork(HostFork::Copy)
        .worker_patience(Duration::from_secs(20))
        .on_cycle(move |record| {
            let troubles = [
                (Outcome::Fails, &record.failure),
                (Outcome::FallsBack, &record.fallback),
                (Outcome::FewerWorkers, &record.fewer_workers),
                (Outcome::Untracked, &record.untracked),
            ];
            for (outcome, why) in troubles {
                why.iter().for_each(|why| in_cycles.with(outcome, why));
            }
        });
    if !rung.is_empty() {
        builder = builder.rung(rung.parse::<Wish>().expect("a rung"));
    }
    let heap = match builder.build() {
        Ok(heap) => heap,
        Err(why) => return met.with(Outcome::Refused, why),
    };
    let ladder = heap.ladder();
    if let Some(why) = ladder.degraded() {
        met.with(Outcome::Lower, why);
    }
    for call in Call::ALL {
        println!("REPORT built {call:?} {}", inject::made(Role::Program, *call));
    }
    let kind = heap.define_layout(Layout::mask(0b11)).expect("a layout");
    let nodes = Nodes { heap, kind };
    let done = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| beside(&nodes, met, &done));
        let _end = AtEnd(&done);
        work(&nodes, met);
    });
    let degraded = nodes.heap.stats().degraded.unwrap_or_default();
    if degraded.contains("given up") {
        met.with(Outcome::GivesUp, degraded);
    }
    match nodes.heap.footprint() {
        Ok(footprint) => assert!(footprint.resident.0 > 0),
        Err(why) => met.with(Outcome::Unknown, why),
    }
}

/// Attaches with a scan of the stack; without one where that is refused. Where all is refused, nothing.
fn attach(nodes: &Nodes, met: &Met) -> Option<Mutator<PlainPointers>> {
    [StackScan::Conservative, StackScan::None]
        .into_iter()
        .find_map(|scan| nodes.heap.attach(scan).map_err(|why| met.with(Outcome::AttachRefused, why)).ok())
}

/// A list, and what keeps it: the stack may not be scanned, and the other thread has cycles meanwhile.
fn rooted_list(m: &mut Mutator<PlainPointers>, nodes: &Nodes, len: u64) -> Handle {
    let kept = nodes.heap.handle(Address::new(0));
    for number in 0..len {
        let node = new_node(m, nodes.kind, kept.get().as_ptr(), number);
        kept.set(Address::from_ptr(node));
    }
    kept
}

/// A thread that ends without detaching: nobody waits for it. Its heap stays.
fn end_without_detaching(met: &Met) {
    let heap = Heap::builder(PlainPointers).limit(1 << 20).rung(Snapshot::StopTheWorld).build();
    let Ok(heap) = heap.map_err(|why| met.with(Outcome::Refused, why)) else { return };
    let nodes = Nodes { heap, kind: Kind::UNIFORM };
    std::thread::scope(|s| {
        s.spawn(|| std::mem::forget(attach(&nodes, met)));
    });
    if let Some(mut m) = attach(&nodes, met) {
        m.collect();
    }
}

/// A second thread, which allocates and writes all the while.
fn beside(nodes: &Nodes, met: &Met, done: &AtomicBool) {
    let Some(mut m) = attach(nodes, met) else { return };
    let kept = rooted_list(&mut m, nodes, 50);
    let own = kept.get().as_ptr();
    while !done.load(SeqCst) {
        rewrite(own);
        // In a heap that is full there is an error.
        let _ = m.alloc(Kind::LEAF, 512);
        m.blocking(|| std::thread::sleep(Duration::from_micros(200)));
        check_list(own, 50);
    }
}

fn rewrite(mut at: *mut Node) {
    let first = at;
    while !at.is_null() {
        // SAFETY: a live node.
        unsafe {
            (*at).other = first;
            at = (*at).next;
        }
    }
}

fn work(nodes: &Nodes, met: &Met) {
    let Some(mut m) = attach(nodes, met) else { return };
    let kept = rooted_list(&mut m, nodes, NODES);
    let first = kept.get().as_ptr();
    let weak = weak_to(&mut m, first, met);
    let gone = new_node(&mut m, nodes.kind, std::ptr::null_mut(), 7);
    let for_now = nodes.heap.handle(Address::from_ptr(gone));
    let to_gone = weak_to(&mut m, gone, met);
    for (node, token) in [(first, 1), (gone, 2)] {
        if let Err(why) = m.register_finalizer(Address::from_ptr(node), token) {
            met.with(Outcome::OutOfMemory, why);
        }
    }
    drop(for_now);
    let mut finalized = 0;
    for round in 0..4 {
        // Large garbage, whose memory goes back to the system.
        for kind in [Kind::CONSERVATIVE, Kind::LEAF] {
            m.alloc(kind, 256 << 10).expect("room for what was dropped");
        }
        let record = if round == 2 { m.collect_young() } else { m.collect() };
        assert!(record.number > 0);
        rewrite(first);
        read_from_kernel(&mut m, first, NODES - 1);
        check_list(first, NODES);
        if let Some(weak) = &weak {
            assert_eq!(weak.get(&mut m), Some(Address::from_ptr(first)));
        }
        if let Some(found) = to_gone.as_ref().and_then(|weak| weak.get(&mut m)) {
            assert_eq!(number_of(found.as_ptr()), 7);
        }
        while let Some((object, token)) = m.take_finalizable() {
            assert_eq!((token, number_of(object.as_ptr())), (2, 7), "what is reachable is not finalized");
            finalized += 1;
        }
    }
    assert!(finalized <= 1, "finalized {finalized} times");
    fork_copy(&mut m, nodes, first, met);
    exhaust(&mut m, nodes, met);
    check_list(first, NODES);
    if met.dealt() > 0 {
        recover(&mut m, nodes);
    }
    check_list(first, NODES);
}

/// What was to fail has failed: when nothing does any more cycles are as they were, unless the barrier was given up: that is for good.
fn recover(m: &mut Mutator<PlainPointers>, nodes: &Nodes) {
    inject::disarm();
    // One that had begun, and one in the stopped world where two had failed.
    m.collect();
    m.collect();
    let record = m.collect();
    let given_up = nodes.heap.stats().degraded.is_some_and(|why| why.contains("given up"));
    assert!(record.failure.is_none() && (given_up || record.fallback.is_none()), "no recovery: {record}");
}

/// Where there is no memory for its table, there is none.
fn weak_to(m: &mut Mutator<PlainPointers>, node: *mut Node, met: &Met) -> Option<WeakRef> {
    WeakRef::new(m, Address::from_ptr(node)).map_err(|why| met.with(Outcome::OutOfMemory, why)).ok()
}

/// Has the kernel write to a node, which must be open for that.
fn read_from_kernel(m: &mut Mutator<PlainPointers>, node: *mut Node, number: u64) {
    let (mut reader, mut writer) = pipe().expect("a pipe");
    writer.write_all(&number.to_ne_bytes()).expect("room in the pipe");
    let _open = m.kernel_io(Address::from_ptr(node), size_of::<Node>());
    // SAFETY: a field of a live node, of which there is no other reference.
    let field = unsafe { std::slice::from_raw_parts_mut((&raw mut (*node).number).cast::<u8>(), 8) };
    assert_eq!(reader.read(field).expect("an open page"), 8);
}

/// A child that the host forks has a copy and goes on with it, or has none and says so.
fn fork_copy(m: &mut Mutator<PlainPointers>, nodes: &Nodes, first: *mut Node, met: &Met) {
    const WITH_TROUBLE: i32 = 10;
    // Another heap, of which the child has no copy.
    let other = Heap::builder(PlainPointers).limit(1 << 20).rung(Snapshot::StopTheWorld).build();
    let other = other.map_err(|why| met.with(Outcome::Refused, why)).ok();
    let ((), end, said) = in_child((), |()| {
        check_list(first, NODES);
        rewrite(first);
        if let Some(other) = &other {
            assert!(other.attach(StackScan::None).is_err());
        }
        let before = nodes.heap.stats();
        for _ in 0..2 {
            m.collect();
            rewrite(first);
            check_list(first, NODES);
        }
        let after = nodes.heap.stats();
        if (before.failures, before.fallbacks) == (after.failures, after.fallbacks) {
            0
        } else {
            WITH_TROUBLE
        }
    });
    match end.code() {
        Some(0) => assert_eq!(said, ""),
        Some(WITH_TROUBLE) => met.with(Outcome::ChildFallsBack, said),
        _ if is_stopped_by(end, &said) => met.with(Outcome::NoCopy, said),
        _ if said.contains("a child cannot go on with its copy")
            || said.contains("removing write protection") =>
        {
            met.with(Outcome::ChildStops, said)
        }
        _ => panic!("the child: {end}: {said}"),
    }
    check_list(first, NODES);
}

/// Fills the heap: the last answer is an error, and once its objects are dropped there is room again.
fn exhaust(m: &mut Mutator<PlainPointers>, nodes: &Nodes, met: &Met) {
    const PIECE: usize = 1 << 20;
    let mut held = Vec::new();
    while let Ok(object) = m.alloc(Kind::LEAF, PIECE) {
        held.push(nodes.heap.handle(Address::from_ptr(object.as_ptr())));
        assert!(held.len() <= LIMIT / PIECE, "more than the limit");
    }
    assert!(!held.is_empty());
    held.clear();
    // Two cycles that fail reclaim nothing; the next ones stop the world.
    let again = (0..4).any(|_| m.alloc(Kind::LEAF, PIECE).is_ok());
    if !again {
        met.with(Outcome::OutOfMemory, "an object of a mebibyte");
    }
}

/// This process's descriptors, with what they are.
fn descriptors() -> BTreeSet<(i32, String)> {
    let links = std::fs::read_dir("/proc/self/fd").expect("descriptors").flatten();
    let found = links.filter_map(|link| {
        let target = std::fs::read_link(link.path()).ok()?.to_string_lossy().into_owned();
        Some((link.file_name().to_str()?.parse().ok()?, target))
    });
    // The one that lists is among them.
    found.filter(|(_, target)| !target.ends_with("/fd")).collect()
}

/// This process's children, with their states.
fn children() -> Vec<(i32, String)> {
    let own = std::process::id().to_string();
    let numbers = std::fs::read_dir("/proc").expect("/proc").flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let state_of = |pid: i32| {
        // Behind the program's name: state, parent.
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ').map(str::to_owned);
        let state = fields.next()?;
        (fields.next()? == own).then_some((pid, state))
    };
    numbers.filter_map(state_of).collect()
}
