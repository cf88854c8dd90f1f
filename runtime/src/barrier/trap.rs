//! What happens on a write to an armed page. **Everything here runs in a signal handler**, or does what one does (the
//! monitor's thread, for another): no allocation, no lock, no panic; atomics, a copy, one system call.

use super::word::PageWord;
use super::{Barrier, Contents, registry};
use crate::sys::{clock, futex, signal};
use crate::unit::{Address, PAGE_SIZE, PageIndex, PageRange};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// The hook of the handlers for faults.
pub(super) fn on_fault(address: usize) -> bool {
    registry::with_barrier(address, |barrier| {
        let page = (address - barrier.heap.base().as_usize()) / PAGE_SIZE;
        barrier.trap(PageIndex(page as u32))
    })
    .unwrap_or(false)
}

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
    SAVING_HERE.set(NO_PAGE);
}

#[cold]
fn is_saving_here(page: PageIndex) -> bool {
    SAVING_HERE.get() == page.0
}

impl Barrier {
    /// Resolves a write fault for a thread that waits. `false`: the page cannot be opened. The caller counted itself in with
    /// the handlers before it learned of the fault.
    pub(super) fn resolve_for(&self, page: PageIndex) -> bool {
        // An open page is none of the barrier's business any more: whoever waits is woken and tries again.
        self.word(page).load(Ordering::Acquire) == PageWord::OPEN.raw() || self.trap(page)
    }

