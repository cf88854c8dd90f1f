//! One byte a granule, outside the heap: what starts here, what colour it has, where it ends.
//!
//! ```text
//!   bit 7: an object ends in this granule     bits 4-6: mark colour     bits 0-3: kind; 0 = no object starts here
//! ```
//!
//! As in Nofl (Wingo, "Nofl: A Precise Immix", 2025) this is all there is to know about an object without looking at
//! it: allocation writes the first and the last byte, marking rewrites the colour, sweeping finds free runs. A free
//! granule's byte is zero, and so is that of a granule in the middle of an object.
//!
//! The table is shared with the workers. A mutator writes only bytes of granules it is allocating; a marker writes only
//! the first byte of objects of the snapshot; the two never meet. An object allocated while a snapshot is marked has
//! the mark colour from the start ("black"), and a marker passes it by.

use crate::error::Error;
use crate::kind::Kind;
use crate::unit::{BLOCK_GRANULES, BlockIndex, Granules};
use palimpsest_runtime::Bytes;
use palimpsest_runtime::mapping::{Region, Shared};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

const END: u8 = 0x80;
const COLOUR: u8 = 0x70;
const ENDS: u64 = u64::from_ne_bytes([END; 8]);

/// A mark colour. Whatever has another colour than the current one is white.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct MarkColour(u8);

impl MarkColour {
    /// How many there are. A successful cycle leaves one in use; each failed one adds one, and after two of those the
    /// collector marks in the stopped world, which cannot fail.
    const COUNT: u8 = 8;
    /// The colour of the first objects.
    pub const FIRST: Self = Self(0);

    /// The next colour, which no object has.
    pub const fn next(self) -> Self {
        Self((self.0 + 0x10) % (Self::COUNT * 0x10))
    }

    /// As it stands in the metadata.
    #[inline(always)]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The colour that stands so in the metadata.
    #[inline(always)]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & COLOUR)
    }
}

/// A granule's byte.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Meta(pub u8);

impl Meta {
    /// The kind of the object that starts here.
    #[inline(always)]
    pub fn start(self) -> Option<Kind> {
        if self.0 & Kind::MASK == 0 { None } else { Some(Kind::from_bits(self.0)) }
    }

    /// Whether an object ends here.
    #[inline(always)]
    pub const fn ends(self) -> bool {
        self.0 & END != 0
    }

    /// The colour of the object that starts here.
    #[inline(always)]
    pub const fn colour(self) -> MarkColour {
        MarkColour(self.0 & COLOUR)
    }
}

/// The metadata of a heap.
#[derive(Debug)]
pub struct Metadata(Shared<AtomicU8>);

impl Metadata {
    /// Metadata for so many granules, all free.
    pub fn new(granules: usize) -> Result<Self, Error> {
        Ok(Self(Shared::new("palimpsest-metadata", granules)?))
    }

    /// The table's first byte, for the allocation fast path.
    pub fn as_ptr(&self) -> *const AtomicU8 {
        self.0.as_ptr()
    }

