//! Binary-trees: the allocation rate of the smallest objects, and how it scales over threads.
//!
//! Nothing is written to after it was initialised, so the barrier has nothing to do but to let recycled memory through.
//! A thread attaches itself for each depth, as a thread of a host program would for a piece of work; the one that waits
//! for the others does so as blocked, so that no cycle waits for it.

use std::ptr;

use palimpsest::{Address, Error, Kind, Layout};

use crate::objects::{self, Mutator};
use crate::report::Outcome;
use crate::threads;

#[derive(Clone, Copy)]
struct Tree {
    left: *mut Tree,
    right: *mut Tree,
}

impl Tree {
    const LAYOUT: Layout = Layout::mask(0b11);
}

/// Runs the workload: trees up to depth `max`, over this many threads.
pub(crate) fn run(mutator: &mut Mutator, max: u32, threads: u32) -> Result<Outcome, Error> {
    let heap = mutator.heap().clone();
    let kind = heap.define_layout(Tree::LAYOUT)?;
    let stretch = build(mutator, kind, max + 1);
    let mut sum = count(mutator, stretch);
    let keep = build(mutator, kind, max);
    let _keep = heap.handle(Address::from_ptr(keep));

    for depth in (4..=max).step_by(2) {
        let trees = 1 << (max - depth + 4);
        let shares = threads::on_each(mutator, threads, |mutator, from| -> u64 {
            let trees = (from..trees).step_by(threads as usize);
            trees
                .map(|_| {
                    let tree = build(mutator, kind, depth);
                    count(mutator, tree)
                })
                .sum()
        })?;
        let nodes: u64 = shares.iter().sum();
        sum += u64::from(depth) * nodes;
    }
    Ok(Outcome::new(sum + count(mutator, keep)))
}

/// A new tree of this depth, children first.
fn build(mutator: &mut Mutator, kind: Kind, depth: u32) -> *mut Tree {
    if depth == 0 {
        return objects::new(mutator, kind, Tree { left: ptr::null_mut(), right: ptr::null_mut() });
    }
    let left = build(mutator, kind, depth - 1);
    let right = build(mutator, kind, depth - 1);
    objects::new(mutator, kind, Tree { left, right })
}

/// The nodes of a tree. A safepoint at each, as a language's compiler would put at every call.
fn count(mutator: &mut Mutator, tree: *const Tree) -> u64 {
    mutator.poll();
    // SAFETY: a node of a tree of which this frame and its callers hold what is still to be counted.
    let Tree { left, right } = unsafe { *tree };
    if left.is_null() { 1 } else { 1 + count(mutator, left) + count(mutator, right) }
}
