//! Sweeping one block: what has no colour of the living is free again. Only metadata is looked at, never an object.

use super::WORTH_RECYCLING;
use crate::metadata::{Living, Metadata};
use crate::unit::{BLOCK_GRANULES, BlockIndex, Granules};

/// What a swept block has room for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Swept {
    /// Free granules.
    pub free: Granules,
    /// Whether any of its objects is young: after the next cycle of the young it has to be swept again.
    pub young: bool,
}

impl Swept {
    /// Whether nothing in the block is live.
    pub fn is_empty(self) -> bool {
        self.free.0 == BLOCK_GRANULES
    }

    /// Whether allocating among the block's objects is worth the trouble.
    pub fn is_worth_recycling(self) -> bool {
        self.free >= WORTH_RECYCLING
    }
}

/// Frees all objects of the block that are not of the living.
///
/// The caller has the block to itself, and no marker is at work.
///
/// # How
/// Sixty-four granules at a time, as bitmaps: where live objects start (`s`), and where any object ends (`e`). Adding `s`
/// to the complement of `e` sends a carry from each live start up to the first end at or above it, which is its own; with
/// those ends `l`, the difference `2l - s` has a one for every granule of a live object. Carries and borrows go on to the
/// next sixty-four.
pub fn sweep_block(metadata: &Metadata, block: BlockIndex, living: Living) -> Swept {
    let start = block.granule();
    let (any, young) = metadata.has_living(block, living);
    if !any {
        metadata.clear(start, Granules(BLOCK_GRANULES));
        return Swept { free: Granules(BLOCK_GRANULES), young };
    }
    let (mut used, mut carry, mut inside) = (0, false, false);
    for at in (start..start + BLOCK_GRANULES).step_by(64) {
        let (starts, ends) = metadata.bitmaps(at, living);
        let (sum, carry_1) = starts.overflowing_add(!ends);
        let (sum, carry_2) = sum.overflowing_add(carry.into());
        carry = carry_1 | carry_2;
        let live_ends = sum & ends;
        let covered = (live_ends << 1).wrapping_sub(starts).wrapping_sub(inside.into());
        // Inside an object at the end of these granules if more began than ended.
        inside = starts.count_ones() + u32::from(inside) > live_ends.count_ones();
        // Without an object under way there is none to end: the carry of the complement's own ones does not count.
        carry &= inside;
        used += covered.count_ones() as usize;
        metadata.keep_only(at, covered);
    }
    Swept { free: Granules(BLOCK_GRANULES - used), young }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    #[test]
    fn what_is_not_live_is_freed_and_the_rest_stays() {
        let m = Metadata::new(2 * BLOCK_GRANULES).unwrap();
        let living = Living::FIRST.renew();
        let (old, live) = (Living::FIRST.marked, living.marked);
        for (at, size, colour) in [(0, 1, old), (1, 3, live), (4, 100, old), (110, 7, live), (4095, 1, old)] {
            m.record(at, Granules(size), Kind::UNIFORM, colour);
        }
        let swept = sweep_block(&m, BlockIndex(0), living);
        assert_eq!((m.get(0).0, m.get(4).0, m.get(103).0, m.get(4095).0), (0, 0, 0, 0));
        assert_eq!(swept.free, Granules(BLOCK_GRANULES - 10));
        assert_eq!((m.start_of(2), m.start_of(50), m.start_of(112)), (Some(1), None, Some(110)));
        assert!(swept.is_worth_recycling() && !swept.is_empty() && !swept.young);
    }

    #[test]
    fn a_block_without_live_objects_is_empty() {
        let m = Metadata::new(BLOCK_GRANULES).unwrap();
        m.record(7, Granules(2), Kind::LEAF, Living::FIRST.young);
        assert!(sweep_block(&m, BlockIndex(0), Living::FIRST.age()).is_empty());
        assert_eq!(m.skip_zero(0, BLOCK_GRANULES), BLOCK_GRANULES);
    }

    /// Random rows of objects, against an object-by-object sweep.
    #[test]
    fn bitmaps_and_objects_agree() {
        let living = Living::FIRST.renew();
        let colours = [Living::FIRST.young, living.marked, living.young, Living::FIRST.marked];
        let mut random = 0x2545_f491_4f6c_dd1du64;
        let mut below = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            ((random >> 20) % n) as usize
        };
        // Miri takes seconds for each.
        for _ in 0..if cfg!(miri) { 4 } else { 300 } {
            let m = Metadata::new(BLOCK_GRANULES).unwrap();
            let longest = [1, 3, 70, 400][below(4)];
            let (mut at, mut kept, mut young) = (0, Vec::new(), false);
            loop {
                at += [0, 0, 1, below(100)][below(4)];
                let size = 1 + below(longest);
                if at + size > BLOCK_GRANULES {
                    break;
                }
                let colour = colours[below(4)];
                m.record(at, Granules(size), Kind::LEAF, colour);
                if colour == living.marked || colour == living.young {
                    kept.push((at, size));
                }
                young |= colour == living.young;
                at += size;
            }
            let swept = sweep_block(&m, BlockIndex(0), living);
            assert_eq!(swept.young, young);
            assert_eq!(swept.free.0, BLOCK_GRANULES - kept.iter().map(|k| k.1).sum::<usize>());
            let mut at = 0;
            for (start, size) in kept {
                assert_eq!(m.skip_zero(at, BLOCK_GRANULES), start);
                assert_eq!(m.size(start), Granules(size));
                at = start + size;
            }
            assert_eq!(m.skip_zero(at, BLOCK_GRANULES), BLOCK_GRANULES);
        }
    }
}
