//! Delivery by signal: the thread that writes to an armed page gets `SIGBUS` and resolves the fault itself.
//!
//! The cheapest synchronous delivery (3 to 5 microseconds a first write, against 11 to 16 where another thread
//! reads the event), and one that cannot deadlock: nobody waits for another thread. Its price: a *kernel* write
//! to an armed page (`read(2)` into the heap) has no thread to signal and fails with `EFAULT`.

use super::{Delivery, trap};
use crate::error::Error;
use crate::mapping::HeapMapping;
use crate::sys::uffd::{Door, Uffd};
use crate::sys::{Errno, signal};
use crate::unit::{Bytes, PageRange};
use std::sync::Arc;

/// userfaultfd with the `SIGBUS` feature.
#[derive(Debug)]
pub struct SignalDelivery {
    uffd: Uffd,
    heap: Arc<HeapMapping>,
}

impl SignalDelivery {
    pub(super) fn new(heap: Arc<HeapMapping>, door: Door) -> Result<Self, Error> {
        let uffd = Uffd::open(door).map_err(|errno| {
            Error::advise(format!("opening {door}"), errno, "the probe had found it open")
        })?;
        signal::install(trap::on_fault)
            .map_err(|errno| Error::system("installing the SIGBUS handler", errno))?;
        uffd.register(heap.base(), heap.half()).map_err(|errno| {
            let advice = match errno {
                Errno::BUSY => "the range is already tracked by another userfaultfd",
                _ => "",
            };
            Error::advise(
                format!("registering {} at {} for tracking", heap.half(), heap.base()),
                errno,
                advice,
            )
        })?;
        Ok(Self { uffd, heap })
    }

    /// How many pages one call protects at most. Each call interrupts all processors the mutators run on, and a writer to any
    /// of its pages may have to wait for it: some 50 microseconds.
    pub(super) const ARM_AT_ONCE: u32 = 512;
}

impl Delivery for SignalDelivery {
    fn arm(&self, pages: PageRange) -> Result<(), Error> {
        let (at, len) = self.heap.span(pages);
        self.uffd
            .arm(at, len)
            .map_err(|errno| Error::system(format!("write-protecting {len} at {at}"), errno))
    }

    #[inline]
    fn open(&self, pages: PageRange) -> Result<(), Errno> {
        let (at, len) = self.heap.span(pages);
        self.uffd.open_pages(at, len)
    }

    fn give_up(&self) -> Result<(), Errno> {
        let half: Bytes = self.heap.half();
        self.uffd.unregister(self.heap.base(), half)
    }
}
