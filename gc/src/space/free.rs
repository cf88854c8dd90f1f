//! Free blocks as a bitmap. The lowest is taken first: it is the likeliest to have its pages populated, and the heap
//! stays at the low end of its range.
//!
//! A second bitmap says which of them are *clean*: never used, or given back to the system, so that they read as zero and
//! occupy nothing. The others are *used*: what they held is still there. Those are given back from the highest down.

use palimpsest_runtime::crash::violated;
use std::collections::TryReserveError;
use std::ops::Range;

#[derive(Debug)]
pub(super) struct FreeBlocks {
    /// A set bit is a free block.
    words: Vec<u64>,
    /// A set bit is a clean one. Means nothing for blocks that are not free.
    clean: Vec<u64>,
    /// No word below this one has a bit set.
    lowest: usize,
    /// From this word on no free block is used.
    used_end: usize,
    /// Free blocks that are used.
    used: u32,
}

impl FreeBlocks {
    /// All of `blocks` free, and clean.
    pub(super) fn new(blocks: u32) -> Result<Self, TryReserveError> {
        let len = blocks.div_ceil(64) as usize;
        let (mut words, mut clean) = (Vec::new(), Vec::new());
        words.try_reserve_exact(len)?;
        clean.try_reserve_exact(len)?;
        words.resize(len, !0);
        clean.resize(len, !0);
        if let (Some(last), rest @ 1..) = (words.last_mut(), blocks % 64) {
            *last = (1 << rest) - 1;
        }
        Ok(Self { words, clean, lowest: 0, used_end: 0, used: 0 })
    }

    /// How many free blocks are used.
    pub(super) fn used(&self) -> u32 {
        self.used
    }

    fn used_in(&self, word: usize) -> u64 {
        self.words[word] & !self.clean[word]
    }

    /// The lowest free block that is used.
    pub(super) fn lowest_used(&self) -> Option<u32> {
        if self.used == 0 {
            return None;
        }
        let word = (self.lowest..self.used_end).find(|word| self.used_in(*word) != 0)?;
        Some(word as u32 * 64 + self.used_in(word).trailing_zeros())
    }

    /// Whether so many blocks from `first` on are clean.
    pub(super) fn are_clean(&self, first: u32, blocks: u32) -> bool {
        (first..first + blocks).all(|k| self.clean[(k / 64) as usize] >> (k % 64) & 1 != 0)
    }

    /// Takes the highest free blocks that are used, next to each other, and at most `most`.
    pub(super) fn take_highest_used(&mut self, most: u32) -> Option<Range<u32>> {
        while self.used_end > 0 && self.used_in(self.used_end - 1) == 0 {
            self.used_end -= 1;
        }
        let word = self.used_end.checked_sub(1)?;
        let end = word as u32 * 64 + 64 - self.used_in(word).leading_zeros();
        let is_used = |k: &u32| self.used_in((k / 64) as usize) >> (k % 64) & 1 != 0;
        let blocks = (end.saturating_sub(most)..end).rev().take_while(is_used).count() as u32;
        self.take(end - blocks, blocks);
        Some(end - blocks..end)
    }

    /// The lowest free block.
    pub(super) fn lowest(&mut self) -> Option<u32> {
        self.lowest += self.words[self.lowest..].iter().position(|w| *w != 0)?;
        Some(self.lowest as u32 * 64 + self.words[self.lowest].trailing_zeros())
    }

    /// Takes the lowest free block that is used.
    pub(super) fn take_lowest_used(&mut self) -> Option<u32> {
        let block = self.lowest_used()?;
        self.take(block, 1);
        Some(block)
    }

    /// Takes the lowest free block.
    pub(super) fn take_one(&mut self) -> Option<u32> {
        let block = self.lowest()?;
        self.take(block, 1);
        Some(block)
    }

    /// Takes free blocks from `first`, which is free, on: up to the next that is not, or that is clean where `first` is used or
    /// the other way round, and at most `most`. How many.
    pub(super) fn take_from(&mut self, first: u32, most: u32) -> u32 {
        let total = self.words.len() as u32 * 64;
        let last = first.saturating_add(most).min(total);
        let bit = |words: &[u64], k: u32| words[(k / 64) as usize] >> (k % 64) & 1 != 0;
        let clean = bit(&self.clean, first);
        let is_free = |k: &u32| bit(&self.words, *k) && bit(&self.clean, *k) == clean;
        let blocks = (first..last).take_while(is_free).count() as u32;
        self.take(first, blocks);
        blocks
    }

