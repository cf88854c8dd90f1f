//! Graph: pointer writes at random over a big live heap.
//!
//! Each operation dirties two random pages, and no page twice in a row: after the start of a cycle nearly every write is
//! a first write. This is the worst case of a barrier by page, and what the collector's pause and its traps are
//! judged by. The array of nodes is one heap object; the ring of the latest 1024 nodes is native memory registered as
//! roots, written by plain stores like any other.

use std::cell::Cell;
use std::ptr;
use std::time::Instant;

use palimpsest::{Address, Error, Kind, Layout, RootRange};

use crate::latency::Latency;
use crate::objects::{self, Mutator};
use crate::random::Random;
use crate::report::Outcome;

const NODES_PER_MIB: u64 = 16_384;
const RING: usize = 1024;

#[derive(Clone, Copy)]
struct Node {
    edges: [*mut Node; 4],
    id: u64,
    _words: [u64; 3],
}

impl Node {
    const LAYOUT: Layout = Layout::mask(0b1111);
}

/// Runs the workload: `mib` MiB of nodes and `ops` operations, or one a node where that is 0.
pub(crate) fn run(mutator: &mut Mutator, origin: Instant, mib: u32, ops: u64) -> Result<Outcome, Error> {
    let heap = mutator.heap().clone();
    let kind = heap.define_layout(Node::LAYOUT)?;
    let count = u64::from(mib) * NODES_PER_MIB;
    let ops = if ops == 0 { count } else { ops };
    let mut random = Random::new();

    let start = Instant::now();
    let nodes: *mut *mut Node = objects::pointers(mutator, count as usize);
    let _nodes = heap.handle(Address::from_ptr(nodes));
    build(mutator, kind, nodes, count, &mut random);
    let build = start.elapsed();

    // Cells, because the collector reads the ring at moments that the compiler does not know of.
    let ring: Box<[Cell<*mut Node>]> = (0..RING).map(|_| Cell::new(ptr::null_mut())).collect();
    // SAFETY: `RING` words that outlive the registration, which is declared after them and so dropped before.
    let _ring = unsafe { heap.add_roots(RootRange::Fixed { start: ring.as_ptr().cast(), len: RING }) };
    let mut sum = 0u64;
    let mut latency = Latency::start(origin, 1);
    for op in 0..ops {
        let mut edges = [ptr::null_mut(); 4];
        for [from, to] in edges.as_chunks_mut().0 {
            // SAFETY: every slot below `count` holds a node, and every edge of these leads to one of them.
            unsafe {
                *from = *nodes.add(random.below(count));
                let edge = random.next() as usize % 4;
                *to = *nodes.add(random.below(count));
                let place = &raw mut (**from).edges[edge];
                sum += (**place).id;
                place.write(*to);
            }
        }
        let node = objects::new(mutator, kind, Node { edges, id: op, _words: [0; 3] });
        // SAFETY: the ring still holds the node that leaves, or held it until now: no safepoint in between.
        if let Some(old) = unsafe { ring[op as usize % RING].replace(node).as_ref() } {
            sum += old.id;
        }
        latency.lap();
    }
    for index in (0..count as usize).step_by(16) {
        mutator.poll();
        // SAFETY: as above.
        sum += unsafe { (**nodes.add(index)).edges.iter().map(|&to| (*to).id).sum::<u64>() };
    }
    Ok(Outcome { build: Some(build), latency: Some(latency), ..Outcome::new(sum) })
}

/// Fills the array: the first node leads to itself, each later one to four random nodes before it.
fn build(mutator: &mut Mutator, kind: Kind, nodes: *mut *mut Node, count: u64, random: &mut Random) {
    let first = objects::new(mutator, kind, Node { edges: [ptr::null_mut(); 4], id: 0, _words: [0; 3] });
    // SAFETY: `nodes` has `count` slots, at least one; a root keeps it and so the nodes in it.
    unsafe {
        nodes.write(first);
        (*first).edges = [first; 4];
        for id in 1..count {
            let edges = std::array::from_fn(|_| *nodes.add(random.below(id)));
            let node = objects::new(mutator, kind, Node { edges, id, _words: [0; 3] });
            nodes.add(id as usize).write(node);
        }
    }
}
