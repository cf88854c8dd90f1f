//! A barrier over a few MiB without a collector above it, for what concerns pages only.

use std::error::Error;
use std::sync::Arc;

use palimpsest_runtime::barrier::{Barrier, Choice};
use palimpsest_runtime::mapping::HeapMapping;
use palimpsest_runtime::{Bytes, PAGE_SIZE, PageRange, probe};

/// Pages under the barrier: 8 MiB, more than a second-level cache and few enough for a round of milliseconds.
pub const PAGES: u32 = 2048;

/// The heap and its barrier, all pages populated.
pub struct Armed {
    /// The barrier; it owns the heap.
    pub barrier: Arc<Barrier>,
}

impl Armed {
    /// A barrier, or why this machine has none.
    pub fn new() -> Result<Self, Box<dyn Error>> {
        let found = probe::signal_delivery()?;
        let size = Bytes(PAGES as usize * PAGE_SIZE);
        let heap = Arc::new(HeapMapping::reserve(size)?);
        let armed = Self { barrier: Barrier::new(heap, &found, size)? };
        armed.write_all();
        armed.barrier.note_dirty(PageRange::new(0, PAGES));
        Ok(armed)
    }

    /// Arms every page that is not. Returns how many those were.
    pub fn arm_all(&self) -> u32 {
        self.barrier.arm_round(|_| Choice::All).expect("protecting pages")
    }

    /// Writes a word into each page: see [`write_pages`].
    pub fn write_all(&self) {
        // SAFETY: the traced half is longer; it holds nothing, and only this thread uses it.
        unsafe { write_pages(self.barrier.heap().base().as_ptr()) };
    }
}

/// Writes a word into each of `PAGES` pages from `base`, in an order that no prefetcher follows.
///
/// # Safety
/// The pages are mapped, nothing is in them that anyone needs, and only this thread uses them.
pub unsafe fn write_pages(base: *mut u8) {
    // An odd stride visits each of a power of two of pages once.
    const { assert!(PAGES.is_power_of_two()) };
    for turn in 0..PAGES {
        let page = turn.wrapping_mul(1237) % PAGES;
        // SAFETY: one of the caller's pages.
        unsafe { base.add(page as usize * PAGE_SIZE).cast::<u64>().write_volatile(turn.into()) };
    }
}
