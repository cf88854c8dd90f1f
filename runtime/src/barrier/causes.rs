//! Why writes trap: counts that say what could be done about it.
//!
//! A trap costs what it costs; fewer of them is the only thing that helps. Which of the ways to have fewer is worth its price
//! depends on the program, and these counts tell: traps of threads that allocate call for opening blocks in bulk, recurrent
//! ones for leaving those pages open, neighbouring ones for opening several at a time.

use crate::error::Error;
use crate::mapping::Private;
use crate::unit::PageIndex;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

/// What a chunk is used for, as its owner labels it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Use {
    /// Objects that share it.
    Small,
    /// A thread allocates in it, or did last.
    Allocation,
    /// An object that has it to itself.
    Large,
}

const USES: usize = 3;

/// Traps by cause, since the barrier was made.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub struct Traps {
    /// Between snapshots: nothing is saved.
    pub between: u64,
    /// In a snapshot.
    pub in_snapshot: u64,
    /// In chunks of small objects, in those that a thread allocates in, in those of large objects.
    pub small: u64,
    /// See [`Traps::small`].
    pub allocation: u64,
    /// See [`Traps::small`].
    pub large: u64,
    /// On a page that trapped since the snapshot before the last as well: it would have paid to leave it open.
    pub recurrent: u64,
    /// On a page next to one that trapped since the last snapshot: it would have paid to open both.
    pub neighbouring: u64,
}

#[derive(Debug)]
pub(super) struct Causes {
    uses: Private<AtomicU8>,
    /// For each page the period in which it trapped last, of 255; 0 for never. A period lasts from snapshot to snapshot.
    last: Private<AtomicU8>,
    period: AtomicU8,
    by_phase: [AtomicU64; 2],
    by_use: [AtomicU64; USES],
    recurrent: AtomicU64,
    neighbouring: AtomicU64,
}

impl Causes {
    pub(super) fn new(pages: usize) -> Result<Self, Error> {
        Ok(Self {
            uses: Private::new(pages.div_ceil(crate::unit::CHUNK_PAGES as usize))?,
            // One more at both ends, so that each page has neighbours.
            last: Private::new(pages + 2)?,
            period: AtomicU8::new(1),
            by_phase: Default::default(),
            by_use: Default::default(),
            recurrent: AtomicU64::new(0),
            neighbouring: AtomicU64::new(0),
        })
    }

    pub(super) fn label(&self, chunk: u32, to: Use) {
        self.uses[chunk as usize].store(to as u8, Relaxed);
    }

    /// A snapshot begins.
    pub(super) fn next_period(&self) {
        let period = self.period.load(Relaxed);
        self.period.store(if period == u8::MAX { 1 } else { period + 1 }, Relaxed);
    }

    /// Counts a trap. Async-signal-safe.
    pub(super) fn count(&self, page: PageIndex, in_snapshot: bool) {
        let add = |to: &AtomicU64| to.fetch_add(1, Relaxed);
        add(&self.by_phase[usize::from(in_snapshot)]);
        add(&self.by_use[self.uses[page.chunk() as usize].load(Relaxed) as usize % USES]);
        let now = self.period.load(Relaxed);
        let before = if now == 1 { u8::MAX } else { now - 1 };
        let at = page.0 as usize + 1;
        if self.last[at].swap(now, Relaxed) == before {
            add(&self.recurrent);
        }
        if self.last[at - 1].load(Relaxed) == now || self.last[at + 1].load(Relaxed) == now {
            add(&self.neighbouring);
        }
    }

    pub(super) fn traps(&self) -> Traps {
        let get = |count: &AtomicU64| count.load(Relaxed);
        Traps {
            between: get(&self.by_phase[0]),
            in_snapshot: get(&self.by_phase[1]),
            small: get(&self.by_use[Use::Small as usize]),
            allocation: get(&self.by_use[Use::Allocation as usize]),
            large: get(&self.by_use[Use::Large as usize]),
            recurrent: get(&self.recurrent),
            neighbouring: get(&self.neighbouring),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traps_are_told_apart() {
        let causes = Causes::new(64).unwrap();
        causes.label(1, Use::Large);
        causes.count(PageIndex(0), false);
        causes.count(PageIndex(17), true);
        causes.count(PageIndex(18), true);
        let first =
            Traps { between: 1, in_snapshot: 2, small: 1, large: 2, neighbouring: 1, ..Traps::default() };
        assert_eq!(causes.traps(), first);
        causes.next_period();
        causes.label(1, Use::Allocation);
        causes.count(PageIndex(17), false);
        causes.count(PageIndex(63), false);
        let second = Traps { between: 3, small: 2, allocation: 1, recurrent: 1, ..first };
        assert_eq!(causes.traps(), second);
        for _ in 0..255 {
            causes.next_period();
        }
        causes.count(PageIndex(40), false);
        assert_eq!(causes.traps().recurrent, 1);
    }
}
