//! What the barrier says of itself and of a page when an invariant does not hold. Async-signal-safe; anything may be corrupt.

use super::Barrier;
use super::word::PageWord;
use crate::crash::Account;
use crate::unit::PageIndex;
use std::sync::atomic::Ordering;

/// Pages on either side of the one in question that are told of.
const NEIGHBOURS: u32 = 2;

impl Barrier {
    /// What a page's word says.
    pub(super) fn state(&self, page: PageIndex) -> PageWord {
        PageWord::from_raw(self.word(page).load(Ordering::Relaxed))
    }

    /// Tells how the snapshot stands, and the state of a page.
    pub fn testify(&self, account: &mut Account, page: Option<PageIndex>) {
        let kept = if self.in_snapshot() { "is kept" } else { "is not kept" };
        let broken = if self.is_broken() { "; the barrier was given up" } else { "" };
        let armings = self.armings.load(Ordering::Relaxed);
        let counts = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        account.line(
            "snapshot",
            format_args!(
                "{kept}; epoch {armings} (calls that armed pages); {} of {} pre-images in use; {} traps, {} pre-images so far{broken}",
                self.pool.used(),
                self.pool.capacity(),
                counts(&self.counters.trapped),
                counts(&self.counters.preimages),
            ),
        );
        let Some(page) = page.filter(|page| (page.0 as usize) < self.words.len()) else { return };
        let last = (page.0 + NEIGHBOURS).min(self.words.len() as u32 - 1);
        for k in page.0.saturating_sub(NEIGHBOURS)..=last {
            let word = self.word(PageIndex(k)).load(Ordering::Relaxed);
            let about = if k == page.0 { "page" } else { "" };
            let pinned = if self.pins.has(PageIndex(k)) { ", pinned" } else { "" };
            let state = PageWord::from_raw(word);
            match state.slot().and_then(|slot| Some((slot, self.pool.owner_of(slot)?))) {
                Some((_, owner)) => account.line(
                    about,
                    format_args!(
                        "{k} is {state}{pinned}; that pre-image is page {}'s; word {word:#x}",
                        owner.0
                    ),
                ),
                None => account.line(about, format_args!("{k} is {state}{pinned}; word {word:#x}")),
            }
        }
    }

    /// Reports tables of the barrier that something has written past. Called between cycles.
    pub fn check_guards(&self) {
        self.words_region().check_slack();
        self.pool.region().check_slack();
    }
}
