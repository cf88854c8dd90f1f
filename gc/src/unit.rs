//! Units of the heap: granules and blocks, and where things lie.

use palimpsest_runtime::{Address, Bytes, CHUNK_PAGES, PageRange};

/// Bytes in a granule, the unit in which objects are laid out and aligned.
pub const GRANULE: usize = 16;

/// Bytes in a block, the unit in which a thread gets memory to allocate in. One dirty chunk of the barrier.
pub const BLOCK: usize = crate::sizes::BLOCK;

/// Granules in a block.
pub const BLOCK_GRANULES: usize = BLOCK / GRANULE;

/// The largest object that shares a block with others. Larger ones have blocks of their own.
pub const SMALL_MAX: usize = BLOCK / 2;

/// A number of granules.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Granules(pub usize);

impl Granules {
    /// What an object of so many bytes occupies; an empty one occupies a granule.
    #[inline(always)]
    pub const fn for_bytes(bytes: usize) -> Self {
        Self(if bytes == 0 { 1 } else { bytes.div_ceil(GRANULE) })
    }

    /// As bytes.
    #[inline(always)]
    pub const fn bytes(self) -> usize {
        self.0 * GRANULE
    }
}

/// A block, counted from the heap's first: traced blocks first, then leaf blocks.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BlockIndex(pub u32);

impl BlockIndex {
    /// The pages of a traced block.
    pub const fn pages(self) -> PageRange {
        PageRange::new(self.0 * CHUNK_PAGES, (self.0 + 1) * CHUNK_PAGES)
    }

    /// The first granule of the block.
    pub const fn granule(self) -> usize {
        self.0 as usize * BLOCK_GRANULES
    }
}

/// Where a heap lies: the arithmetic between addresses, granules and blocks.
#[derive(Copy, Clone, Debug)]
pub struct Geometry {
    /// The heap's first address; block-aligned.
    pub base: usize,
    /// Length of the traced half, and of the leaf half; block-aligned.
    pub half: Bytes,
}

impl Geometry {
    /// The granule that holds the address, if the address is in the heap.
    #[inline(always)]
    pub fn granule(&self, address: usize) -> Option<usize> {
        let offset = address.wrapping_sub(self.base);
        (offset < 2 * self.half.0).then_some(offset / GRANULE)
    }

    /// The granule at which an object with this address starts, if one can.
    #[inline(always)]
    pub fn start_granule(&self, address: usize) -> Option<usize> {
        self.granule(address).filter(|_| address.is_multiple_of(GRANULE))
    }

    /// Whether all of a range is in the heap.
    pub fn has(&self, at: Address, len: Bytes) -> bool {
        let offset = at.as_usize().wrapping_sub(self.base);
        offset.checked_add(len.0).is_some_and(|end| end <= 2 * self.half.0)
    }

    /// The address of a granule.
    #[inline(always)]
    pub fn address(&self, granule: usize) -> Address {
        Address::new(self.base + granule * GRANULE)
    }

    /// The block a granule lies in.
    #[inline(always)]
    pub fn block_of(&self, granule: usize) -> BlockIndex {
        BlockIndex((granule / BLOCK_GRANULES) as u32)
    }

    /// The address of a block.
    #[inline]
    pub fn block_address(&self, block: BlockIndex) -> Address {
        self.address(block.granule())
    }

    /// Blocks in each half.
    pub fn half_blocks(&self) -> u32 {
        (self.half.0 / BLOCK) as u32
    }

    /// Whether the block is in the traced half.
    #[inline]
    pub fn is_traced(&self, block: BlockIndex) -> bool {
        block.0 < self.half_blocks()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_up_to_granules() {
        let granules: Vec<_> = [0, 1, 16, 17, 4096].map(|b| Granules::for_bytes(b).0).into();
        assert_eq!(granules, [1, 1, 1, 2, 256]);
    }

    #[test]
    fn only_aligned_addresses_in_the_heap_can_be_objects() {
        let heap = Geometry { base: 1 << 30, half: Bytes(BLOCK) };
        assert_eq!(heap.start_granule((1 << 30) + 32), Some(2));
        assert_eq!(heap.granule((1 << 30) + 33), Some(2));
        assert_eq!(heap.start_granule((1 << 30) + 33), None);
        assert_eq!(heap.start_granule((1 << 30) - 16), None);
        assert_eq!(heap.start_granule((1 << 30) + 2 * BLOCK), None);
        assert!(!heap.is_traced(heap.block_of(BLOCK_GRANULES)));
        let has = |at: usize, len| heap.has(Address::new(at), Bytes(len));
        assert!(has(1 << 30, 2 * BLOCK) && has((1 << 30) + 2 * BLOCK, 0));
        assert!(!has(1 << 30, 2 * BLOCK + 1) && !has((1 << 30) - 1, 1) && !has(1 << 30, usize::MAX));
    }
}
