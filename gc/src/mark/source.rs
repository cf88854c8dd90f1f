//! Where a marker reads objects from.

use palimpsest_runtime::Address;
use palimpsest_runtime::worker::{InheritedView, SnapshotView};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A heap that does not change while it is marked.
pub(crate) trait Source {
    /// Loads words from `at` on.
    fn load(&self, at: Address, into: &mut [u64]);
}

/// A worker's view of the heap at the fork.
impl Source for SnapshotView<'_> {
    #[inline(always)]
    fn load(&self, at: Address, into: &mut [u64]) {
        SnapshotView::load(self, at, into);
    }
}

/// A worker's own copy of the heap.
impl Source for InheritedView {
    #[inline(always)]
    fn load(&self, at: Address, into: &mut [u64]) {
        InheritedView::load(self, at, into);
    }
}

/// The heap itself, in a stopped world.
#[derive(Debug)]
pub(crate) struct Live(());

impl Live {
    /// The heap itself.
    ///
    /// # Safety
    /// The world is stopped for as long as this is used, and only for addresses of objects.
    pub(crate) unsafe fn new() -> Self {
        Self(())
    }
}

impl Source for Live {
    #[inline(always)]
    fn load(&self, at: Address, into: &mut [u64]) {
        // SAFETY: an object of the heap, aligned, in a stopped world.
        let words = unsafe { std::slice::from_raw_parts(at.as_ptr::<AtomicU64>().cast_const(), into.len()) };
        for (to, from) in into.iter_mut().zip(words) {
            *to = from.load(Relaxed);
        }
    }
}