    /// Resolves a write fault. `false`: it is not the barrier's; somebody else has to say what it means.
    fn trap(&self, page: PageIndex) -> bool {
        let word = self.word(page);
        let mut round = 0;
        loop {
            match PageWord::from_raw(word.load(Ordering::Acquire)) {
                PageWord::ARMED => {
                    let reach = self.delivery.reach(page);
                    if reach.len() > 1 {
                        self.count(page);
                        return self.resolve_all(reach);
                    }
                    if self.take(word) {
                        self.count(page);
                        return self.resolve(page, word);
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
                PageWord::OPEN => {
                    if self.is_broken() {
                        // A worker may keep the last descriptor open, and the protection up, until it has been killed.
                        futex::nap(Duration::from_millis(10));
                    }
                    return self.retries_left(page);
                }
                // Saved, and perhaps not yet unprotected by the thread that saved it: help. The page is not armed again before
                // this handler has left (`end_snapshot` waits), so this cannot undo a later arming.
                _saved => {
                    let opened = self.delivery.open(PageRange::new(page.0, page.0 + 1)).is_ok();
                    return (opened || self.give_up()) && self.retries_left(page);
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
        let (at, _) = self.heap.span(PageRange::new(page.0, page.0 + 1));
        retries_left(at, self.armings.load(Ordering::Relaxed))
    }

    /// `Armed -> Saving`: exactly one thread gets the page.
    #[inline]
    fn take(&self, word: &AtomicU32) -> bool {
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
    fn resolve(&self, page: PageIndex, word: &AtomicU32) -> bool {
        let pages = PageRange::new(page.0, page.0 + 1);
        // Before the page is opened: a writer whose fault a monitor resolves goes on from then.
        self.dirty.mark_chunk(page.chunk());
        if self.in_snapshot() {
            if !self.save(page, word) {
                self.wait_for_room();
                return true;
            }
            // Saved is published; only now may the page change.
            if self.delivery.open(pages).is_err() && !self.give_up() {
                return false;
            }
        } else {
            let opened = self.delivery.open(pages).is_ok() || self.give_up();
            word.store(PageWord::OPEN.raw(), Ordering::Release);
            if !opened {
                return false;
            }
        }
        true
    }

    /// The same for all armed pages of a range together.
    #[cold]
    fn resolve_all(&self, pages: PageRange) -> bool {
        let mut next = pages.start.0;
        let full = self.open_some(&mut next, pages.end.0, Contents::Objects);
        self.dirty.mark(pages);
        if full {
            self.wait_for_room();
        }
        !self.is_broken() || self.give_up()
    }

    /// In the stopped world: saves a page that stays open. `false`: there is no room.
    pub(super) fn save_pinned(&self, page: PageIndex) -> bool {
        let word = self.word(page);
        if PageWord::from_raw(word.load(Ordering::Relaxed)) != PageWord::OPEN {
            // Saved for another pin on it. (No pinned page is armed, and in a stopped world nobody is saving.)
            return true;
        }
        let (at, _) = self.heap.span(PageRange::new(page.0, page.0 + 1));
        // SAFETY: a page of the heap in a stopped world. The kernel may be writing to it on behalf of a thread in a blocking
        // region: what is copied of the bytes that it writes is not defined, and nobody relies on them.
        let Some(slot) = (unsafe { self.pool.save(page, at.as_ptr()) }) else { return false };
        self.counters.preimages.fetch_add(1, Ordering::Relaxed);
        word.store(PageWord::saved(slot).raw(), Ordering::Release);
        self.dirty.mark_chunk(page.chunk());
        true
    }

    /// Stores the pre-image of a page that is this thread's and publishes where it is. `false`: there is no room;
    /// the page is armed again.
    #[inline]
    fn save(&self, page: PageIndex, word: &AtomicU32) -> bool {
        let (at, _) = self.heap.span(PageRange::new(page.0, page.0 + 1));
        SAVING_HERE.set(page.0);
        // SAFETY: a page of the heap; it is protected and its word is `Saving`, so nobody changes it.
        let saved = unsafe { self.pool.save(page, at.as_ptr()) };
        SAVING_HERE.set(NO_PAGE);
        match saved {
            Some(slot) => {
                self.counters.preimages.fetch_add(1, Ordering::Relaxed);
                // Release: a reader that sees the slot sees the pre-image. Pairs with the worker's view.
                word.store(PageWord::saved(slot).raw(), Ordering::Release);
                true
            }
            None => {
                word.store(PageWord::ARMED.raw(), Ordering::Release);
                self.pool.note_exhausted();
                false
            }
        }
    }

    /// Waits until the snapshot has ended: by then the worker is done, or the collector has given it up.
    #[cold]
    fn wait_for_room(&self) {
        self.counters.stalls.fetch_add(1, Ordering::Relaxed);
        let start = clock::monotonic_ns();
        self.control.raise();
        while self.in_snapshot() && !self.is_broken() {
            futex::wait(&self.phase, super::Phase::Snapshot as u32, Some(Duration::from_millis(10)));
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
        if pages.iter().any(is_saved) && !self.is_broken() && self.delivery.open(pages).is_err() {
            self.give_up();
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
                    if keep && !self.save(page, word) {
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
        // A barrier that was given up protects nothing any more.
        if !self.is_broken() && self.delivery.open(pages).is_err() {
            self.give_up();
        }
        self.counters.opened.fetch_add(pages.len().into(), Ordering::Relaxed);
        for page in pages.iter() {
            let word = self.word(page);
            if word.load(Ordering::Relaxed) == PageWord::SAVING.raw() {
                word.store(PageWord::OPEN.raw(), Ordering::Release);
            }
        }
    }
}

/// Faults on a page that looks resolved, by one thread, since pages were armed the last time, before they are taken for
/// something else. What is really a race between writers is over after one or two: the page cannot trap again before it is
/// armed again.
const RETRIES: u32 = 64;

/// Counts this thread's faults on a page that is not armed; `false` when there were too many, too quickly. `arming` differs
/// after every arming.
///
/// The counts are in a small table by thread and page rather than in thread-local storage, which may allocate on first use.
/// Two threads that share an entry reset each other's count, which costs some retries.
#[cold]
fn retries_left(page: Address, arming: u32) -> bool {
    struct Entry {
        /// Thread and page.
        who: AtomicU64,
        /// Which arming was the last when the count began.
        arming: AtomicU32,
        faults: AtomicU32,
        /// Time of the last fault.
        last_ns: AtomicU64,
    }
    static TABLE: [Entry; 1024] = [const {
        Entry {
            who: AtomicU64::new(0),
            arming: AtomicU32::new(0),
            faults: AtomicU32::new(0),
            last_ns: AtomicU64::new(0),
        }
    }; 1024];
    const QUICKLY_NS: u64 = 1_000_000_000;

    let thread = u64::from(clock::thread_id());
    let who = (page.as_usize() / PAGE_SIZE) as u64 ^ thread << 40;
    let entry = &TABLE[(who.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize];
    let now = clock::monotonic_ns();
    let same = (entry.who.swap(who, Ordering::Relaxed) == who)
        & (entry.arming.swap(arming, Ordering::Relaxed) == arming)
        & (now.saturating_sub(entry.last_ns.swap(now, Ordering::Relaxed)) < QUICKLY_NS);
    let faults = if same { entry.faults.load(Ordering::Relaxed) + 1 } else { 0 };
    entry.faults.store(faults, Ordering::Relaxed);
    if faults < RETRIES {
        futex::yield_now();
        return true;
    }
    false
}
