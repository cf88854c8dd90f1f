//! Graphs of nodes to mark, by their shape.

use super::{Node, Random, new_node};
use palimpsest::{Address, Handle, Kind, Mutator, PlainPointers};

/// Makes so many objects that one handle keeps.
pub type Shape = fn(&mut Mutator<PlainPointers>, Kind, u64) -> Handle;

/// A cell of a list is known only when the one before was read.
pub fn list(m: &mut Mutator<PlainPointers>, kind: Kind, nodes: u64) -> Handle {
    let first = new_node(m, kind, std::ptr::null_mut(), 0);
    let mut root = m.heap().handle(Address::from_ptr(first));
    for number in 1..nodes {
        let node = new_node(m, kind, root.get().as_ptr(), number);
        root = m.heap().handle(Address::from_ptr(node));
    }
    root
}

/// A large array of nodes without references.
fn array(m: &mut Mutator<PlainPointers>, kind: Kind, nodes: u64) -> Handle {
    let len = nodes as usize - 1;
    let array = m.alloc(Kind::UNIFORM, len * 8).unwrap().as_ptr().cast::<*mut Node>();
    let root = m.heap().handle(Address::from_ptr(array));
    for k in 0..len {
        let node = new_node(m, kind, std::ptr::null_mut(), k as u64);
        // SAFETY: a word of the array, which the handle keeps.
        unsafe { array.add(k).write(node) };
    }
    root
}

/// Lists side by side: all that waits is in the queues.
fn lists(m: &mut Mutator<PlainPointers>, kind: Kind, nodes: u64) -> Handle {
    let lists = 7;
    let array = m.alloc(Kind::UNIFORM, lists * 8).unwrap().as_ptr().cast::<*mut Node>();
    let root = m.heap().handle(Address::from_ptr(array));
    for k in 0..nodes as usize - 1 {
        // SAFETY: words of the array, which the handle keeps.
        unsafe {
            let next = array.add(k % lists).read();
            array.add(k % lists).write(new_node(m, kind, next, k as u64));
        }
    }
    root
}

/// A deep tree, each node hung below a random one of those that have room.
fn tree(m: &mut Mutator<PlainPointers>, kind: Kind, nodes: u64) -> Handle {
    let first = new_node(m, kind, std::ptr::null_mut(), 0);
    let root = m.heap().handle(Address::from_ptr(first));
    let (mut open, mut random) = (vec![first], Random(nodes | 1));
    for number in 1..nodes {
        let node = new_node(m, kind, std::ptr::null_mut(), number);
        // The later ones as a rule: deep.
        let k = open.len() - 1 - random.below(open.len().min(8));
        // SAFETY: nodes of the tree, which the handle keeps.
        unsafe {
            let above = open[k];
            if (*above).next.is_null() {
                (*above).next = node;
            } else {
                (*above).other = node;
                open.swap_remove(k);
            }
        }
        open.push(node);
    }
    root
}

/// Edges to anywhere.
pub fn graph(m: &mut Mutator<PlainPointers>, kind: Kind, nodes: u64) -> Handle {
    let root = array(m, kind, nodes);
    let (array, len, mut random) = (root.get().as_ptr::<*mut Node>(), nodes as usize - 1, Random(7));
    for k in 0..len {
        // SAFETY: words of the array, which the handle keeps, and its nodes.
        unsafe {
            (*array.add(k).read()).next = array.add(random.below(len)).read();
            (*array.add(k).read()).other = array.add(random.below(len)).read();
        }
    }
    root
}

pub const SHAPES: [(&str, Shape); 5] =
    [("list", list), ("array", array), ("lists", lists), ("tree", tree), ("graph", graph)];
