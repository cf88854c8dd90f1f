//! What several tests need: a small language runtime around the raw interface.
#![allow(dead_code, reason = "each test uses some of it")]

pub mod chapter;
pub mod child;
pub mod shapes;

use palimpsest::{
    Address, Embedder, Heap, HeapBuilder, Kind, Layout, Mutator, PlainPointers, Snapshot, Wish, ladder,
};
use std::fmt::Display;
use std::process::{Command, ExitStatus};

/// Every kind of rung there is. Doors to a userfaultfd make no difference once they are open.
const RUNGS: [&str; 7] = [
    "preimage/signal",
    "preimage/monitor",
    "preimage/protect",
    "forkcow",
    "forkcow/async",
    "stw",
    "stw/async",
];

/// The rungs to run a test on: the one that the environment asks for, or else all that hold here. Says which do not.
pub fn rungs() -> Vec<Wish> {
    if let Some(wish) = ladder::from_environment().expect("the name of a rung") {
        return vec![wish];
    }
    let rungs: Vec<Wish> = RUNGS.iter().map(|name| name.parse().expect("a rung")).collect();
    let holds = |wish: &Wish| match Heap::builder(PlainPointers).limit(1 << 20).rung(*wish).build() {
        Ok(_) => true,
        Err(why) => {
            eprintln!("skipped: {why}");
            false
        }
    };
    rungs.into_iter().filter(holds).collect()
}

/// The rungs on which workers mark.
pub fn forking_rungs() -> Vec<Wish> {
    let forks = |wish: &Wish| {
        let heap =
            Heap::builder(PlainPointers).limit(1 << 20).rung(*wish).build().expect("a rung that holds");
        heap.ladder().chosen().snapshot != Snapshot::StopTheWorld
    };
    rungs().into_iter().filter(forks).collect()
}

const MARK: &str = "PALIMPSEST_TEST_CASE";

/// Runs `case` in a process of its own and returns how that ended, or nothing in that process, where `case` did not end it.
///
/// For what is the process's: filters, limits, and its end. `name` is the test's.
pub fn alone(name: &str, case: impl FnOnce()) -> Option<ExitStatus> {
    let mut again = again_unless_marked(name, name, case)?;
    Some(again.status().expect("this program again"))
}

/// The same for one of a test's cases, with what that process said on its standard error. In the process of another case
/// nothing happens.
pub fn alone_heard(name: &str, which: impl Display, case: impl FnOnce()) -> Option<(ExitStatus, String)> {
    let output = again_unless_marked(name, &format!("{name} {which}"), case)?.output();
    let output = output.expect("this program again");
    Some((output.status, String::from_utf8_lossy(&output.stderr).into_owned()))
}

fn again_unless_marked(name: &str, mark: &str, case: impl FnOnce()) -> Option<Command> {
    if let Ok(marked) = std::env::var(MARK) {
        if marked == mark {
            case();
        }
        return None;
    }
    let mut again = Command::new(std::env::current_exe().expect("this program"));
    again.args(["--exact", name, "--nocapture", "--test-threads", "1"]).env(MARK, mark);
    Some(again)
}

/// A node: a number, and references to others.
#[repr(C)]
pub struct Node {
    pub next: *mut Node,
    pub other: *mut Node,
    pub number: u64,
    /// Always the complement of `number`: shows that this is a node and not freed memory.
    pub check: u64,
}

pub struct Nodes {
    pub heap: Heap<PlainPointers>,
    pub kind: Kind,
}

impl Nodes {
    pub fn new(builder: HeapBuilder<PlainPointers>) -> Self {
        let heap = builder.build().expect("a heap");
        let kind = heap.define_layout(Layout::mask(0b11)).expect("a layout");
        Self { heap, kind }
    }
}

pub fn new_node(m: &mut Mutator<PlainPointers>, kind: Kind, next: *mut Node, number: u64) -> *mut Node {
    let node = m.alloc(kind, size_of::<Node>()).expect("room for a node").as_ptr().cast::<Node>();
    // SAFETY: a new object, large enough for a node.
    unsafe { node.write(Node { next, other: std::ptr::null_mut(), number, check: !number }) };
    node
}

/// Reads a node's number and checks that it is a node.
pub fn number_of(node: *const Node) -> u64 {
    // SAFETY: the tests keep the nodes they use reachable; if the collector does not, this is what fails.
    let (number, check) = unsafe { ((*node).number, (*node).check) };
    assert_eq!(number, !check, "the node at {node:?} was reclaimed");
    number
}

/// A list that nothing but the caller's frame refers to.
pub fn list(m: &mut Mutator<PlainPointers>, kind: Kind, nodes: u64) -> *mut Node {
    (0..nodes).fold(std::ptr::null_mut(), |list, number| new_node(m, kind, list, number))
}

/// Checks that all of it is there.
pub fn check_list(mut at: *mut Node, nodes: u64) {
    for number in (0..nodes).rev() {
        assert_eq!(number_of(at), number);
        // SAFETY: a live node.
        at = unsafe { (*at).next };
    }
    assert!(at.is_null());
}

/// Values tagged in the low bits: a reference has 1 in the lowest, everything else is data.
pub struct Tagged;

// SAFETY: depends on the word alone; the tests tag nothing but addresses of objects.
unsafe impl Embedder for Tagged {
    fn decode(&self, word: u64) -> Option<Address> {
        (word & 1 == 1).then(|| Address::new(word as usize - 1))
    }

    /// The header's low byte says how many words behind it are data; the rest are values.
    fn layout(&self, header: u64) -> Layout {
        Layout::leaf().with_tail(1 + (header >> 1 & 0xff) as u16)
    }
}

pub fn tag<T>(object: *const T) -> u64 {
    object.expose_provenance() as u64 | 1
}

/// Raises a flag when it drops, also when a test fails: threads that wait for the flag end.
pub struct AtEnd<'a>(pub &'a std::sync::atomic::AtomicBool);

impl Drop for AtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// A stream of numbers from a seed.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 16) as usize) % n
    }
}