    /// Where the table is, for workers.
    pub fn region(&self) -> Region<'_> {
        self.0.region()
    }

    /// Memory the table occupies.
    pub fn populated(&self) -> Bytes {
        self.0.populated()
    }

    /// A granule's byte.
    #[inline(always)]
    pub fn get(&self, granule: usize) -> Meta {
        debug_assert!(granule < self.0.len());
        // SAFETY: granules come from `Geometry`, whose heap this table has as many bytes as granules for.
        Meta(unsafe { self.0.get_unchecked(granule) }.load(Relaxed))
    }

    /// Records a new object.
    #[inline(always)]
    pub fn record(&self, granule: usize, size: Granules, kind: Kind, colour: MarkColour) {
        // Relaxed: no other thread follows a reference to the object before it synchronised with this one, and a
        // marker passes by whatever it sees here.
        let start = kind.bits() | colour.bits();
        if size.0 == 1 {
            self.0[granule].store(start | END, Relaxed);
        } else {
            self.0[granule].store(start, Relaxed);
            self.0[granule + size.0 - 1].store(END, Relaxed);
        }
    }

    /// Records a new large object, which has its blocks for itself: where it ends is in the block table.
    pub fn record_large(&self, granule: usize, kind: Kind, colour: MarkColour) {
        self.0[granule].store(kind.bits() | colour.bits(), Relaxed);
    }

    /// Gives an object a colour. `meta` is what its first byte was seen to be.
    #[inline(always)]
    pub fn paint(&self, granule: usize, meta: Meta, colour: MarkColour) {
        // A plain store: two markers that meet here store the same.
        self.0[granule].store(meta.0 & !COLOUR | colour.bits(), Relaxed);
    }

    /// Eight granules' bytes at once, the first in the lowest bits of a little-endian word. `granule` is a multiple of 8.
    #[inline(always)]
    fn eight(&self, granule: usize) -> u64 {
        debug_assert!(granule.is_multiple_of(8) && granule + 8 <= self.0.len());
        // SAFETY: inside the table and aligned, since the table is page-aligned. Bytes written meanwhile by others are
        // not looked at by the callers, or may be seen either way.
        u64::from_le(unsafe { (*self.0.as_ptr().add(granule).cast::<AtomicU64>()).load(Relaxed) })
    }

    /// How many granules the small object at `granule` occupies: to its end, or at most to the end of its block.
    #[inline]
    pub fn size(&self, granule: usize) -> Granules {
        let mut at = granule & !7;
        let mut ends = self.eight(at) & ENDS & (!0 << (granule % 8 * 8));
        let block_end = (granule / BLOCK_GRANULES + 1) * BLOCK_GRANULES;
        while ends == 0 {
            at += 8;
            if at >= block_end {
                return Granules(block_end - granule);
            }
            ends = self.eight(at) & ENDS;
        }
        Granules(at + ends.trailing_zeros() as usize / 8 + 1 - granule)
    }

    /// The start of the small object that covers `granule`, if one does.
    pub fn start_of(&self, granule: usize) -> Option<usize> {
        let block_start = granule / BLOCK_GRANULES * BLOCK_GRANULES;
        let mut at = granule;
        loop {
            let meta = self.get(at);
            if meta.start().is_some() {
                return Some(at);
            }
            // An object that ended before `granule` does not cover it.
            if at == block_start || (at != granule && meta.ends()) {
                return None;
            }
            at -= 1;
        }
    }

    /// From `granule` on, the first granule below `end` whose byte is not zero, or `end`.
    #[inline]
    pub fn skip_zero(&self, granule: usize, end: usize) -> usize {
        if granule >= end {
            return end;
        }
        let mut at = granule & !7;
        let mut bytes = self.eight(at) & (!0 << (granule % 8 * 8));
        while bytes == 0 {
            at += 8;
            if at >= end {
                return end;
            }
            bytes = self.eight(at);
        }
        (at + bytes.trailing_zeros() as usize / 8).min(end)
    }

    /// Whether any object of this colour starts in the block.
    pub fn has_colour(&self, block: BlockIndex, colour: MarkColour) -> bool {
        let bytes = &self.0[block.granule()..block.granule() + BLOCK_GRANULES];
        // A shape the compiler turns into vector code: sixty-four bytes are judged without a branch.
        bytes.chunks_exact(64).any(|chunk| {
            chunk.iter().fold(false, |found, byte| {
                let byte = byte.load(Relaxed);
                found | ((byte & Kind::MASK != 0) & (byte & COLOUR == colour.bits()))
            })
        })
    }

    /// Sixty-four granules from `granule`, a multiple of 64, on: a bit for each at which an object of this colour starts, and
    /// one for each at which any object ends.
    #[inline]
    pub fn bitmaps(&self, granule: usize, colour: MarkColour) -> (u64, u64) {
        /// The highest bit of each byte, gathered.
        const fn gather(bytes: u64) -> u64 {
            ((bytes & ENDS) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
        }
        const BYTES: u64 = u64::from_ne_bytes([1; 8]);
        let (mut starts, mut ends) = (0, 0);
        for k in 0..8 {
            let bytes = self.eight(granule + 8 * k);
            // Per byte, without a carry into the next: a kind or a difference of colours that is not zero reaches 0x80.
            let has_kind = (bytes & (BYTES * Kind::MASK as u64)) + BYTES * 0x7f;
            let differs = ((bytes ^ (BYTES * colour.bits() as u64)) & (BYTES * COLOUR as u64)) + BYTES * 0x70;
            starts |= gather(has_kind & !differs) << (8 * k);
            ends |= gather(bytes) << (8 * k);
        }
        (starts, ends)
    }

    /// Of sixty-four granules from `granule`, a multiple of 64, on, declares those free whose bit is not set.
    #[inline]
    pub fn keep_only(&self, granule: usize, keep: u64) {
        if keep == !0 {
            return;
        }
        for (k, byte) in self.0[granule..granule + 64].iter().enumerate() {
            let mask = 0u8.wrapping_sub((keep >> k) as u8 & 1);
            byte.store(byte.load(Relaxed) & mask, Relaxed);
        }
    }

    /// Declares granules free.
    pub fn clear(&self, granule: usize, size: Granules) {
        for byte in &self.0[granule..granule + size.0] {
            byte.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> Metadata {
        Metadata::new(4 * BLOCK_GRANULES).unwrap()
    }

    #[test]
    fn objects_are_found_from_any_granule_they_cover() {
        let m = metadata();
        for (at, size) in [(0, 1), (1, 2), (3, 17), (30, 100), (BLOCK_GRANULES, 2048)] {
            m.record(at, Granules(size), Kind::UNIFORM, MarkColour::FIRST);
            assert_eq!(m.size(at), Granules(size));
            for covered in [at, at + size / 2, at + size - 1] {
                assert_eq!(m.start_of(covered), Some(at));
            }
        }
        for free in [20, 29, 130, BLOCK_GRANULES - 1, BLOCK_GRANULES + 2048, 2 * BLOCK_GRANULES] {
            assert_eq!(m.start_of(free), None, "granule {free}");
        }
    }

    #[test]
    fn painting_changes_the_colour_only() {
        let m = metadata();
        m.record(5, Granules(1), Kind::HEADED, MarkColour::FIRST);
        let black = MarkColour::FIRST.next();
        m.paint(5, m.get(5), black);
        let meta = m.get(5);
        assert_eq!((meta.start(), meta.colour(), meta.ends()), (Some(Kind::HEADED), black, true));
        assert!(m.has_colour(BlockIndex(0), black) && !m.has_colour(BlockIndex(0), MarkColour::FIRST));
        assert!(!m.has_colour(BlockIndex(1), MarkColour::FIRST), "free granules have no colour");
    }

    #[test]
    fn colours_come_round_after_eight() {
        let mut colour = MarkColour::FIRST;
        for _ in 0..7 {
            colour = colour.next();
            assert_ne!(colour, MarkColour::FIRST);
        }
        assert_eq!(colour.next(), MarkColour::FIRST);
    }

    #[test]
    fn zero_bytes_are_skipped_up_to_the_end() {
        let m = metadata();
        m.record(100, Granules(3), Kind::LEAF, MarkColour::FIRST);
        for (from, end, found) in
            [(0, 4096, 100), (99, 4096, 100), (0, 64, 64), (101, 4096, 102), (103, 4096, 4096)]
        {
            assert_eq!(m.skip_zero(from, end), found);
        }
        m.clear(100, Granules(3));
        assert_eq!(m.skip_zero(0, 4096), 4096);
    }
}
