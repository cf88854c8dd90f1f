//! How long the world stops for a cycle, by the snapshot and the size of the live heap.
//!
//! A list of 64-byte nodes of so many MiB. One attached thread asks for cycle after cycle and waits for them; another runs, and
//! has to be stopped. Between the cycles one page in [`WRITTEN`] is written. The time is the collector's own record.
//!
//! The floors stop the same kind of thread by one word ([`Bystander`]), and then:
//!
//! * *preimage*: fork. Of the same process, with its heap in a memory file that no child inherits.
//! * *forkcow*: fork, with as much private memory, populated, the page tables of which are copied.
//! * *stw*: walk the same list once, from node to node, and do nothing with it.
//!
//! The fork is the bare `clone` by which the library forks; the child exits at once and is reaped after the measurement.

use std::error::Error;
use std::hint::black_box;
use std::time::Duration;
use std::{ptr, thread};

use palimpsest::{Address, Handle, Heap, Layout, PlainPointers, Snapshot, StackScan};
use palimpsest_runtime::PAGE_SIZE;
use palimpsest_runtime::sys::process::{self, Child, Forked};

use crate::sides::floor::memory::Inherited;
use crate::sides::floor::stopped::Bystander;
use crate::table::{Row, Subject};
use crate::turns::in_turns;

#[path = "../support/objects.rs"]
mod objects;
use objects::Mutator;
#[path = "../support/room.rs"]
mod room;
use room::needs;

const MIB: usize = 1 << 20;

/// One page in so many is written between cycles.
const WRITTEN: usize = 16;

#[derive(Clone, Copy)]
#[repr(C)]
struct Node {
    next: *mut Node,
    words: [u64; 7],
}

/// A heap and what keeps it full. The root goes before the mutator, and that before its heap.
struct Full {
    _list: Handle,
    first: *mut Node,
    /// A node in every [`WRITTEN`]th page.
    some: Vec<*mut Node>,
    snapshot: Snapshot,
    mutator: Mutator,
}

/// Measures one snapshot at one size.
pub(crate) fn measure(snapshot: Snapshot, mib: usize, rounds: usize) -> Result<Vec<Row>, Box<dyn Error>> {
    let live = mib * MIB;
    let inherited = if snapshot == Snapshot::ForkCow { live } else { 0 };
    needs(live + live / 4 + inherited + 256 * MIB)?;
    let mut full = Full::new(snapshot, live)?;
    let inherited = Inherited::new(inherited.max(PAGE_SIZE))?;
    let (heap, bystander, first) = (full.mutator.heap().clone(), Bystander::default(), full.first);
    let [figures] = thread::scope(|scope| {
        scope.spawn(|| {
            // Its stack holds no reference.
            let mut mutator = heap.attach(StackScan::None).expect("attached");
            bystander.run(|| mutator.poll());
        });
        let floor = || {
            inherited.write_some(WRITTEN);
            // After a cycle the collector goes on sweeping for a while, and would take a processor from us.
            thread::sleep(Duration::from_millis(20 + mib as u64 / 8));
            let pause = match snapshot {
                Snapshot::Preimage => pause_to_fork(&bystander),
                Snapshot::ForkCow => {
                    inherited.be_inherited(true);
                    let pause = pause_to_fork(&bystander);
                    inherited.be_inherited(false);
                    pause
                }
                Snapshot::StopTheWorld => bystander.pause(|| walk(first)).1,
            };
            [pause]
        };
        let figures = in_turns(rounds, || [full.pause_of_cycle()], floor);
        // Of what the pause is made up.
        eprintln!("  one more: {}", full.mutator.collect());
        bystander.end();
        figures
    });
    let what = format!("pause, {}, {mib} MiB", full.name());
    let floor = match snapshot {
        Snapshot::Preimage => {
            "stop a thread, fork, wake it; a process with the same heap, which no child inherits"
        }
        Snapshot::ForkCow => "the same where the child inherits as much private memory",
        Snapshot::StopTheWorld => "stop a thread, walk the list once, wake it",
    };
    Ok(vec![Row::new(Subject::Pause, what, figures, floor)])
}

impl Full {
    /// A heap with a list of this size.
    fn new(snapshot: Snapshot, live: usize) -> Result<Self, Box<dyn Error>> {
        let heap = Heap::builder(PlainPointers).rung(snapshot).limit(2 * live + 64 * MIB).build()?;
        let kind = heap.define_layout(Layout::mask(0b1))?;
        let mut mutator = heap.attach(StackScan::Conservative)?;
        let (mut first, mut some) = (ptr::null_mut(), Vec::new());
        for number in 0..live / size_of::<Node>() {
            first = objects::new(&mut mutator, kind, Node { next: first, words: [1; 7] });
            if number.is_multiple_of(WRITTEN * PAGE_SIZE / size_of::<Node>()) {
                some.push(first);
            }
        }
        Ok(Self { _list: heap.handle(Address::from_ptr(first)), first, some, snapshot, mutator })
    }

    /// The rung, without the way to the userfaultfd.
    fn name(&self) -> String {
        let rung = self.mutator.heap().ladder().chosen();
        rung.delivery.map_or(rung.snapshot.to_string(), |delivery| format!("{}/{delivery}", rung.snapshot))
    }

    fn pause_of_cycle(&mut self) -> Duration {
        for node in &self.some {
            // SAFETY: a node of the list, of which nobody else reads this word.
            unsafe { (&raw mut (**node).words[0]).write_volatile(2) };
        }
        let record = self.mutator.collect();
        assert_eq!((record.snapshot, &record.fallback), (self.snapshot, &None), "{record}");
        Duration::from_secs_f64(record.pause_ms / 1e3)
    }
}

/// A pause in which this process is forked.
fn pause_to_fork(bystander: &Bystander) -> Duration {
    let (mut child, pause) = bystander.pause(fork);
    child.wait();
    pause
}

fn fork() -> Child {
    // SAFETY: the child does nothing but exit.
    match unsafe { process::fork() }.expect("a process more") {
        Forked::Child => process::exit_now(0),
        Forked::Parent(child) => child,
    }
}

fn walk(first: *mut Node) {
    let mut node = first;
    // SAFETY: the list's nodes, which a handle keeps.
    while let Some(found) = unsafe { node.as_ref() } {
        node = black_box(found.next);
    }
}
