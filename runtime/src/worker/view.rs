//! Reading the heap in a worker: which side of the split a load returns.
//!
//! The worker's mapping shows the *live* page. Until the mutator writes to it, live and snapshot are the same bytes;
//! afterwards a load returns the mutator's side, the wrong one. Linux had to name the same ambiguity for
//! copy-on-write itself, and the advice there was to make the safe side the default and to have the other asked for by
//! a name that makes one think ("READ_WRONG_SIDE_COW_OK"). So [`ReadSide::Snapshot`] is the default here, and
//! [`ReadSide::WrongSideOk`] takes a reason.
//!
//! # Why a snapshot load is right
//!
//! It loads the words from the live page *first* and the page's word *second*, with an acquire fence between. Suppose a
//! loaded word was written by the mutator after the snapshot. That store could execute only after the page was
//! unprotected, which came after `Saved(slot)` was published. The load saw the store, so the look at the word, which
//! comes later, sees `Saved`: the words are loaded again from the slot, where the pre-image was complete before it was
//! published. If the word does *not* say `Saved`, no such store was seen, and what was loaded is the snapshot. That
//! holds for `Saving` too: the page is still protected, so there is nothing to wait for.
//!
//! Loads are the only reads with a defined side. What takes a *reference* to a page instead (`vmsplice`, registered
//! `io_uring` buffers, `O_DIRECT`, pinning) would look at the live page whenever it pleases, and gets an
//! [`OwnedPage`].

use super::super::barrier::word::PageWord;
use crate::barrier::{Barrier, Pool};
use crate::mapping::Live;
use crate::sync::{AtomicU32, Ordering, fence, mutation};
use crate::unit::{Address, Bytes, PAGE_SIZE, PageIndex};
use std::sync::atomic::AtomicU64;

/// Why a reader does not care which side of the split it sees.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Reason(&'static str);

impl Reason {
    /// A reason, to be read by the next person who looks at this code.
    ///
    /// # Panics
    /// On an empty reason; at compile time where it is used in a constant.
    pub const fn because(why: &'static str) -> Self {
        assert!(!why.is_empty(), "reading the wrong side needs a reason");
        Self(why)
    }

    /// The reason in words.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// Which side of a page that the mutator has since written to a load returns.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum ReadSide {
    /// The page as it was at the snapshot. Always safe.
    #[default]
    Snapshot,
    /// Whichever side is there: right only where the answer cannot matter or is checked later.
    WrongSideOk(Reason),
}

/// A copy of a page of the snapshot.
#[derive(Clone, Debug)]
#[repr(C, align(4096))]
pub struct OwnedPage(pub [u64; PAGE_SIZE / 8]);

/// The traced half of the heap, as a worker sees it.
#[derive(Debug)]
pub struct SnapshotView<'a> {
    base: Address,
    len: Bytes,
    live: Live<'a>,
    words: &'a [AtomicU32],
    pool: &'a Pool,
}

impl<'a> SnapshotView<'a> {
    /// The view of the barrier's snapshot: in a worker that has mapped the heap, or in the process of the barrier itself.
    pub fn new(barrier: &'a Barrier) -> Self {
        let heap = barrier.heap();
        Self {
            base: heap.base(),
            len: heap.half(),
            live: heap.live(),
            words: barrier.words(),
            pool: barrier.pool(),
        }
    }

    /// How many pages there are.
    pub fn pages(&self) -> u32 {
        self.words.len() as u32
    }

    /// Loads words from `at` on, from the snapshot.
    ///
    /// # Panics
    /// In debug builds, if the words are not aligned or not all in the traced half.
    #[inline]
    pub fn load(&self, at: Address, into: &mut [u64]) {
        self.load_from(ReadSide::Snapshot, at, into);
    }

    /// Loads words from `at` on, from the side asked for.
    ///
    /// # Panics
    /// As [`SnapshotView::load`].
    #[inline]
    pub fn load_from(&self, side: ReadSide, at: Address, into: &mut [u64]) {
        let mut offset = at.as_usize().wrapping_sub(self.base.as_usize());
        debug_assert!(offset.is_multiple_of(8) && offset + into.len() * 8 <= self.len.0);
        let mut rest = into;
        while !rest.is_empty() {
            let room = (PAGE_SIZE - offset % PAGE_SIZE) / 8;
            let (now, later) = rest.split_at_mut(room.min(rest.len()));
            self.load_within_page(side, offset, now);
            offset += now.len() * 8;
            rest = later;
        }
    }

    #[inline]
    fn load_within_page(&self, side: ReadSide, offset: usize, into: &mut [u64]) {
        // SAFETY: inside the traced half, which is mapped readable; the parent may be writing, hence the atomics.
        let live = unsafe { self.live.words(offset, into.len()) };
        let look = || PageWord::from_raw(self.words[offset / PAGE_SIZE].load(Ordering::Acquire));
        let too_early = mutation!("view: the word is looked at first").then(look);
        for (to, from) in into.iter_mut().zip(live) {
            *to = from.load(Ordering::Relaxed);
        }
        if side != ReadSide::Snapshot {
            return;
        }
        // The order of these two looks is the whole argument; see above. Pairs with the release in `Barrier::save`.
        fence(Ordering::Acquire);
        let word = too_early.unwrap_or_else(look);
        if let Some(slot) = word.slot() {
            let saved = &self.pool.image(slot)[offset % PAGE_SIZE / 8..];
            for (to, from) in into.iter_mut().zip(saved) {
                *to = from.load(Ordering::Relaxed);
            }
        }
    }

    /// Copies a page of the snapshot, for whatever wants a reference instead of loading.
    pub fn copy_page(&self, page: PageIndex, into: &mut OwnedPage) {
        self.load(self.base.add(page.0 as usize * PAGE_SIZE), &mut into.0);
    }
}

/// The traced half of a private heap, as a worker inherited it.
///
/// There is one side only: these pages are the worker's own, and whoever writes to one of the parent's breaks the
/// copy-on-write there. That break is the mechanism, so it is wanted and nobody is told.
#[derive(Debug)]
pub struct InheritedView(());

impl InheritedView {
    pub(super) fn new() -> Self {
        Self(())
    }

    /// Loads words from `at` on, which lies in pages that were inherited.
    #[inline(always)]
    pub fn load(&self, at: Address, into: &mut [u64]) {
        // SAFETY: inherited memory, aligned, that nobody else can write to.
        let words = unsafe { std::slice::from_raw_parts(at.as_ptr::<AtomicU64>().cast_const(), into.len()) };
        for (to, from) in into.iter_mut().zip(words) {
            *to = from.load(Ordering::Relaxed);
        }
    }
}
