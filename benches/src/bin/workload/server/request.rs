//! A request: text that is parsed, looked at, and answered from the session.

use std::ptr;

use crate::objects::{self, Mutator};
use crate::random::Random;

use super::session::{Kinds, Session, text_len};

/// Nodes of the smallest tree, and how many sizes there are. Each node has a text, so there are twice as many objects.
const LEAST_NODES: usize = 20;
const SIZES: u64 = 11;
/// Words of the shortest answer, and how many lengths there are.
const LEAST_ANSWER: usize = 32;
const ANSWERS: u64 = 33;

/// A request that has arrived.
pub(super) struct Request<'a> {
    pub(super) number: u64,
    pub(super) kinds: &'a Kinds,
    pub(super) random: &'a mut Random,
}

/// A node of what was parsed.
#[derive(Clone, Copy)]
struct Node {
    left: *mut Node,
    right: *mut Node,
    text: *mut u64,
    value: u64,
}

impl Request<'_> {
    /// Serves it, and returns something of all that was read for it.
    ///
    /// # Safety
    /// A session that something other than this call keeps.
    pub(super) unsafe fn serve(mut self, mutator: &mut Mutator, session: *mut Session) -> u64 {
        let nodes = LEAST_NODES + self.random.below(SIZES);
        let tree = self.parse(mutator, nodes);
        // SAFETY: this frame holds the tree.
        let value = unsafe { Node::evaluate(tree) };
        let Self { number, kinds, random } = self;
        // SAFETY: passed on to the caller; the answer is read before the next safepoint.
        unsafe {
            let dropped = Session::remember(session, mutator, kinds, random, value, number);
            let replaced = Session::enter(session, mutator, kinds, random, value);
            let len = LEAST_ANSWER + random.below(ANSWERS);
            let answer = objects::words(mutator, len, Session::recall(session));
            value.wrapping_add(dropped).wrapping_add(replaced).wrapping_add(objects::read_words(answer))
        }
    }

    /// A tree of so many nodes, children first.
    fn parse(&mut self, mutator: &mut Mutator, nodes: usize) -> *mut Node {
        if nodes == 0 {
            return ptr::null_mut();
        }
        let len = text_len(self.random);
        let text = objects::words(mutator, len, self.random.next().into());
        let of_left = self.random.below(nodes as u64);
        let left = self.parse(mutator, of_left);
        let right = self.parse(mutator, nodes - 1 - of_left);
        objects::new(mutator, self.kinds.node, Node { left, right, text, value: nodes as u64 })
    }
}

impl Node {
    /// # Safety
    /// A node of a live tree, or null.
    unsafe fn evaluate(node: *const Node) -> u64 {
        // SAFETY: passed on to the caller; no safepoint on the way.
        unsafe {
            let Some(node) = node.as_ref() else { return 0 };
            let [left, right] = [Self::evaluate(node.left), Self::evaluate(node.right)];
            let own = node.value.wrapping_add(objects::read_words(node.text));
            own.wrapping_add(left.wrapping_mul(3)).wrapping_add(right.wrapping_mul(5))
        }
    }
}
