//! What the collector's thread does while nothing happens.
//!
//! It looks around after a while without a cycle. If nothing was allocated meanwhile either, it gives back all memory that
//! nobody uses and then rests, without a timer, until a thread begins to allocate.

use crate::core::Core;
use crate::embedder::Embedder;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What was seen when it looked around the last time.
#[derive(Default)]
pub(super) struct Idle {
    allocated: u64,
    rests: bool,
}

impl Idle {
    /// How long to wait for a cycle before looking around.
    pub(super) fn patience<E: Embedder>(&self, core: &Core<E>) -> Option<Duration> {
        (!self.rests && core.options.idle_after < Duration::MAX).then_some(core.options.idle_after)
    }

    /// A cycle has ended.
    pub(super) fn begin_anew<E: Embedder>(&mut self, core: &Core<E>) {
        *self = Self { allocated: core.allocated.load(Relaxed), rests: false };
        core.resting.store(false, Relaxed);
    }

    /// Nothing was wanted for so long, or a thread begins to allocate.
    pub(super) fn look_around<E: Embedder>(&mut self, core: &Core<E>) {
        let allocated = core.allocated.load(Relaxed);
        let was_quiet = allocated == self.allocated && !self.rests;
        *self = Self { allocated, rests: was_quiet && core.return_all() };
        core.resting.store(self.rests, Relaxed);
    }
}
