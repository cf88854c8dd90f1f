//! What happens on a write to an armed page. **Everything here runs in a signal handler**, or does what one does (the
//! monitor's thread, for another): no allocation, no lock, no panic; atomics, a copy, one system call.

use super::retries::retries_left;
use super::states::{Barrier, Contents, Phase};
use super::word::{PageWord, Slot};
use crate::sync::{AtomicU32, Ordering, mutation, thread_local};
use crate::sys::{clock, futex, signal};
use crate::unit::{PageIndex, PageRange};
use std::cell::Cell;
use std::time::Duration;

const NO_PAGE: u32 = u32::MAX;

thread_local! {
    /// The page whose pre-image this thread is copying. If the copy itself faults, since memory for the page or for its
    /// pre-image cannot be had, the thread must not wait for itself.
    ///
    /// Without a destructor, and without an initialiser to run. A library that was loaded at run time may have to allocate
    /// it at the first access, so attaching makes that access.
    static SAVING_HERE: Cell<u32> = const { Cell::new(NO_PAGE) };
}

/// Makes the calling thread fit to take faults; before it writes to the heap.
pub(crate) fn prepare_thread() {
    SAVING_HERE.with(|saving| saving.set(NO_PAGE));
}

#[cold]
fn is_saving_here(page: PageIndex) -> bool {
    SAVING_HERE.with(Cell::get) == page.0
}

impl Barrier {
    /// Resolves a write fault for a thread that waits. `false`: the page cannot be opened. The caller counted itself in with
    /// the handlers before it learned of the fault.
    pub(super) fn resolve_for(&self, page: PageIndex) -> bool {
        // An open page is none of the barrier's business any more: whoever waits is woken and tries again.
        self.word(page).load(Ordering::Acquire) == PageWord::OPEN.raw() || self.trap(page)
    }

    /// Resolves a write fault. `false`: it is not the barrier's; somebody else has to say what it means.
    pub(super) fn trap(&self, page: PageIndex) -> bool {
        let word = self.word(page);
        let mut round = 0;
        loop {
            match PageWord::from_raw(word.load(Ordering::Acquire)) {
                PageWord::ARMED => {
                    let reach = self.delivery.reach(page);
                    if reach.len() > 1 {
                        self.count(page);
                        self.resolve_all(reach);
                        return true;
                    }
                    if self.take(word) {
                        self.count(page);
                        self.resolve(page, word);
                        return true;
                    }
                }
                // Another thread has the page, for as long as a copy and a system call take; or the collector
                // is protecting it and it will be `Armed`.
                PageWord::SAVING if is_saving_here(page) => return false,
                PageWord::SAVING | PageWord::ARMING => {
                    futex::pause_briefly(round);
                    round += 1;
                }
                // Opened since the fault, normally. But memory that could not be populated (a machine's limit, strict
                // overcommit) looks the same and stays so.
                PageWord::OPEN => return self.retries_left(page),
                // Saved, and perhaps not yet unprotected by the thread that saved it: help. The page is not armed again before
                // this handler has left (`end_snapshot` waits), so this cannot undo a later arming.
                saved => {
                    self.check_saved(page, saved);
                    self.open_or_give_up(PageRange::new(page.0, page.0 + 1));
                    return self.retries_left(page);
                }
            }
        }
    }

    #[inline]
    fn count(&self, page: PageIndex) {
        self.counters.trapped.fetch_add(1, Ordering::Relaxed);
        self.causes.count(page, self.in_snapshot());
    }

    #[cold]
    fn retries_left(&self, page: PageIndex) -> bool {
        if self.is_broken() {
            // A worker may keep the last descriptor open, and the protection up, until it has been killed: seconds, where other
            // programs want the processors.
            futex::nap(Duration::from_millis(50));
        }
        let (at, _) = self.heap.span(PageRange::new(page.0, page.0 + 1));
        retries_left(at, self.armings.load(Ordering::Relaxed))
    }

