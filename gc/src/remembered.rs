//! The remembered set: the pages that may have been written to since the last snapshot.
//!
//! A cycle of the young does not follow references between old objects. A young object that is reachable from an old one is
//! reachable through a store that came after the old one was marked, so after the snapshot of that cycle; and from a snapshot on
//! every page that holds an object tells of its first write. Which those pages are the barrier says when it arms them again
//! ([`Round::written`](palimpsest_runtime::barrier::Round::written)), or the tracker when it looks
//! ([`Tracker::take_written`](palimpsest_runtime::barrier::Tracker::take_written)). So the write barrier costs nothing more: its
//! dirty pages are the remembered set, and what is exact about them is the page, not the object.
//!
//! One bit a page, in memory that the worker shares. The collector's thread sets bits before the snapshot, markers read them.

use crate::error::Error;
use palimpsest_runtime::mapping::{Region, Shared};
use palimpsest_runtime::{PageIndex, PageRange};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// The pages of the traced half that a cycle of the young looks at.
#[derive(Debug)]
pub(crate) struct Remembered {
    bits: Shared<AtomicU64>,
    /// One past the last of them. Not shared: workers have it from the fork.
    end: AtomicU32,
}

impl Remembered {
    /// None of so many pages.
    pub(crate) fn new(pages: usize) -> Result<Self, Error> {
        Ok(Self {
            bits: Shared::scratch("palimpsest-remembered", pages.div_ceil(64))?,
            end: AtomicU32::new(0),
        })
    }

    /// Where the set is, for workers.
    pub(crate) fn region(&self) -> Region<'_> {
        self.bits.region()
    }

    /// Adds pages.
    pub(crate) fn add(&self, pages: PageRange) {
        let (mut at, end) = (pages.start.0, pages.end.0);
        self.end.fetch_max(end, Relaxed);
        while at < end {
            let (word, bit) = (at / 64, at % 64);
            let bits = (64 - bit).min(end - at);
            // Relaxed: workers are forked later.
            self.bits[word as usize].fetch_or((!0 >> (64 - bits)) << bit, Relaxed);
            at += bits;
        }
    }

    /// Whether the page is among them.
    pub(crate) fn has(&self, page: PageIndex) -> bool {
        self.bits[page.0 as usize / 64].load(Relaxed) >> (page.0 % 64) & 1 != 0
    }

    /// The first of them from `from` on.
    pub(crate) fn next(&self, from: u32) -> Option<PageIndex> {
        let (mut at, end) = (from, self.end.load(Relaxed));
        while at < end {
            let bits = self.bits[at as usize / 64].load(Relaxed) >> (at % 64);
            if bits != 0 {
                return Some(PageIndex(at + bits.trailing_zeros()));
            }
            at = (at / 64 + 1) * 64;
        }
        None
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.used().map(|word| u64::from(word.load(Relaxed).count_ones())).sum()
    }

    /// Forgets all.
    pub(crate) fn clear(&self) {
        for word in self.used() {
            // A page of the set that was never written to stays unpopulated.
            if word.load(Relaxed) != 0 {
                word.store(0, Relaxed);
            }
        }
        self.end.store(0, Relaxed);
    }

    fn used(&self) -> impl Iterator<Item = &AtomicU64> {
        self.bits.iter().take(self.end.load(Relaxed).div_ceil(64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_across_words_are_found_page_by_page() {
        let set = Remembered::new(1000).unwrap();
        for (from, to) in [(3, 5), (60, 70), (128, 192), (999, 1000), (500, 500)] {
            set.add(PageRange::new(from, to));
        }
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(page) = set.next(at) {
            found.push(page.0);
            at = page.0 + 1;
        }
        let expected: Vec<_> = (3..5).chain(60..70).chain(128..192).chain([999]).collect();
        assert_eq!((found, set.count()), (expected, 77));
        assert!(set.has(PageIndex(64)) && !set.has(PageIndex(70)));
        assert_eq!(set.next(192), Some(PageIndex(999)));
        set.clear();
        assert_eq!((set.next(0), set.count()), (None, 0));
    }
}
