//! What a barrier has, and the transitions of whole snapshots: beginning, ending, opening in bulk, pinning, giving up.

use super::causes::{Causes, Traps, Use};
use super::delivery::Delivery;
use super::dirty::DirtyMap;
use super::epoch::{Epoch, Inside};
use super::pins::Pins;
use super::pool::Pool;
use super::rounds::Round;
use super::word::PageWord;
use crate::error::Error;
use crate::mapping::{HeapMapping, Region, Shared};
use crate::sync::{AtomicBool, AtomicU32, Ordering, mutation};
use crate::sys::event::Event;
use crate::sys::{futex, process};
use crate::unit::{Bytes, PAGE_SIZE, PageIndex, PageRange};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32 as CountU32, AtomicU64};

/// Whether a snapshot is being kept.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(super) enum Phase {
    Idle,
    Snapshot,
}

/// What pages hold that somebody wants to write to in bulk.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Contents {
    /// Objects of the snapshot, if there is one: their pre-images are kept.
    Objects,
    /// Nothing that was an object when the snapshot was taken.
    Nothing,
}

/// What the barrier has counted since it was made.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Writes that trapped.
    pub trapped: u64,
    /// The same by cause.
    pub traps: Traps,
    /// Pages whose pre-image was stored.
    pub preimages: u64,
    /// Pages that were opened in bulk, without a trap.
    pub opened: u64,
    /// Traps that had to wait for the pre-image pool.
    pub stalls: u64,
    /// For how long, in nanoseconds, all together.
    pub stalled_ns: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) trapped: AtomicU64,
    pub(super) preimages: AtomicU64,
    pub(super) opened: AtomicU64,
    pub(super) stalls: AtomicU64,
    pub(super) stalled_ns: AtomicU64,
}

/// The barrier of one heap.
#[derive(Debug)]
pub struct Barrier {
    pub(super) heap: Arc<HeapMapping>,
    pub(super) delivery: Box<dyn Delivery>,
    pub(super) words: Shared<AtomicU32>,
    pub(super) dirty: DirtyMap,
    pub(super) pins: Pins,
    pub(super) pool: Pool,
    /// A [`Phase`]; mutators that ran out of pre-image slots wait on it.
    pub(super) phase: AtomicU32,
    /// The kernel refused to unprotect a page and the barrier was given up. Set before the protection of the
    /// whole heap is removed, so that whoever sees a write that got through also sees this.
    pub(super) broken: AtomicBool,
    pub(super) handlers: Epoch,
    /// How many calls have armed pages.
    pub(super) armings: CountU32,
    pub(super) counters: Counters,
    pub(super) causes: Causes,
    /// Raised for the collector: the pool is exhausted, or the barrier broke.
    pub(super) control: Event,
}

impl Barrier {
    /// A barrier over the traced half of `heap`, whose writes this delivery notices. All pages are open. Nobody knows of it.
    pub(super) fn over(
        heap: Arc<HeapMapping>,
        delivery: Box<dyn Delivery>,
        pool_limit: Bytes,
    ) -> Result<Self, Error> {
        let pages = heap.half().0 / PAGE_SIZE;
        Ok(Self {
            words: Shared::scratch("palimpsest-pages", pages)?,
            dirty: DirtyMap::new(pages)?,
            pins: Pins::new(pages)?,
            pool: Pool::new(pool_limit, pages)?,
            phase: AtomicU32::new(Phase::Idle as u32),
            broken: AtomicBool::new(false),
            handlers: Epoch::new(),
            armings: CountU32::new(0),
            counters: Counters::default(),
            causes: Causes::new(pages)?,
            control: Event::new().map_err(|errno| Error::denied("creating an eventfd", errno))?,
            delivery,
            heap,
        })
    }

    /// In a child that has a copy of the heap: no page is armed, and all may be dirty. Async-signal-safe.
    pub(super) fn forget_states(&self) {
        // The words are zeroes, which is `Open`. Whoever was in a handler was another thread.
        self.handlers.reset();
        self.pool.begin_anew();
        self.phase.store(Phase::Idle as u32, Ordering::SeqCst);
        self.dirty.mark(PageRange::new(0, self.words.len() as u32));
    }

    /// How writes are noticed.
    pub fn delivery(&self) -> &dyn Delivery {
        &*self.delivery
    }

    /// Notes that pages are about to be written to, or hold new objects: the next round looks at them.
    #[inline]
    pub fn note_dirty(&self, pages: PageRange) {
        self.dirty.mark(pages);
    }

