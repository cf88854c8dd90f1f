//! What a heap stands on: its memory, and what notices writes to it.

use super::{Rung, Snapshot};
use crate::barrier::{Barrier, DeliveryKind, Tracker};
use crate::error::Error;
use crate::host_fork;
use crate::mapping::HeapMapping;
use crate::unit::Bytes;
use std::sync::Arc;

/// The memory of a heap on its rung.
#[derive(Debug, Clone)]
pub struct Footing {
    /// The rung. Its door is the one that was used.
    pub rung: Rung,
    /// The heap's memory.
    pub heap: Arc<HeapMapping>,
    /// What keeps pre-images, for [`Snapshot::Preimage`].
    pub barrier: Option<Arc<Barrier>>,
    /// What tells afterwards which pages were written, for [`DeliveryKind::Async`].
    pub tracker: Option<Arc<Tracker>>,
}

impl Footing {
    /// Makes the memory of a rung: a heap with two halves of `half` bytes, with at most `preimages` bytes of pre-images.
    ///
    /// # Errors
    /// Where the kernel or a limit refuses any of it.
    pub fn on(rung: &Rung, half: Bytes, preimages: Bytes) -> Result<Self, Error> {
        host_fork::watch()?;
        let heap = Arc::new(HeapMapping::reserve(half, rung.snapshot.backing())?);
        let (mut barrier, mut tracker) = (None, None);
        match rung.delivery {
            Some(DeliveryKind::Async) => tracker = Some(Arc::new(Tracker::new(heap.clone(), rung.door)?)),
            Some(delivery) => barrier = Some(Barrier::new(heap.clone(), delivery, rung.door, preimages)?),
            None if rung.snapshot == Snapshot::Preimage => {
                return Err(Error::NoSuchRung(
                    "preimage needs a delivery: signal, monitor or protect".into(),
                ));
            }
            None => {}
        }
        Ok(Self { rung: *rung, heap, barrier, tracker })
    }

    /// Takes the barrier away, if there is one. A footing that has a barrier ends with this.
    pub fn leave(self) {
        if let Some(barrier) = self.barrier {
            barrier.retire();
        }
    }
}
