//! Free blocks as a bitmap. The lowest is taken first: it is the likeliest to have its pages populated, and the heap
//! stays at the low end of its range.

#[derive(Debug)]
pub(super) struct FreeBlocks {
    /// A set bit is a free block.
    words: Vec<u64>,
    /// No word below this one has a bit set.
    lowest: usize,
}

impl FreeBlocks {
    /// All of `blocks` free.
    pub(super) fn new(blocks: u32) -> Self {
        let mut words = vec![!0; blocks.div_ceil(64) as usize];
        if let (Some(last), rest @ 1..) = (words.last_mut(), blocks % 64) {
            *last = (1 << rest) - 1;
        }
        Self { words, lowest: 0 }
    }

    /// The lowest free block.
    pub(super) fn lowest(&mut self) -> Option<u32> {
        self.lowest += self.words[self.lowest..].iter().position(|w| *w != 0)?;
        Some(self.lowest as u32 * 64 + self.words[self.lowest].trailing_zeros())
    }

    /// Takes the lowest free block.
    pub(super) fn take_one(&mut self) -> Option<u32> {
        let block = self.lowest()?;
        self.words[self.lowest] &= self.words[self.lowest] - 1;
        Some(block)
    }

    /// Takes free blocks from `first`, which is free, on: up to the next used one, and at most `most`. How many.
    pub(super) fn take_from(&mut self, first: u32, most: u32) -> u32 {
        let total = self.words.len() as u32 * 64;
        let last = first.saturating_add(most).min(total);
        let is_free = |k: &u32| self.words[(k / 64) as usize] >> (k % 64) & 1 != 0;
        let blocks = (first..last).take_while(is_free).count() as u32;
        self.take(first, blocks);
        blocks
    }

    fn take(&mut self, first: u32, blocks: u32) {
        for k in first..first + blocks {
            self.words[(k / 64) as usize] &= !(1 << (k % 64));
        }
    }

    /// Takes the lowest run of `blocks` free blocks.
    pub(super) fn take_run(&mut self, blocks: u32) -> Option<u32> {
        let (mut start, mut found) = (0, 0);
        let total = self.words.len() as u32 * 64;
        let mut at = self.lowest as u32 * 64;
        while found < blocks {
            if at >= total {
                return None;
            }
            let word = self.words[(at / 64) as usize] >> (at % 64);
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

    /// Gives blocks back.
    pub(super) fn put(&mut self, first: u32, blocks: u32) {
        for k in first..first + blocks {
            debug_assert_eq!(self.words[(k / 64) as usize] >> (k % 64) & 1, 0, "block {k} is free already");
            self.words[(k / 64) as usize] |= 1 << (k % 64);
        }
        self.lowest = self.lowest.min(first as usize / 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_blocks_come_lowest_first_and_run_out() {
        let mut free = FreeBlocks::new(70);
        let all: Vec<_> = std::iter::from_fn(|| free.take_one()).collect();
        assert_eq!(all, (0..70).collect::<Vec<_>>());
        free.put(66, 2);
        free.put(3, 1);
        assert_eq!(
            [free.take_one(), free.take_one(), free.take_one(), free.take_one()],
            [Some(3), Some(66), Some(67), None]
        );
    }

    #[test]
    fn runs_are_found_across_words_and_skip_what_is_used() {
        let mut free = FreeBlocks::new(200);
        assert_eq!(free.take_run(60), Some(0));
        assert_eq!(free.take_run(100), Some(60));
        free.put(10, 20);
        assert_eq!(free.take_run(21), Some(160));
        assert_eq!(free.take_run(20), Some(10));
        assert_eq!((free.take_run(20), free.take_run(19)), (None, Some(181)));
        assert_eq!(free.take_one(), None);
    }

    #[test]
    fn neighbours_are_taken_up_to_a_used_one_or_so_many() {
        let mut free = FreeBlocks::new(100);
        assert_eq!((free.take_from(0, 70), free.lowest()), (70, Some(70)));
        free.put(10, 3);
        assert_eq!((free.take_from(10, 16), free.take_from(90, 200)), (3, 10));
    }

    #[test]
    fn a_run_longer_than_the_space_is_refused() {
        assert_eq!(FreeBlocks::new(64).take_run(65), None);
        assert_eq!(FreeBlocks::new(64).take_run(64), Some(0));
    }
}