    /// Labels a chunk with what it is used for from now on, for [`Counts::traps`]. At first all are [`Use::Small`].
    #[inline]
    pub fn label(&self, chunk: u32, to: Use) {
        self.causes.label(chunk, to);
    }

    /// Begins to keep the snapshot, in a stopped world: arms the dirty pages that `round` names, as
    /// [`Barrier::arm_round`] does, and from now on the first write to an armed page stores its pre-image. Returns how many
    /// pages were armed. `round` names every chunk that holds an object of the snapshot. The pre-images of pinned pages are
    /// saved at once.
    ///
    /// # Why no page is left open
    ///
    /// The snapshot is declared first, then handlers at work are waited for, and then pages are armed. In a stopped world no
    /// mutator is in a handler, but a monitor's thread may be late: about to open a page for a writer that went on long ago,
    /// since somebody else had opened it. If it has seen no snapshot, it has opened that page before the arming, which arms
    /// it again. If it comes later, it sees the snapshot and saves the page first.
    ///
    /// # Errors
    /// Where the kernel refuses to protect, or the pool has no room for the pinned pages. There is no snapshot then.
    pub fn begin_snapshot(&self, mut round: impl Round) -> Result<u32, Error> {
        debug_assert_eq!(self.pool.used(), 0);
        self.causes.next_period();
        // Pairs with the load in `trap`.
        self.phase.store(Phase::Snapshot as u32, Ordering::SeqCst);
        if !mutation!("snapshot: handlers at work are not waited for") {
            self.settle();
        }
        // What is pinned now is left open by the round, or was let go in the middle of it and armed, or let go after the round
        // had passed it by: a guard may be dropped by a thread in a blocking region. So it is this list that is saved.
        let pinned = self.pins.all();
        pinned.iter().for_each(|pages| round.written(*pages));
        let armed = self.arm_round(round).and_then(|armed| {
            let saved = pinned.iter().flat_map(|range| range.iter()).all(|page| self.save_pinned(page));
            if saved { Ok(armed) } else { Err(Error::PinnedTooMuch) }
        });
        armed.inspect_err(|_| {
            self.end_snapshot();
        })
    }

    /// Waits until the traps that are being resolved are over, and their pages are dirty. A writer need not have: a monitor
    /// lets it go on a moment before.
    pub fn settle(&self) {
        self.handlers.synchronize();
    }

    /// Ends the snapshot, whether it was used or is given up. Waits for handlers at work, then reclaims all
    /// pre-image slots. Returns how many there were. No worker may read the snapshot any more.
    pub fn end_snapshot(&self) -> u32 {
        self.phase.store(Phase::Idle as u32, Ordering::SeqCst);
        if !mutation!("end: those who wait for room are not woken") {
            futex::wake_all(&self.phase);
        }
        if !mutation!("end: slots are taken back under handlers") {
            self.handlers.synchronize();
        }
        let used = self.pool.used();
        for slot in 0..used {
            // No handler holds this slot any more: those that could have were waited for, later ones save nothing.
            let page = self.pool.owner(slot);
            self.check_slot(slot, page);
            self.word(page).store(PageWord::OPEN.raw(), Ordering::Release);
            // A page that was saved while the snapshot began may have been passed by, and its flag lowered.
            if !mutation!("end: a saved page is not dirty") {
                self.dirty.mark_chunk(page.chunk());
            }
        }
        // A handler that came in since the first wait may have seen a stale `Saved`, and is about to open the page once more,
        // which is open. It must be gone before the page can be armed again.
        if !mutation!("end: late handlers are not waited for") {
            self.handlers.synchronize();
        }
        self.pool.reset();
        used
    }

    /// Before a fork whose child gets a copy of the heap: takes the locks that any thread may hold.
    pub fn hold(&self) {
        self.pins.hold();
    }

    /// After it, on both sides. Async-signal-safe.
    ///
    /// # Safety
    /// Held by this thread or the one that it is the image of.
    pub unsafe fn let_go(&self) {
        // SAFETY: passed on to the caller.
        unsafe { self.pins.let_go() };
    }

    /// Whether writers wait because the pre-image pool is used up.
    pub fn is_exhausted(&self) -> bool {
        self.pool.is_exhausted()
    }

    /// Whether the barrier had to be given up, with the snapshot that was active.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    /// What the collector waits for beside its worker.
    pub fn control(&self) -> &Event {
        &self.control
    }

    /// Opens pages in one step ahead of writes to all of them, storing pre-images first where a snapshot is
    /// active and they hold its objects. May wait for the pre-image pool, as a trap may.
    ///
    /// Called by attached mutators outside safepoints.
    pub fn open(&self, pages: PageRange, contents: Contents) {
        self.open_in_bulk(pages, contents);
        self.dirty.mark(pages);
        self.open_reach(pages);
    }