    /// `Armed -> Saving`: exactly one thread gets the page.
    #[inline]
    fn take(&self, word: &AtomicU32) -> bool {
        if mutation!("trap: a page is taken without a compare-and-swap") {
            word.store(PageWord::SAVING.raw(), Ordering::Release);
            return true;
        }
        word.compare_exchange(
            PageWord::ARMED.raw(),
            PageWord::SAVING.raw(),
            // Acquire: what the collector did before it armed the page is seen, the snapshot's begin among it.
            Ordering::AcqRel,
            Ordering::Relaxed,
        )
        .is_ok()
    }

    /// The page is this thread's: saves it if a snapshot wants it, and opens it.
    #[inline]
    fn resolve(&self, page: PageIndex, word: &AtomicU32) {
        let pages = PageRange::new(page.0, page.0 + 1);
        // Before the page is opened: a writer whose fault a monitor resolves goes on from then.
        if !mutation!("trap: a page that is opened is not dirty") {
            self.dirty.mark_chunk(page.chunk());
        }
        if self.in_snapshot() && !mutation!("trap: nothing is saved") {
            if mutation!("trap: opened before it is saved") {
                self.open_or_give_up(pages);
            }
            if !self.save(page, word) {
                self.wait_for_room();
                return;
            }
            // Saved is published; only now may the page change.
            self.open_or_give_up(pages);
        } else {
            if mutation!("trap: said to be open before it is") {
                word.store(PageWord::OPEN.raw(), Ordering::Release);
            }
            self.open_or_give_up(pages);
            word.store(PageWord::OPEN.raw(), Ordering::Release);
        }
    }

    /// Lets writes to pages through: to these, or to all.
    #[inline]
    fn open_or_give_up(&self, pages: PageRange) {
        if self.delivery.open(pages).is_err() {
            self.give_up();
        }
    }

    /// Resolves the faults of all armed pages of a range together.
    #[cold]
    fn resolve_all(&self, pages: PageRange) {
        let mut next = pages.start.0;
        let full = self.open_some(&mut next, pages.end.0, Contents::Objects);
        self.dirty.mark(pages);
        if full {
            self.wait_for_room();
        }
        // Another thread may have given it up, and not be done with that.
        if self.is_broken() {
            self.give_up();
        }
    }

    /// In the stopped world: saves a page that stays open. `false`: there is no room.
    pub(super) fn save_pinned(&self, page: PageIndex) -> bool {
        let word = self.word(page);
        if PageWord::from_raw(word.load(Ordering::Relaxed)) != PageWord::OPEN {
            // Saved for another pin on it. (No pinned page is armed, and in a stopped world nobody is saving.)
            return true;
        }
        let Some(slot) = self.pool.take(page) else { return false };
        // SAFETY: a page of the heap in a stopped world. The kernel may be writing to it on behalf of a thread in a blocking
        // region: what is copied of the bytes that it writes is not defined, and nobody relies on them.
        unsafe { self.heap.copy_page(page, self.pool.image(slot)) };
        self.counters.preimages.fetch_add(1, Ordering::Relaxed);
        word.store(PageWord::saved(slot).raw(), Ordering::Release);
        self.dirty.mark_chunk(page.chunk());
        true
    }

    /// Stores the pre-image of a page that is this thread's and publishes where it is. `false`: there is no room;
    /// the page is armed again.
    #[inline]
    fn save(&self, page: PageIndex, word: &AtomicU32) -> bool {
        let Some(slot) = self.pool.take(page) else {
            word.store(PageWord::ARMED.raw(), Ordering::Release);
            self.pool.note_exhausted();
            return false;
        };
        if mutation!("trap: published before it is copied") {
            self.publish(word, slot);
        }
        SAVING_HERE.with(|saving| saving.set(page.0));
        // SAFETY: a page of the heap; it is protected and its word is `Saving`, so nobody changes it. The slot is this
        // thread's.
        unsafe { self.heap.copy_page(page, self.pool.image(slot)) };
        SAVING_HERE.with(|saving| saving.set(NO_PAGE));
        self.counters.preimages.fetch_add(1, Ordering::Relaxed);
        self.publish(word, slot);
        true
    }

