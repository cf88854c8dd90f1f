//! What a delivery does for a barrier.

use super::DeliveryKind;
use crate::barrier::Barrier;
use crate::error::Error;
use crate::sys::Errno;
use crate::sys::signal::Fault;
use crate::sys::uffd::Door;
use crate::unit::{PageIndex, PageRange};
use std::fmt;
use std::sync::Arc;

/// How a barrier protects the pages of its heap.
pub trait Delivery: fmt::Debug + Send + Sync {
    /// Which one this is.
    fn kind(&self) -> DeliveryKind;

    /// The door its userfaultfd came through, if it has one.
    fn door(&self) -> Option<Door> {
        None
    }

    /// Protects pages: the next write to each is noticed.
    ///
    /// # Errors
    /// Some of the pages may be protected then.
    fn arm(&self, pages: PageRange) -> Result<(), Error>;

    /// Lets writes to pages through again. Async-signal-safe.
    fn open(&self, pages: PageRange) -> Result<(), Errno>;

    /// Stops noticing anything, for good, on the whole heap. Async-signal-safe.
    fn give_up(&self) -> Result<(), Errno>;

    /// How many pages one call of [`Delivery::arm`] takes at most. Each call interrupts all processors the mutators run on,
    /// and a writer to any of its pages may have to wait for it: some 50 microseconds.
    fn arm_at_once(&self) -> u32 {
        512
    }

    /// The pages that a trap on this one opens together. Async-signal-safe.
    fn reach(&self, page: PageIndex) -> PageRange {
        PageRange::new(page.0, page.0 + 1)
    }

    /// In a child that has a copy of the heap, with nothing protected: makes this process's pages those that are watched.
    /// Async-signal-safe.
    fn begin_anew(&self) -> Result<(), Errno>;

    /// The signal that writers must be able to take.
    fn fault(&self) -> Option<Fault> {
        None
    }

    /// Begins to serve a barrier that is registered.
    fn start(&self, _barrier: &Arc<Barrier>) -> Result<(), Error> {
        Ok(())
    }

    /// What a thread that [`Delivery::start`] began runs.
    fn serve(&self, _barrier: &Barrier) {}

    /// Ends what [`Delivery::start`] began; after [`Delivery::give_up`].
    fn stop(&self) {}
}