    /// Whether all of these pages are open. Of pages that nobody but the caller arms, that stays so.
    pub fn is_open(&self, pages: PageRange) -> bool {
        pages.iter().all(|page| self.word(page).load(Ordering::Acquire) == PageWord::OPEN.raw())
    }

    /// Opens what the delivery wants to be open together with these pages.
    fn open_reach(&self, pages: PageRange) {
        if pages.is_empty() {
            return;
        }
        let last = PageIndex(pages.end.0 - 1);
        let before =
            PageRange::new(self.delivery.reach(pages.start).start.0.min(pages.start.0), pages.start.0);
        let after = PageRange::new(pages.end.0, self.delivery.reach(last).end.0.max(pages.end.0));
        for pages in [before, after] {
            if !pages.is_empty() {
                self.open_in_bulk(pages, Contents::Objects);
                self.dirty.mark(pages);
            }
        }
    }

    /// Opens pages and keeps them open until the guard drops, for a system call that writes to them: the kernel's writes
    /// would fail, or go unnoticed. The pages count as dirty for as long.
    ///
    /// Called by attached mutators outside safepoints; may wait for the pre-image pool. The guard may be dropped anywhere.
    ///
    /// # Panics
    /// If a page is pinned 65,535 times.
    pub fn pin(self: &Arc<Self>, pages: PageRange) -> Pinned {
        if !mutation!("pin: counted after the page is open") {
            self.pins.add(pages);
        }
        self.open(pages, Contents::Objects);
        self.open_saved(pages);
        if mutation!("pin: counted after the page is open") {
            self.pins.add(pages);
        }
        Pinned { barrier: self.clone(), pages }
    }

    /// What has been counted.
    pub fn counts(&self) -> Counts {
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        let c = &self.counters;
        Counts {
            trapped: get(&c.trapped),
            traps: self.causes.traps(),
            preimages: get(&c.preimages),
            opened: get(&c.opened),
            stalls: get(&c.stalls),
            stalled_ns: get(&c.stalled_ns),
        }
    }

    /// Gives back the memory that is kept for pre-images. Called by the collector's thread, without a snapshot.
    pub fn release_pool(&self) {
        debug_assert!(!self.in_snapshot());
        self.pool.release();
    }

    /// Memory that pre-images occupy, or that is kept for them.
    pub fn pool_populated(&self) -> Bytes {
        self.pool.populated()
    }

    /// Memory that the barrier's own tables occupy now.
    pub fn populated(&self) -> Bytes {
        Bytes(self.words.populated().0 + self.pool.populated().0)
    }

    /// The heap under this barrier.
    pub fn heap(&self) -> &Arc<HeapMapping> {
        &self.heap
    }

    pub(crate) fn words(&self) -> &[AtomicU32] {
        &self.words
    }

    pub(crate) fn words_region(&self) -> Region<'_> {
        self.words.region()
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Counts the caller in with the handlers at work.
    pub(super) fn enter(&self) -> Inside<'_> {
        self.handlers.enter()
    }

    #[inline]
    pub(super) fn word(&self, page: PageIndex) -> &AtomicU32 {
        &self.words[page.0 as usize]
    }

    pub(super) fn in_snapshot(&self) -> bool {
        self.phase.load(Ordering::Acquire) == Phase::Snapshot as u32
    }

    /// Gives the barrier up because a page cannot be unprotected: removes the protection of all. The snapshot is
    /// lost, no write is. Where that is denied too the process ends, with a message: its next write would be a fault that nobody
    /// resolves, or wait for ever. Async-signal-safe.
    #[cold]
    pub(super) fn give_up(&self) {
        self.broken.store(true, Ordering::SeqCst);
        if self.delivery.give_up().is_err() {
            process::stop(
                "palimpsest: the kernel denies removing write protection, and nobody could write any more. Is ioctl or \
                 mprotect denied by a seccomp filter that was installed after the heap was made?\n",
            );
        }
        self.control.raise();
    }
}

/// Pages that stay open; see [`Barrier::pin`].
#[must_use = "the pages are open only as long as this lives"]
#[derive(Debug)]
pub struct Pinned {
    barrier: Arc<Barrier>,
    pages: PageRange,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.barrier.heap.is_lost() {
            // The host has forked, and this is the child.
            return;
        }
        // Written until now, for all we know: the next round arms them.
        self.barrier.dirty.mark(self.pages);
        self.barrier.pins.remove(self.pages);
    }
}
