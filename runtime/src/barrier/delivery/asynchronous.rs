//! Delivery afterwards: the kernel resolves the first write to a page itself and remembers it; whoever wants to know which
//! pages were written walks the page tables ([`crate::sys::pagemap`]).
//!
//! The cheapest way by far, under a microsecond a page and nothing to run in the writer. What a page held before is gone
//! when the write is noticed, so this can keep no pre-image: it is a remembered set, not a barrier for a snapshot.

use super::{Delivery, DeliveryKind, Registered};
use crate::error::Error;
use crate::sys::Errno;
use crate::sys::uffd::Door;
use crate::unit::PageRange;

/// userfaultfd with the `WP_ASYNC` feature.
#[derive(Debug)]
pub(in crate::barrier) struct Async(Registered);

impl Async {
    pub(in crate::barrier) fn new(registered: Registered) -> Self {
        Self(registered)
    }
}

impl Delivery for Async {
    fn kind(&self) -> DeliveryKind {
        DeliveryKind::Async
    }

    fn door(&self) -> Option<Door> {
        Some(self.0.door)
    }

    fn arm(&self, pages: PageRange) -> Result<(), Error> {
        self.0.arm(pages)
    }

    fn open(&self, pages: PageRange) -> Result<(), Errno> {
        self.0.open(pages)
    }

    fn give_up(&self) -> Result<(), Errno> {
        self.0.give_up()
    }

    fn begin_anew(&self) -> Result<(), Errno> {
        self.0.begin_anew()
    }
}
