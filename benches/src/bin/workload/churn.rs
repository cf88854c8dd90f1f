//! Churn: a live heap of any size, short-lived objects beside it, and as many writes to old objects as asked for.
//!
//! One thing grows at a time: the live heap, the rate of mutation, or the threads. The live heap stays as large as it is: a
//! write replaces one reference to an old object by another. Threads have parts of their own, so what they read does not depend
//! on how they are scheduled.

use std::ops::Range;
use std::ptr;
use std::time::Instant;

use palimpsest::{Address, Error, Kind, Layout};

use crate::latency::Latency;
use crate::objects::{self, Mutator};
use crate::random::Random;
use crate::report::Outcome;
use crate::threads;

/// Nodes of a tree: a root, its four children, and theirs.
const TREE: usize = 1 + 4 + 16;
/// Trees of 21 nodes of 64 bytes in a MiB.
const TREES_PER_MIB: u64 = (1 << 20) / (TREE as u64 * 64);
/// Operations for each node of the live heap, if nothing else is asked for: twice the live heap is allocated.
const OPS_PER_NODE: u64 = 2;

#[derive(Clone, Copy)]
struct Node {
    children: [*mut Node; 4],
    /// Where operations write: nothing at first, and then the root of some tree.
    other: *mut Node,
    id: u64,
    _words: [u64; 2],
}

impl Node {
    const LAYOUT: Layout = Layout::mask(0b1_1111);

    fn new(children: [*mut Node; 4], id: u64) -> Self {
        Self { children, other: ptr::null_mut(), id, _words: [0; 2] }
    }
}

/// What a thread works on.
struct Part {
    kind: Kind,
    /// The whole table of trees, which a handle keeps.
    table: Address,
    /// The trees that are this thread's.
    trees: Range<u64>,
}

/// Runs the workload: `mib` MiB of trees, `ops` operations, of which so many in a thousand write; or two operations a node.
pub(crate) fn run(
    mutator: &mut Mutator,
    origin: Instant,
    mib: u32,
    writes: u32,
    ops: u64,
    threads: u32,
) -> Result<Outcome, Error> {
    let heap = mutator.heap().clone();
    let kind = heap.define_layout(Node::LAYOUT)?;
    let count = u64::from(mib) * TREES_PER_MIB;
    let ops = if ops == 0 { count * TREE as u64 * OPS_PER_NODE } else { ops };
    let table = Address::from_ptr(objects::pointers::<Node>(mutator, count as usize));
    let _table = heap.handle(table);
    let share = |all: u64, thread: u32| all * u64::from(thread) / u64::from(threads);
    let part = |thread| Part { kind, table, trees: share(count, thread)..share(count, thread + 1) };

    let start = Instant::now();
    threads::on_each(mutator, threads, |mutator, thread| part(thread).build(mutator))?;
    let build = start.elapsed();

    let parts = threads::on_each(mutator, threads, |mutator, thread| {
        let ops = share(ops, thread + 1) - share(ops, thread);
        let mut latency = Latency::start(origin, threads);
        let mut random = Random::of(thread.into());
        let sum = part(thread).operate(mutator, &mut random, ops, writes, &mut latency);
        (sum, latency)
    })?;
    let (mut sum, mut latency) = (0u64, Latency::start(origin, threads));
    for (of_part, times) in parts {
        sum = sum.wrapping_add(of_part);
        latency.merge(&times);
    }
    Ok(Outcome { build: Some(build), latency: Some(latency), ..Outcome::new(sum) })
}

impl Part {
    /// Where a tree's root is.
    fn slot(&self, tree: u64) -> *mut *mut Node {
        // SAFETY: within the table.
        unsafe { self.table.as_ptr::<*mut Node>().add(tree as usize) }
    }

    fn build(&self, mutator: &mut Mutator) {
        for tree in self.trees.clone() {
            let first = tree * TREE as u64;
            let mut children = [ptr::null_mut(); 4];
            for (child, place) in children.iter_mut().zip(0..) {
                let below = std::array::from_fn(|leaf| {
                    let id = first + 5 + place * 4 + leaf as u64;
                    objects::new(mutator, self.kind, Node::new([ptr::null_mut(); 4], id))
                });
                *child = objects::new(mutator, self.kind, Node::new(below, first + 1 + place));
            }
            let root = objects::new(mutator, self.kind, Node::new(children, first));
            // SAFETY: this thread's slot.
            unsafe { self.slot(tree).write(root) };
        }
    }

    /// Any of this thread's roots.
    #[inline]
    fn root(&self, random: &mut Random) -> *mut Node {
        let tree = self.trees.start + random.below(self.trees.end - self.trees.start) as u64;
        // SAFETY: every slot was filled.
        unsafe { *self.slot(tree) }
    }

    /// Any node of this thread's.
    #[inline]
    fn node(&self, random: &mut Random) -> *mut Node {
        let root = self.root(random);
        let place = random.below(TREE as u64);
        // SAFETY: a root and its children have four children each.
        unsafe {
            match place.checked_sub(5) {
                None if place == 0 => root,
                None => (*root).children[place - 1],
                Some(leaf) => (*(*root).children[leaf / 4]).children[leaf % 4],
            }
        }
    }

    fn operate(
        &self,
        mutator: &mut Mutator,
        random: &mut Random,
        ops: u64,
        writes: u32,
        latency: &mut Latency,
    ) -> u64 {
        let mut sum = 0u64;
        let mut last: *mut Node = ptr::null_mut();
        latency.skip();
        for op in 0..ops {
            let root = self.root(random);
            let node = Node::new([root, ptr::null_mut(), ptr::null_mut(), ptr::null_mut()], op);
            let node = objects::new(mutator, self.kind, node);
            // SAFETY: this frame holds the last node until now; what it and the nodes of trees lead to is live.
            unsafe {
                if let Some(last) = last.as_ref() {
                    sum = sum.wrapping_add(last.id).wrapping_add((*last.children[0]).id);
                }
                if random.below(1000) < writes as usize {
                    let place = &raw mut (*self.node(random)).other;
                    if let Some(other) = (*place).as_ref() {
                        sum = sum.wrapping_add(other.id);
                    }
                    place.write(root);
                }
            }
            last = node;
            latency.lap();
        }
        sum
    }
}