    fn take(&mut self, first: u32, blocks: u32) {
        for k in first..first + blocks {
            let (word, bit) = ((k / 64) as usize, 1 << (k % 64));
            self.used -= u32::from(self.used_in(word) & bit != 0);
            self.words[word] &= !bit;
        }
    }

    /// Takes the lowest run of `blocks` free blocks; of clean ones, if it is to be.
    pub(super) fn take_run(&mut self, blocks: u32, clean: bool) -> Option<u32> {
        let (mut start, mut found) = (0, 0);
        let total = self.words.len() as u32 * 64;
        let mut at = self.lowest as u32 * 64;
        while found < blocks {
            if at >= total {
                return None;
            }
            let k = (at / 64) as usize;
            let word = (self.words[k] & if clean { self.clean[k] } else { !0 }) >> (at % 64);
            // Free blocks from here to the next used one, within this word.
            let run = (!word).trailing_zeros().min(64 - at % 64);
            if run == 0 {
                found = 0;
                // To the next free one, or to the next word.
                at += word.trailing_zeros().min(64 - at % 64).max(1);
            } else {
                if found == 0 {
                    start = at;
                }
                found += run;
                at += run;
            }
        }
        self.take(start, blocks);
        Some(start)
    }

    /// Gives blocks back, used or clean.
    pub(super) fn put(&mut self, first: u32, blocks: u32, clean: bool) {
        for k in first..first + blocks {
            let (word, bit) = ((k / 64) as usize, 1 << (k % 64));
            if self.words[word] & bit != 0 {
                violated(None, format_args!("free block {k} of a half of the heap is given back once more"));
            }
            self.words[word] |= bit;
            self.clean[word] = self.clean[word] & !bit | if clean { bit } else { 0 };
        }
        if !clean {
            self.used += blocks;
            self.used_end = self.used_end.max((first + blocks).div_ceil(64) as usize);
        }
        self.lowest = self.lowest.min(first as usize / 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_blocks_come_lowest_first_and_run_out() {
        let mut free = FreeBlocks::new(70).unwrap();
        let all: Vec<_> = std::iter::from_fn(|| free.take_one()).collect();
        assert_eq!(all, (0..70).collect::<Vec<_>>());
        free.put(66, 2, false);
        free.put(3, 1, false);
        assert_eq!(
            [free.take_one(), free.take_one(), free.take_one(), free.take_one()],
            [Some(3), Some(66), Some(67), None]
        );
    }

    #[test]
    fn runs_are_found_across_words_and_skip_what_is_used() {
        let mut free = FreeBlocks::new(200).unwrap();
        assert_eq!(free.take_run(60, false), Some(0));
        assert_eq!(free.take_run(100, false), Some(60));
        free.put(10, 20, false);
        assert_eq!(free.take_run(21, false), Some(160));
        assert_eq!(free.take_run(20, false), Some(10));
        assert_eq!((free.take_run(20, false), free.take_run(19, false)), (None, Some(181)));
        assert_eq!(free.take_one(), None);
    }

    #[test]
    fn neighbours_are_taken_up_to_a_used_one_or_so_many() {
        let mut free = FreeBlocks::new(100).unwrap();
        assert_eq!((free.take_from(0, 70), free.lowest()), (70, Some(70)));
        free.put(10, 3, false);
        free.put(13, 3, true);
        assert_eq!((free.take_from(10, 16), free.take_from(90, 200)), (3, 10));
    }

    #[test]
    fn a_run_longer_than_the_space_is_refused() {
        assert_eq!(FreeBlocks::new(64).unwrap().take_run(65, false), None);
        assert_eq!(FreeBlocks::new(64).unwrap().take_run(64, false), Some(0));
    }

    #[test]
    fn used_blocks_are_told_from_clean_ones_and_taken_from_the_top() {
        let mut free = FreeBlocks::new(300).unwrap();
        assert_eq!((free.used(), free.lowest_used(), free.take_highest_used(9)), (0, None, None));
        assert_eq!(free.take_run(200, true), Some(0));
        free.put(0, 50, false);
        free.put(50, 50, true);
        free.put(126, 10, false);
        assert_eq!((free.used(), free.lowest_used()), (60, Some(0)));
        assert!(free.are_clean(50, 50) && !free.are_clean(49, 2));
        assert_eq!(free.take_run(60, true), Some(200), "the lowest run has used ones in it");
        assert_eq!((free.take_highest_used(4), free.take_highest_used(64)), (Some(132..136), Some(126..132)));
        assert_eq!((free.take_highest_used(64), free.used()), (Some(0..50), 0));
        free.put(0, 50, true);
        assert_eq!((free.lowest_used(), free.take_run(60, true)), (None, Some(0)));
    }
}
