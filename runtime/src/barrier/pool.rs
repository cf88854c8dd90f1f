//! Where pre-images go: a bounded number of page-sized slots in memory that the worker shares.
//!
//! Slots are handed out in order and taken back all at once when no handler can hold one. The bound is the
//! heap's promise not to grow without limit: when it is reached, a writer waits until the snapshot ends.

use super::word::Slot;
use crate::error::Error;
use crate::mapping::{Private, Region, Shared};
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::unit::{Bytes, PAGE_SIZE, PAGE_WORDS, PageIndex};
use std::sync::atomic::AtomicU32 as CountU32;

/// Slots that stay populated between snapshots at least: 16 MiB.
const KEEP: u32 = 4096;

/// The pre-images of one heap.
#[derive(Debug)]
pub struct Pool {
    images: Shared<[AtomicU64; PAGE_WORDS]>,
    /// Which page each slot in use belongs to.
    owners: Private<AtomicU32>,
    /// The next slot to hand out; beyond the capacity when used up.
    next: AtomicU32,
    exhausted: AtomicBool,
    /// Slots below this may be populated.
    populated: CountU32,
}

impl Pool {
    /// A pool bounded by `limit` (at least one page) and by the pages there are.
    pub(super) fn new(limit: Bytes, pages: usize) -> Result<Self, Error> {
        let slots = (limit.0 / PAGE_SIZE).clamp(1, pages);
        Ok(Self {
            images: Shared::scratch("palimpsest-preimages", slots)?,
            owners: Private::new(slots)?,
            next: AtomicU32::new(0),
            exhausted: AtomicBool::new(false),
            populated: CountU32::new(0),
        })
    }

    /// Where the pre-images are, for workers.
    pub(crate) fn region(&self) -> Region<'_> {
        self.images.region()
    }

    /// A slot for a page's pre-image, if there is room: the caller's alone until it publishes where the pre-image is.
    /// Async-signal-safe.
    pub(super) fn take(&self, page: PageIndex) -> Option<Slot> {
        let slot = self.next.fetch_add(1, Ordering::Relaxed);
        if slot as usize >= self.images.len() {
            self.next.store(self.images.len() as u32, Ordering::Relaxed);
            return None;
        }
        self.owners[slot as usize].store(page.0, Ordering::Relaxed);
        Some(slot)
    }

    /// Notes that a writer found no room. Async-signal-safe.
    pub(super) fn note_exhausted(&self) {
        self.exhausted.store(true, Ordering::Release);
    }

    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted.load(Ordering::Acquire)
    }

    /// Slots in use.
    pub(super) fn used(&self) -> u32 {
        self.next.load(Ordering::Acquire).min(self.images.len() as u32)
    }

    pub(super) fn owner(&self, slot: Slot) -> PageIndex {
        PageIndex(self.owners[slot as usize].load(Ordering::Relaxed))
    }

    /// The same of a slot that may not exist.
    pub(super) fn owner_of(&self, slot: Slot) -> Option<PageIndex> {
        Some(PageIndex(self.owners.get(slot as usize)?.load(Ordering::Relaxed)))
    }

    /// How many slots there are.
    pub(super) fn capacity(&self) -> usize {
        self.images.len()
    }

    pub(super) fn populated(&self) -> Bytes {
        self.images.populated()
    }

    /// Takes all slots back and returns memory that the last snapshots had no use for. Nobody holds a slot.
    pub(super) fn reset(&self) {
        let used = self.used();
        let populated = self.populated.load(Ordering::Relaxed).max(used);
        // Populating a slot again costs about as much as copying a page, so what was needed lately is kept.
        let keep = used.max(populated - populated / 4).max(KEEP.min(populated));
        self.images.release(keep as usize, populated as usize);
        self.populated.store(keep, Ordering::Relaxed);
        self.exhausted.store(false, Ordering::Release);
        self.next.store(0, Ordering::Release);
    }

    /// Returns all memory. There is no snapshot, so nobody stores anything.
    pub(super) fn release(&self) {
        let populated = self.populated.swap(0, Ordering::Relaxed);
        self.images.release(0, populated as usize);
    }

    /// In a child whose images are new memory: nothing is stored. Async-signal-safe.
    pub(super) fn begin_anew(&self) {
        self.populated.store(0, Ordering::Relaxed);
        self.exhausted.store(false, Ordering::Release);
        self.next.store(0, Ordering::Release);
    }

    /// The words of a slot: the worker reads them, and whoever has taken it writes them.
    #[inline]
    pub(crate) fn image(&self, slot: Slot) -> &[AtomicU64; PAGE_WORDS] {
        self.images.get(slot as usize).unwrap_or_else(|| {
            crate::crash::violated(
                None,
                format_args!("a page's word names pre-image {slot}, which does not exist"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_keeps_what_it_is_given_up_to_its_bound() {
        let pool = Pool::new(Bytes(2 * PAGE_SIZE), 100).unwrap();
        let save = |index| {
            let slot = pool.take(PageIndex(index))?;
            pool.image(slot).iter().for_each(|word| word.store(7, Ordering::Relaxed));
            Some(slot)
        };
        assert_eq!((save(40), save(50), save(60), save(61)), (Some(0), Some(1), None, None));
        assert_eq!((pool.used(), pool.owner(1)), (2, PageIndex(50)));
        assert_eq!(pool.image(0)[PAGE_WORDS - 1].load(Ordering::Relaxed), 7);
        pool.reset();
        assert_eq!((pool.used(), pool.populated()), (0, Bytes(2 * PAGE_SIZE)), "kept for the next snapshot");
        pool.release();
        assert_eq!(pool.populated(), Bytes(0));
        assert_eq!(save(9), Some(0));
    }
}
