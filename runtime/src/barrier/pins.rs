//! Pages that the kernel may write to: held open for the time of a system call.
//!
//! A pin is a count beside the page's word. Pin and arming meet like two threads in Dekker's algorithm: the pin raises the
//! count and then looks at the word, the collector makes the word `Arming` and then looks at the count. Either the collector
//! sees the count and leaves the page open, or the pin sees the word and opens the page.
//!
//! A pinned page is open while a snapshot is taken, so nobody would notice the writes to it. Its pre-image is therefore
//! saved when the snapshot begins, in the stopped world. A system call that is at work at that moment may have written half
//! of its buffer; the objects beside the buffer, which are what a marker wants to see, do not change.

use crate::error::Error;
use crate::mapping::Private;
use crate::sync::{AtomicU16, Ordering};
use crate::sys::lock::{HoldAcrossFork, Mutex};
use crate::unit::{PageIndex, PageRange};

/// The pins of one heap.
#[derive(Debug)]
pub(super) struct Pins {
    counts: Private<AtomicU16>,
    /// Every range that is pinned, once for each time.
    ranges: Mutex<Vec<PageRange>>,
}

impl Pins {
    pub(super) fn new(pages: usize) -> Result<Self, Error> {
        Ok(Self { counts: Private::new(pages)?, ranges: Mutex::default() })
    }

    /// Whether a page is pinned. For the collector, after it made the page's word `Arming`.
    #[inline]
    pub(super) fn has(&self, page: PageIndex) -> bool {
        self.counts[page.0 as usize].load(Ordering::SeqCst) != 0
    }

    /// Counts a pin. The caller opens the pages afterwards.
    ///
    /// # Panics
    /// If a page is pinned 65,535 times.
    pub(super) fn add(&self, pages: PageRange) {
        let mut ranges = self.ranges.lock();
        for page in pages.iter() {
            let count = &self.counts[page.0 as usize];
            let one_more = count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_add(1));
            assert!(one_more.is_ok(), "a page is pinned too often: are guards leaked?");
        }
        ranges.push(pages);
    }

    /// Takes a pin back.
    pub(super) fn remove(&self, pages: PageRange) {
        // The counts first, and both under the lock: a page that a round leaves open for its count is in the list that was
        // taken before that round; and a fork finds them in agreement.
        let mut ranges = self.ranges.lock();
        for page in pages.iter() {
            self.counts[page.0 as usize].fetch_sub(1, Ordering::SeqCst);
        }
        if let Some(k) = ranges.iter().position(|range| *range == pages) {
            ranges.swap_remove(k);
        }
    }

    /// Before a fork whose child gets a copy.
    pub(super) fn hold(&self) {
        self.ranges.hold();
    }

    /// After it, on both sides. Pins of threads that the child has not are never taken back there: their pages stay open.
    ///
    /// # Safety
    /// Held by this thread or the one that it is the image of.
    pub(super) unsafe fn let_go(&self) {
        // SAFETY: passed on to the caller.
        unsafe { self.ranges.let_go() };
    }

    /// All pinned ranges; a page may be in several.
    pub(super) fn all(&self) -> Vec<PageRange> {
        self.ranges.lock().clone()
    }
}
