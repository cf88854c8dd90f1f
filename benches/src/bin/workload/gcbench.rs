//! GCBench: how fast trees of every size come and go beside a live one.
//!
//! Trees built top-down write child pointers into nodes that exist already, which a page barrier sees where such a
//! node is older than the cycle. Trees built bottom-up only initialise. The live tree and the array are the roots; the
//! tree under construction is known only to the stack.

use std::ptr;

use palimpsest::{Address, Error, Kind, Layout};

use crate::objects::{self, Mutator};
use crate::report::Outcome;

const DOUBLES: usize = 4_000_000;

#[derive(Clone, Copy)]
struct Tree {
    left: *mut Tree,
    right: *mut Tree,
    i: i32,
    j: i32,
}

impl Tree {
    const LAYOUT: Layout = Layout::mask(0b11);

    fn sum(&self) -> u64 {
        (self.i ^ self.j).wrapping_add(1) as u64
    }
}

/// Runs the workload: a live tree of depth `live`, others up to depth `max`.
pub(crate) fn run(mutator: &mut Mutator, live: u32, max: u32) -> Result<Outcome, Error> {
    let heap = mutator.heap().clone();
    let kind = heap.define_layout(Tree::LAYOUT)?;
    let (live, max) = (live as i32, max as i32);
    let mut sum = path(bottom_up(mutator, kind, max, 0), 0);

    let keep = leaf(mutator, kind, live, 0);
    let _keep = heap.handle(Address::from_ptr(keep));
    top_down(mutator, kind, live, keep);
    let doubles = objects::doubles(mutator, DOUBLES);
    let _doubles = heap.handle(Address::from_ptr(doubles));
    for i in 1..DOUBLES / 2 {
        // SAFETY: within the array.
        unsafe { doubles.add(i).write(1.0 / i as f64) };
        mutator.poll();
    }

    for depth in (4..=max).step_by(2) {
        let trees = 2 * size(max) / size(depth);
        for which in 0..trees {
            let tree = leaf(mutator, kind, depth, 0);
            top_down(mutator, kind, depth, tree);
            sum = sum.wrapping_add(path(tree, which));
        }
        for which in 0..trees {
            sum = sum.wrapping_add(path(bottom_up(mutator, kind, depth, 0), which));
        }
    }
    // SAFETY: within the array, which its handle keeps.
    let of_doubles = (unsafe { doubles.add(1000).read() } * 1e6) as u64;
    Ok(Outcome::new(sum.wrapping_add(total(mutator, keep)).wrapping_add(of_doubles)))
}

/// Nodes of a tree.
fn size(depth: i32) -> u64 {
    (2 << depth) - 1
}

#[inline]
fn leaf(mutator: &mut Mutator, kind: Kind, i: i32, j: i32) -> *mut Tree {
    objects::new(mutator, kind, Tree { left: ptr::null_mut(), right: ptr::null_mut(), i, j })
}

/// Grows a tree of this depth below `tree`.
fn top_down(mutator: &mut Mutator, kind: Kind, depth: i32, tree: *mut Tree) {
    if depth <= 0 {
        return;
    }
    // SAFETY: `tree` is live: it is in this frame, and a root or the stack of the caller leads to it.
    unsafe {
        let j = (*tree).j.wrapping_mul(2);
        (*tree).left = leaf(mutator, kind, depth - 1, j);
        (*tree).right = leaf(mutator, kind, depth - 1, j.wrapping_add(1));
        top_down(mutator, kind, depth - 1, (*tree).left);
        top_down(mutator, kind, depth - 1, (*tree).right);
    }
}

/// A new tree of this depth, children first.
fn bottom_up(mutator: &mut Mutator, kind: Kind, depth: i32, j: i32) -> *mut Tree {
    if depth <= 0 {
        return leaf(mutator, kind, 0, j);
    }
    let left = bottom_up(mutator, kind, depth - 1, j.wrapping_mul(2));
    let right = bottom_up(mutator, kind, depth - 1, j.wrapping_mul(2).wrapping_add(1));
    objects::new(mutator, kind, Tree { left, right, i: depth, j })
}

/// Sums a walk to a leaf that turns by the bits of `turns`.
fn path(mut tree: *const Tree, mut turns: u64) -> u64 {
    let mut sum = 0u64;
    // SAFETY: a node of a tree that the caller holds; no safepoint on the way.
    while let Some(node) = unsafe { tree.as_ref() } {
        sum = sum.wrapping_add(node.sum());
        tree = if turns & 1 == 1 { node.right } else { node.left };
        turns >>= 1;
    }
    sum
}

/// Sums a whole tree. A safepoint at each node, as a language's compiler would put at every call.
fn total(mutator: &mut Mutator, tree: *const Tree) -> u64 {
    mutator.poll();
    // SAFETY: a node of a tree that a handle keeps.
    unsafe { tree.as_ref() }.map_or(0, |node| {
        node.sum().wrapping_add(total(mutator, node.left)).wrapping_add(total(mutator, node.right))
    })
}
