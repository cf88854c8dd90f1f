//! What the heap's objects are reached from: root ranges, handles, and the stacks of threads that asked for it.
//!
//! All of it is native memory. The worker has a frozen copy of that since the fork, so roots are scanned there, outside
//! the pause, however many there are.

mod handles;
mod ranges;

pub(crate) use handles::AsRoots;
pub use handles::Handle;
pub use ranges::{RootRange, Roots};

use crate::embedder::Embedder;
use crate::weak::{Ephemerons, Finalizers};
use handles::HandleTable;
use palimpsest_runtime::Address;
use palimpsest_runtime::mutator::MutatorState;
use ranges::RangeTable;
use std::sync::Arc;

/// All roots but the stacks.
#[derive(Debug, Default)]
pub(crate) struct RootSet {
    pub(crate) handles: HandleTable,
    pub(crate) ranges: RangeTable,
    pub(crate) ephemerons: Ephemerons,
    /// Of these the queue is a root.
    pub(crate) finalizers: Finalizers,
}

/// Who is told of the roots.
pub(crate) trait RootVisitor {
    /// The start of an object.
    fn object(&mut self, start: Address);
    /// A word that may be a reference, also one into the middle of an object.
    fn word(&mut self, word: u64);
    /// Asked now and then: whether to go on. What is not passed on then is passed on to somebody else.
    fn goes_on(&mut self) -> bool {
        true
    }
}

/// Words, or objects, between two such questions: some microseconds.
const PIECE: usize = 1024;

impl RootSet {
    /// Passes all roots on, and the words of the threads' stacks. Neither allocates nor locks.
    ///
    /// # Safety
    /// The ranges are readable and do not change: the world is stopped, or this is a worker forked from a stopped world.
    pub(crate) unsafe fn visit<E: Embedder>(
        &self,
        embedder: &E,
        threads: &[Arc<MutatorState>],
        visitor: &mut impl RootVisitor,
    ) {
        let (mut objects, mut goes_on) = (0, true);
        let mut object = |object| {
            objects += 1;
            if objects % PIECE == 0 {
                goes_on = goes_on && visitor.goes_on();
            }
            if goes_on {
                visitor.object(object);
            }
        };
        self.handles.visit(&mut object);
        self.finalizers.visit_queue(&mut object);
        // SAFETY: passed on to the caller.
        unsafe { self.ranges.visit(embedder, visitor) };
        for (top, base) in threads.iter().filter_map(|t| t.stack()) {
            let words = (base.as_usize() - top.as_usize()) / 8;
            // SAFETY: the stack of a stopped thread, between its noted top and its base.
            unsafe { visit_words(top.as_ptr(), words, visitor, |visitor, word| visitor.word(word)) };
        }
    }
}

/// Passes on words of memory that other code may hold references to, as long as the visitor goes on.
///
/// # Safety
/// `start .. start + len` is aligned, readable, and not written to meanwhile.
unsafe fn visit_words<V: RootVisitor>(
    start: *const u64,
    len: usize,
    visitor: &mut V,
    mut visit: impl FnMut(&mut V, u64),
) {
    for k in 0..len {
        if k % PIECE == PIECE - 1 && !visitor.goes_on() {
            return;
        }
        // SAFETY: inside the range. Volatile: what the compiler knows of these words from elsewhere does not count; a
        // stack has words that were never written.
        visit(visitor, unsafe { start.add(k).read_volatile() });
    }
}