    #[inline]
    fn publish(&self, word: &AtomicU32, slot: Slot) {
        // Release: a reader that sees the slot sees the pre-image. Pairs with the worker's view.
        word.store(PageWord::saved(slot).raw(), Ordering::Release);
    }

    /// Waits until the snapshot has ended: by then the worker is done, or the collector has given it up.
    #[cold]
    fn wait_for_room(&self) {
        self.counters.stalls.fetch_add(1, Ordering::Relaxed);
        let start = clock::monotonic_ns();
        self.control.raise();
        while self.in_snapshot() && !self.is_broken() {
            futex::wait(&self.phase, Phase::Snapshot as u32, Some(Duration::from_millis(10)));
        }
        self.counters.stalled_ns.fetch_add(clock::monotonic_ns() - start, Ordering::Relaxed);
    }

    /// [`Barrier::open`], but for the dirty map. Runs outside handlers, with signals held back: a host's handler that
    /// touched a page this thread has taken would wait for itself.
    pub(super) fn open_in_bulk(&self, pages: PageRange, contents: Contents) {
        // SeqCst: pairs, for a pin, with the collector's change to `Arming`.
        let armed = |p: PageIndex| self.word(p).load(Ordering::SeqCst) != PageWord::OPEN.raw();
        if !pages.iter().any(armed) {
            return;
        }
        let mut next = pages.start.0;
        while next < pages.end.0 {
            let full = signal::with_signals_held(|| {
                let _inside = self.handlers.enter();
                self.open_some(&mut next, pages.end.0, contents)
            });
            if full {
                self.wait_for_room();
            }
        }
    }

    /// Opens pages that are saved: another thread may be about to do it. They are pinned, so that none is armed again meanwhile.
    pub(super) fn open_saved(&self, pages: PageRange) {
        let is_saved = |page| PageWord::from_raw(self.word(page).load(Ordering::Acquire)).slot().is_some();
        if pages.iter().any(is_saved) {
            self.open_or_give_up(pages);
        }
    }

    /// Opens pages from `next` on, which it advances, to `end`. Stops, and returns `true`, where a pre-image found no
    /// room.
    fn open_some(&self, next: &mut u32, end: u32, contents: Contents) -> bool {
        let keep = self.in_snapshot() && contents == Contents::Objects;
        // Pages taken by this thread, next to each other, not unprotected so far.
        let mut taken = PageRange::new(*next, *next);
        let mut round = 0;
        while *next < end {
            let page = PageIndex(*next);
            let word = self.word(page);
            match PageWord::from_raw(word.load(Ordering::Acquire)) {
                PageWord::ARMED => {
                    if !self.take(word) {
                        continue;
                    }
                    if keep && !mutation!("bulk: opened without saving") && !self.save(page, word) {
                        self.open_taken(taken);
                        return true;
                    }
                    *next += 1;
                    taken.end = PageIndex(*next);
                    continue;
                }
                PageWord::SAVING | PageWord::ARMING => {
                    // Don't keep others waiting for what is taken.
                    self.open_taken(taken);
                    futex::pause_briefly(round);
                    round += 1;
                }
                _open_or_saved => {
                    self.open_taken(taken);
                    *next += 1;
                }
            }
            taken = PageRange::new(*next, *next);
        }
        self.open_taken(taken);
        false
    }

    fn open_taken(&self, pages: PageRange) {
        if pages.is_empty() {
            return;
        }
        // Also where the barrier was given up: whoever does that may not be done.
        self.open_or_give_up(pages);
        self.counters.opened.fetch_add(pages.len().into(), Ordering::Relaxed);
        for page in pages.iter() {
            let word = self.word(page);
            if word.load(Ordering::Relaxed) == PageWord::SAVING.raw() {
                word.store(PageWord::OPEN.raw(), Ordering::Release);
            }
        }
    }
}
