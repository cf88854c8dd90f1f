//! What a marker does for ephemerons and finalizers. The rest of it is in `weak`.

use super::{Marker, Source};
use crate::core::Core;
use crate::embedder::Embedder;

impl<'a, E: Embedder, S: Source> Marker<'a, E, S> {
    /// The heap.
    pub(crate) fn core(&self) -> &'a Core<E> {
        self.core
    }

    /// An object is about to be painted.
    #[cold]
    #[inline(never)]
    pub(super) fn attend(&mut self, granule: usize) {
        if self.core.weak.kept.has_begun() {
            self.core.weak.kept.note(granule);
        }
        if let Some(pending) = &mut self.pending {
            // SAFETY: set by `Ephemerons::trace`, under the contract that the entries stay as they are.
            unsafe { pending.painted(self.core.geometry.address(granule)) };
        }
    }

    /// Discovers what a word refers to, if that is not marked. Whether it was not.
    pub(crate) fn discover_value(&mut self, word: u64) -> bool {
        let object = self.core.embedder.decode(word);
        let Some(object) = object.filter(|object| !self.core.is_live_object(*object)) else { return false };
        // What is no object is counted there.
        self.discover(object);
        true
    }
}
