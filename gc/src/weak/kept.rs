//! Which objects of this cycle were reachable from nowhere and are kept for a finalizer, or because a table's entry was read
//! late.
//!
//! The colour cannot say so: such an object is painted like any other, since it lives. But a [`WeakRef`](super::WeakRef) to it is
//! to be cut. So there is a bit a granule beside the metadata, in shared memory, set by the marker *before* it paints: whoever sees
//! the colour sees the bit. It is touched only where something is kept, and wiped after each cycle in which that was so.

use crate::error::Error;
use crate::sync::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, fence};
use palimpsest_runtime::mapping::{Region, Shared};

/// Words of bits that are wiped at once: what a page holds.
const GROUP: usize = 512;

/// The marker is past its decision; it has noted something.
const BEGUN: u64 = 1;
const ANY: u64 = 3;

/// The bits.
#[derive(Debug)]
pub(crate) struct Kept {
    /// How far the marker is; a bit a group that has bits set; a bit a granule.
    words: Shared<AtomicU64>,
    groups: usize,
}

impl Kept {
    /// For so many granules, none of them kept.
    pub(crate) fn new(granules: usize) -> Result<Self, Error> {
        let bits = granules.div_ceil(64);
        let groups = bits.div_ceil(GROUP).div_ceil(64);
        Ok(Self { words: Shared::scratch("palimpsest-kept", 1 + groups + bits)?, groups })
    }

    /// Where they are, for workers.
    pub(crate) fn region(&self) -> Region<'_> {
        self.words.region()
    }

    /// The marker's side: what is painted from here on is noted, beside what was before, if this marker goes on for another.
    pub(crate) fn begin(&self) {
        // Release, as in `note`: whoever paints for the queue has seen this, or was told by who has.
        self.words[0].fetch_or(BEGUN, Release);
    }

    /// Whether what is painted is to be noted.
    pub(crate) fn has_begun(&self) -> bool {
        self.words[0].load(Acquire) != 0
    }

    /// The marker's side: the object at this granule is about to be painted.
    pub(crate) fn note(&self, granule: usize) {
        self.words[0].store(ANY, Relaxed);
        let (word, group) = (granule / 64, granule / 64 / GROUP);
        self.words[1 + group / 64].fetch_or(1 << (group % 64), Relaxed);
        self.words[1 + self.groups + word].fetch_or(1 << (granule % 64), Relaxed);
        // Pairs with the fence in `has`: who sees the colour that is painted next sees the bit.
        fence(Release);
    }

    /// Whether the object at this granule, whose colour the caller has seen, was noted.
    pub(crate) fn has(&self, granule: usize) -> bool {
        fence(Acquire);
        let is_set =
            |first: usize, bit: usize| self.words[first + bit / 64].load(Relaxed) >> (bit % 64) & 1 != 0;
        // The groups first: looking at a page of bits would populate it.
        self.has_any() && is_set(1, granule / 64 / GROUP) && is_set(1 + self.groups, granule)
    }

    /// Whether anything was noted.
    pub(crate) fn has_any(&self) -> bool {
        self.words[0].load(Relaxed) == ANY
    }

    /// The cycle is over, or has failed, and there is no worker: wipes all.
    pub(crate) fn wipe(&self) {
        if self.words[0].swap(0, Relaxed) != ANY {
            return;
        }
        for k in 0..self.groups {
            let mut dirty = self.words[1 + k].swap(0, Relaxed);
            while dirty != 0 {
                let first = (k * 64 + dirty.trailing_zeros() as usize) * GROUP;
                dirty &= dirty - 1;
                let bits = &self.words[1 + self.groups..];
                bits[first..bits.len().min(first + GROUP)].iter().for_each(|word| word.store(0, Relaxed));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_known_until_it_is_wiped() {
        let kept = Kept::new(10_000_000).unwrap();
        let noted = [0, 63, 64, 32_767, 32_768, 9_999_999];
        for _ in 0..2 {
            assert!(!noted.iter().any(|k| kept.has(*k)));
            kept.begin();
            noted.iter().for_each(|k| kept.note(*k));
            // Another marker takes over.
            kept.begin();
            assert!(noted.iter().all(|k| kept.has(*k)));
            assert!(!kept.has(1) && !kept.has(32_766) && !kept.has(9_999_998));
            kept.wipe();
        }
        kept.begin();
        assert!(!noted.iter().any(|k| kept.has(*k)));
    }
}
