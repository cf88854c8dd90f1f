//! Root ranges: native memory whose words are references, a virtual machine's value stack for one.

use super::handles::AsRoots;
use super::{RootVisitor, visit_words};
use crate::embedder::Embedder;
use crate::error::Error;
use palimpsest_runtime::host_fork::stop_without_heap;
use std::sync::Arc;

/// Native memory that holds references.
#[derive(Copy, Clone, Debug)]
pub enum RootRange {
    /// `len` words from `start` on, each through [`Embedder::decode`](crate::Embedder::decode).
    Fixed {
        /// The first word.
        start: *const u64,
        /// How many words.
        len: usize,
    },
    /// A stack that grows upwards: the words from `start` up to, and without, the one that the pointer at `top` points
    /// to when the snapshot is taken; each through [`Embedder::decode`](crate::Embedder::decode).
    UpTo {
        /// The first word.
        start: *const u64,
        /// Where the pointer to the first unused word is kept.
        top: *const *const u64,
    },
    /// `len` words from `start` on that may be anything: references, also into the middle of objects, or none.
    Conservative {
        /// The first word.
        start: *const u64,
        /// How many words.
        len: usize,
    },
}

/// All ranges of a heap.
#[derive(Debug, Default)]
pub(crate) struct RangeTable {
    ranges: Vec<(u64, RootRange)>,
    next: u64,
}

// SAFETY: the pointers are followed in a stopped world, under the contract of `Heap::add_roots`.
unsafe impl Send for RangeTable {}

impl RangeTable {
    fn add(&mut self, range: RootRange) -> Result<u64, Error> {
        self.ranges.try_reserve(1).map_err(|_| Error::NoMemory("a root range"))?;
        self.next += 1;
        self.ranges.push((self.next, range));
        Ok(self.next)
    }

    fn remove(&mut self, id: u64) {
        self.ranges.retain(|(other, _)| *other != id);
    }

    /// Passes the roots on.
    ///
    /// # Safety
    /// As for [`RootSet::visit`](super::RootSet::visit).
    pub(super) unsafe fn visit<E: Embedder>(&self, embedder: &E, visitor: &mut impl RootVisitor) {
        for (_, range) in &self.ranges {
            let (start, len, precise) = match *range {
                RootRange::Fixed { start, len } => (start, len, true),
                RootRange::Conservative { start, len } => (start, len, false),
                RootRange::UpTo { start, top } => {
                    // SAFETY: whoever registered the range keeps the pointer readable, and the world is stopped.
                    let top = unsafe { top.read_volatile() };
                    (start, top.addr().saturating_sub(start.addr()) / 8, true)
                }
            };
            // SAFETY: whoever registered the range keeps it readable, and the world is stopped.
            unsafe {
                visit_words(start, len, visitor, |visitor, word| {
                    if !precise {
                        visitor.word(word);
                    } else if let Some(object) = embedder.decode(word) {
                        visitor.object(object);
                    }
                });
            }
        }
    }
}

/// A registered root range. It is unregistered when this is dropped; drop it before the memory goes away. It does not keep the heap,
/// which may go away before.
#[derive(Debug)]
pub struct Roots {
    roots: Arc<dyn AsRoots>,
    id: u64,
}

impl Roots {
    pub(crate) fn new(roots: Arc<dyn AsRoots>, range: RootRange) -> Result<Self, Error> {
        let Some(own) = roots.roots() else { stop_without_heap("Heap::add_roots") };
        let id = own.lock().ranges.add(range)?;
        Ok(Self { roots, id })
    }
}

impl Drop for Roots {
    fn drop(&mut self) {
        if let Some(roots) = self.roots.roots() {
            roots.lock().ranges.remove(self.id);
        }
    }
}
