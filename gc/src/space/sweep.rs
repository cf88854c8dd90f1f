//! Sweeping one block: what has not the live colour is free again. Only metadata is looked at, never an object.

use super::WORTH_RECYCLING;
use crate::metadata::{MarkColour, Metadata};
use crate::unit::{BLOCK_GRANULES, BlockIndex, Granules};

/// What a swept block has room for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Swept {
    /// Free granules.
    pub free: Granules,
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

/// Frees all objects of the block that have not the colour `live`. `freed` is told each of them: its first granule and
/// its size.
///
/// The caller has the block to itself, and no marker is at work.
pub fn sweep_block(
    metadata: &Metadata,
    block: BlockIndex,
    live: MarkColour,
    mut freed: impl FnMut(usize, Granules),
) -> Swept {
    let (start, end) = (block.granule(), block.granule() + BLOCK_GRANULES);
    if !metadata.has_colour(block, live) {
        freed(start, Granules(BLOCK_GRANULES));
        metadata.clear(start, Granules(BLOCK_GRANULES));
        return Swept { free: Granules(BLOCK_GRANULES) };
    }
    let (mut at, mut free) = (start, 0);
    while at < end {
        let next = metadata.skip_zero(at, end);
        free += next - at;
        if next == end {
            break;
        }
        let meta = metadata.get(next);
        debug_assert!(meta.start().is_some(), "granule {next}: an object's end without its start");
        let size = metadata.size(next);
        if meta.colour() != live {
            freed(next, size);
            metadata.clear(next, size);
            free += size.0;
        }
        at = next + size.0;
    }
    Swept { free: Granules(free) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Kind;

    #[test]
    fn what_is_not_live_is_freed_and_the_rest_stays() {
        let m = Metadata::new(2 * BLOCK_GRANULES).unwrap();
        let (old, live) = (MarkColour::FIRST, MarkColour::FIRST.next());
        for (at, size, colour) in [(0, 1, old), (1, 3, live), (4, 100, old), (110, 7, live), (4095, 1, old)] {
            m.record(at, Granules(size), Kind::UNIFORM, colour);
        }
        let mut freed = Vec::new();
        let swept = sweep_block(&m, BlockIndex(0), live, |at, size| freed.push((at, size.0)));
        assert_eq!(freed, [(0, 1), (4, 100), (4095, 1)]);
        assert_eq!(swept.free, Granules(BLOCK_GRANULES - 10));
        assert_eq!((m.start_of(2), m.start_of(50), m.start_of(112)), (Some(1), None, Some(110)));
        assert!(swept.is_worth_recycling() && !swept.is_empty());
    }

    #[test]
    fn a_block_without_live_objects_is_empty() {
        let m = Metadata::new(BLOCK_GRANULES).unwrap();
        m.record(7, Granules(2), Kind::LEAF, MarkColour::FIRST);
        assert!(sweep_block(&m, BlockIndex(0), MarkColour::FIRST.next(), |_, _| {}).is_empty());
        assert_eq!(m.skip_zero(0, BLOCK_GRANULES), BLOCK_GRANULES);
    }
}
