//! Which pages were written, asked afterwards: a remembered set for collectors that keep their snapshot in another way.
//!
//! A tracker arms pages with the asynchronous delivery and finds, in one walk of the page tables, those that were written
//! since, arming them again in the same walk. No write is lost between two walks: the kernel protects a page in the moment
//! it reports it.

use super::delivery::asynchronous::Async;
use super::delivery::{Delivery, DeliveryKind, Registered};
use crate::error::Error;
use crate::mapping::HeapMapping;
use crate::sys::Errno;
use crate::sys::lock::Mutex;
use crate::sys::pagemap::{Pagemap, Rearm, Regions};
use crate::sys::uffd::Door;
use crate::unit::{PAGE_SIZE, PageRange};
use std::sync::Arc;

/// Follows the writes to the traced half of one heap.
#[derive(Debug)]
pub struct Tracker {
    heap: Arc<HeapMapping>,
    delivery: Async,
    pagemap: Pagemap,
    regions: Mutex<Regions>,
}

impl Tracker {
    /// A tracker over the traced half of `heap`. Pages count as written until they are armed.
    ///
    /// # Errors
    /// Where the kernel lacks asynchronous write-protection or `PAGEMAP_SCAN` (Linux 6.7), or denies either.
    pub fn new(heap: Arc<HeapMapping>, door: Option<Door>) -> Result<Self, Error> {
        let pagemap = Pagemap::open().map_err(|errno| {
            Error::advise("opening /proc/self/pagemap", errno, "is /proc mounted, and readable here?")
        })?;
        let registered = Registered::new(DeliveryKind::Async, door, &heap)?;
        Ok(Self { heap, delivery: Async::new(registered), pagemap, regions: Mutex::default() })
    }

    /// The delivery, for its door and kind.
    pub fn delivery(&self) -> &dyn Delivery {
        &self.delivery
    }

    /// In a child that has a copy of the heap: all of its pages count as written. Async-signal-safe.
    ///
    /// # Errors
    /// Where the kernel denies what the tracker needs.
    pub fn begin_anew(&self) -> Result<(), Errno> {
        self.pagemap.reopen()?;
        self.delivery.begin_anew()
    }

    /// Arms pages, whether they were written or not.
    ///
    /// # Errors
    /// Where the kernel refuses to protect; some of the pages may be armed then.
    pub fn arm(&self, pages: PageRange) -> Result<(), Error> {
        self.delivery.arm(pages)
    }

    /// Arms the written ones among these pages again and passes each run of them on, in ascending order. Returns how many
    /// pages these are.
    ///
    /// # Errors
    /// Where the kernel does not walk; what was not passed on stays as it was.
    pub fn take_written(&self, pages: PageRange, visit: impl FnMut(PageRange)) -> Result<u32, Error> {
        self.walk(pages, Rearm::Yes, visit)
    }

    /// The same without arming anything: the next walk reports these pages again.
    ///
    /// # Errors
    /// As [`Tracker::take_written`].
    pub fn written(&self, pages: PageRange, visit: impl FnMut(PageRange)) -> Result<u32, Error> {
        self.walk(pages, Rearm::No, visit)
    }

    fn walk(&self, pages: PageRange, rearm: Rearm, mut visit: impl FnMut(PageRange)) -> Result<u32, Error> {
        let (at, len) = self.heap.span(pages);
        let mut found = 0;
        let visit = |start: crate::unit::Address, bytes: crate::unit::Bytes| {
            let first = ((start.as_usize() - self.heap.base().as_usize()) / PAGE_SIZE) as u32;
            let run = PageRange::new(first, first + (bytes.0 / PAGE_SIZE) as u32);
            found += run.len();
            visit(run);
        };
        self.pagemap
            .written(at, len, rearm, &mut self.regions.lock(), visit)
            .map_err(|errno| Error::denied(format!("scanning {len} at {at} for written pages"), errno))?;
        Ok(found)
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        // The range is unmapped with the heap in any case; until then nothing is to be tracked any more.
        let _ = self.delivery.give_up();
    }
}
