//! Two programs that notice first writes, and the same work for both: ours ([`own`]) and the least that does the same
//! ([`floor`]).
//!
//! What is ours is a barrier or a tracker over some pages, without a collector above it. Benches compare the two; each uses some of
//! what is here.
#![allow(dead_code, reason = "each bench uses some of it")]

pub(crate) mod floor;
pub(crate) mod own;

use std::time::{Duration, Instant};

use palimpsest_runtime::{PAGE_SIZE, PageRange};

/// Pages on either side: 32 MiB, more than caches hold. Every second of them protected is far fewer mappings than the 65,530
/// that a process may have, which matters where protection is by `mprotect`.
pub(crate) const PAGES: u32 = 8192;

/// Pages that one call arms where all are to be armed, on both sides: what the library arms at once, so that no writer waits
/// for long.
pub(crate) const ARMED_AT_ONCE: u32 = 512;

/// A program that notices first writes while the writer waits.
pub(crate) trait Side {
    /// The first of [`PAGES`] pages that are all open at first.
    fn base(&self) -> *mut u8;
    /// Protects every `step`th page; all others are protected.
    fn arm(&self, step: u32);
    /// Protects the first so many pages, which are open.
    fn arm_first(&self, pages: u32);
    /// Opens pages together.
    fn open(&self, pages: PageRange);
    /// In a snapshot: copies pages and opens them together.
    fn save(&self, pages: PageRange);
    /// From now on each page is copied before it is opened.
    fn begin_snapshot(&self);
    /// Not any more. So many pages were copied.
    fn end_snapshot(&self, copied: u32);
    /// After writes: waits for who still notes that the last one happened.
    fn settle(&self) {}
    /// Ahead of a round.
    fn begin_turn(&self) {}
    /// After a round.
    fn end_turn(&self) {}
}

/// A program that is asked afterwards which pages were written.
pub(crate) trait AsyncSide {
    /// The first of [`PAGES`] pages that are all armed.
    fn base(&self) -> *mut u8;
    /// Protects all pages, by one call.
    fn arm(&self);
    /// Finds the pages that were written and protects them again. Returns how many there are.
    fn take_written(&mut self) -> u32;
}

/// Writes a word into every `step`th page of a side's, in an order that no prefetcher follows.
pub(crate) fn write_pages(base: *mut u8, step: u32) {
    // An odd stride visits each of a power of two of pages once.
    const { assert!(PAGES.is_power_of_two()) };
    debug_assert!(step.is_power_of_two());
    for turn in 0..PAGES / step {
        let page = turn.wrapping_mul(1237) % (PAGES / step) * step;
        // SAFETY: one of a side's pages: mapped, nothing is in them that anyone needs, and only this thread writes to them.
        unsafe { base.add(page as usize * PAGE_SIZE).cast::<u64>().write_volatile(turn.into()) };
    }
}

/// How long `work` takes.
pub(crate) fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}
