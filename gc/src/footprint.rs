//! What a heap and its process occupy, as the kernel counts it.

use crate::core::Core;
use crate::embedder::Embedder;
use crate::error::Error;
use crate::unit::{BLOCK, BlockIndex};
use palimpsest_runtime::Bytes;
use palimpsest_runtime::sys::smaps::Rollup;

/// What the process occupies. See the chapter on the heap for what these figures mean where memory is shared with workers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Footprint {
    /// Resident set: all populated memory in the process's page tables, shared or not (`Rss`).
    pub resident: Bytes,
    /// Proportional set: the same, with memory that several processes map divided among them (`Pss`).
    pub proportional: Bytes,
    /// What no other process maps (`Private_Clean` and `Private_Dirty`).
    pub private: Bytes,
    /// Of the resident set, what the objects of this heap occupy, garbage and free blocks included.
    pub heap: Bytes,
    /// The most that a worker of this heap was seen to have for itself: native memory that either side wrote to since the
    /// fork, and page tables are not counted. Nothing where no worker lived long enough to be looked at.
    pub worker_private_peak: Option<Bytes>,
}

impl Footprint {
    pub(crate) fn look<E: Embedder>(core: &Core<E>) -> Result<Self, Error> {
        let rollup = Rollup::of_this_process()?;
        let [traced, leaf] = core.resident();
        Ok(Self {
            resident: rollup.resident,
            proportional: rollup.proportional,
            private: rollup.private,
            heap: Bytes(traced.0 + leaf.0),
            worker_private_peak: core.ledger.worker_private_peak(),
        })
    }
}

impl<E: Embedder> Core<E> {
    /// What is populated of the traced half and of the leaf half.
    pub(crate) fn resident(&self) -> [Bytes; 2] {
        let used = |end: BlockIndex, first: u32| Bytes((end.0 - first) as usize * BLOCK);
        let traced = used(self.traced.seen_end(), 0);
        let leaf = used(self.leaf.seen_end(), self.geometry.half_blocks());
        self.map.resident(traced, leaf)
    }
}
