//! System calls that write to traced objects.
//!
//! A system call that writes to an armed page has no thread that could resolve the fault: it fails with `EFAULT` in the
//! deliveries by signal and by `mprotect`. Byte payloads belong into leaf objects, where nothing is ever armed. For the rest
//! there is a guard, which opens the pages first and keeps them open and dirty while it lives.

use crate::core::Core;
use crate::embedder::Embedder;
use palimpsest_runtime::barrier::Pinned;
use palimpsest_runtime::{Address, Bytes, PAGE_SIZE, PageRange};

/// Memory of the heap that system calls may write to, as long as this lives.
///
/// Nothing keeps the object alive but its roots. The guard may be dropped on any thread.
#[must_use = "the memory is open only as long as this lives"]
#[derive(Debug)]
pub struct KernelIo {
    /// None where there is nothing to hold open: in the leaf space, or on a rung without a barrier.
    _pin: Option<Pinned>,
}

impl KernelIo {
    pub(crate) fn new<E: Embedder>(core: &Core<E>, at: Address, len: Bytes) -> Self {
        assert!(core.geometry.has(at, len), "{len} at {at} is not memory of this heap");
        let offset = at.as_usize() - core.geometry.base;
        let half = core.geometry.half.0;
        let traced = PageRange::new(
            (offset.min(half) / PAGE_SIZE) as u32,
            (offset + len.0).min(half).div_ceil(PAGE_SIZE) as u32,
        );
        let pin = core.barrier.as_ref().filter(|_| offset < half && len.0 > 0);
        Self { _pin: pin.map(|barrier| barrier.pin(traced)) }
    }
}
