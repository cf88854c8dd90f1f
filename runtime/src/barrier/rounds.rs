//! Arming in rounds, ahead of the pause.
//!
//! Protecting a page costs 20 to 90 ns, so a pause that armed the whole heap would grow with it. Pages are armed
//! before: the first round takes all that are dirty, each further one what was written during the one before, as
//! live migration copies memory. Opening a page costs the mutator more than arming it costs the collector, so
//! the rounds converge, and the pause is left with a few dozen pages.

use super::states::Barrier;
use super::word::PageWord;
use crate::error::Error;
use crate::sync::{Ordering, mutation};
use crate::unit::{CHUNK_PAGES, PageIndex, PageRange};

/// What a round does with a dirty chunk.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Choice {
    /// Arm its open pages.
    All,
    /// Leave it as it is, and dirty, for a later round.
    Later,
    /// It holds no object: leave it open until somebody notes it dirty again.
    Nothing,
}

/// Who says what is armed, and is told what was open.
pub trait Round {
    /// What to do with a dirty chunk.
    fn choose(&mut self, chunk: u32) -> Choice;

    /// These pages were open until now: they may have been written to since they were armed the last time, or ever. Told of
    /// all pages that are armed, and of those that stay open because they are pinned.
    fn written(&mut self, pages: PageRange) {
        let _ = pages;
    }
}

impl<F: FnMut(u32) -> Choice> Round for F {
    fn choose(&mut self, chunk: u32) -> Choice {
        self(chunk)
    }
}

impl Barrier {
    /// Asks `round` about every dirty chunk and arms the open pages among those it names. Returns how many pages were
    /// armed.
    ///
    /// Called by the collector thread only, never during a snapshot but at its very beginning.
    ///
    /// # Errors
    /// Where the kernel refuses to protect, those pages and all that were not reached stay open and dirty.
    pub fn arm_round(&self, mut round: impl Round) -> Result<u32, Error> {
        self.must_hold()?;
        let mut run = Run { barrier: self, round: &mut round, pages: PageRange::new(0, 0), armed: 0 };
        self.dirty.drain(|chunk| {
            let all = PageRange::new(chunk * CHUNK_PAGES, (chunk + 1) * CHUNK_PAGES);
            match run.round.choose(chunk) {
                Choice::All => return all.iter().try_for_each(|page| run.add(page)),
                Choice::Later => self.dirty.mark_chunk(chunk),
                Choice::Nothing => {}
            }
            Ok(())
        })?;
        run.protect()?;
        Ok(run.armed)
    }
}

impl Barrier {
    /// The same in a stopped world without arming anything: tells `round` what is open in the dirty chunks of which all is
    /// chosen. They stay open and dirty.
    ///
    /// # Errors
    /// Where the barrier was given up: writes are not noticed any more, and were perhaps not.
    pub fn look(&self, mut round: impl Round) -> Result<(), Error> {
        self.settle();
        self.must_hold()?;
        let result = self.dirty.drain(|chunk| {
            let choice = round.choose(chunk);
            if choice == Choice::All {
                let armed =
                    |page: &PageIndex| self.word(*page).load(Ordering::Acquire) == PageWord::ARMED.raw();
                let pages = PageRange::new(chunk * CHUNK_PAGES, (chunk + 1) * CHUNK_PAGES);
                for page in pages.iter().filter(|page| !armed(page)) {
                    round.written(PageRange::new(page.0, page.0 + 1));
                }
            }
            if choice != Choice::Nothing {
                self.dirty.mark_chunk(chunk);
            }
            Ok::<_, std::convert::Infallible>(())
        });
        let Ok(()) = result;
        Ok(())
    }

    fn must_hold(&self) -> Result<(), Error> {
        if self.is_broken() {
            return Err(Error::denied("arming pages after the barrier was given up", crate::sys::Errno::IO));
        }
        Ok(())
    }
}

/// Pages next to each other that are `Arming` and wait to be protected by one call.
struct Run<'a, R: Round> {
    barrier: &'a Barrier,
    round: &'a mut R,
    pages: PageRange,
    armed: u32,
}

impl<R: Round> Run<'_, R> {
    fn add(&mut self, page: PageIndex) -> Result<(), Error> {
        if page != self.pages.end || self.pages.len() >= self.barrier.delivery.arm_at_once() {
            self.protect()?;
            self.pages = PageRange::new(page.0, page.0);
        }
        let word = self.barrier.word(page);
        // SeqCst: pairs with the count that a pin raises before it looks at the word.
        let arming = word.compare_exchange(
            PageWord::OPEN.raw(),
            PageWord::ARMING.raw(),
            Ordering::SeqCst,
            Ordering::Acquire,
        );
        match arming.map_err(PageWord::from_raw) {
            Ok(_) if self.barrier.pins.has(page) => {
                word.store(PageWord::OPEN.raw(), Ordering::Release);
                self.barrier.dirty.mark_chunk(page.chunk());
                self.round.written(PageRange::new(page.0, page.0 + 1));
            }
            Ok(_) => {
                self.pages.end = PageIndex(page.0 + 1);
                return Ok(());
            }
            // Being opened this moment: it is dirty, and the next round's.
            Err(PageWord::SAVING) if !mutation!("rounds: a page being opened is forgotten") => {
                self.barrier.dirty.mark_chunk(page.chunk());
            }
            Err(_) => {}
        }
        self.protect()?;
        self.pages = PageRange::new(page.0 + 1, page.0 + 1);
        Ok(())
    }

    /// Protects the run. Its words say `Arming` meanwhile: a write that traps before they say `Armed` waits.
    fn protect(&mut self) -> Result<(), Error> {
        let pages = std::mem::replace(&mut self.pages, PageRange::new(0, 0));
        if pages.is_empty() {
            return Ok(());
        }
        // Before a page can trap again: a thread's count of faults on it begins anew.
        self.barrier.armings.fetch_add(1, Ordering::Relaxed);
        if mutation!("rounds: said to be armed before it is") {
            for page in pages.iter() {
                self.barrier.word(page).store(PageWord::ARMED.raw(), Ordering::Release);
            }
        }
        // A thread may have given the barrier up since the round began, and opened all. Either it does that after this call, or
        // this sees that it did.
        let result = self.barrier.delivery.arm(pages).and_then(|()| self.barrier.must_hold());
        let state = if result.is_ok() { PageWord::ARMED } else { PageWord::OPEN };
        if result.is_err() {
            // Part of the range may be protected.
            if self.barrier.delivery.open(pages).is_err() {
                self.barrier.give_up();
            }
        }
        for page in pages.iter() {
            // Release: pairs with the acquire in `take`.
            self.barrier.word(page).store(state.raw(), Ordering::Release);
        }
        if result.is_ok() {
            self.armed += pages.len();
            self.round.written(pages);
        } else {
            self.barrier.dirty.mark(pages);
        }
        result
    }
}

impl<R: Round> Drop for Run<'_, R> {
    fn drop(&mut self) {
        // A round that ends early leaves the run it was gathering unprotected.
        for page in self.pages.iter() {
            self.barrier.word(page).store(PageWord::OPEN.raw(), Ordering::Release);
        }
        self.barrier.dirty.mark(self.pages);
    }
}
