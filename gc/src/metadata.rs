//! One byte a granule, outside the heap: what starts here, what colour it has, where it ends.
//!
//! ```text
//!   bit 7: an object ends in this granule     bits 4-6: colour     bits 0-3: kind; 0 = no object starts here
//! ```
//!
//! As in Nofl (Wingo, "Nofl: A Precise Immix", 2025) this is all there is to know about an object without looking at
//! it: allocation writes the first and the last byte, marking rewrites the colour, sweeping finds free runs. A free
//! granule's byte is zero, and so is that of a granule in the middle of an object.
//!
//! The table is shared with the workers. A mutator writes only bytes of granules it is allocating; a marker writes only
//! the first byte of objects of the snapshot; the two never meet.
//!
//! # Colours
//!
//! Two colours are of the living ([`Living`]): that of what was marked, and that of what is young. Everything else is dead and
//! waits to be swept. Marking paints what it reaches with the mark colour, which *sticks* (Demers et al., "Combining
//! Generational and Conservative Garbage Collection", 1990): a marked object is old. The young colour is what objects are
//! allocated with, and every snapshot begins a new one: what is older than the snapshot is to be marked or dies, what is
//! allocated meanwhile is passed by, and is what the next cycle calls young. A full cycle begins a new mark colour as well, so
//! that old objects have to be reached again.

use crate::error::Error;
use crate::kind::Kind;
use crate::sync::{AtomicU8, Ordering::Relaxed, mutation};
use crate::unit::{BLOCK_GRANULES, BlockIndex, Granules};
use crate::wide;
use palimpsest_runtime::Bytes;
use palimpsest_runtime::mapping::{Region, Shared};

const END: u8 = 0x80;
const COLOUR: u8 = 0x70;
const ENDS: u64 = u64::from_ne_bytes([END; 8]);

/// A colour.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Colour(u8);

impl Colour {
    /// Set in the colours of the young.
    const YOUNG: u8 = 0x40;
    /// What tells the four colours of either sort apart. A successful cycle leaves one of each in use; a failed one adds one of
    /// each, and after two of those the collector marks in the stopped world, which cannot fail.
    const NUMBER: u8 = 0x30;

    /// The next colour of the same sort, which no object has.
    const fn next(self) -> Self {
        Self((self.0 & Self::YOUNG) | ((self.0 + 0x10) & Self::NUMBER))
    }

    /// As it stands in the metadata.
    #[inline(always)]
    pub const fn bits(self) -> u8 {
        self.0
    }
}

/// The colours of the living.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Living {
    /// Of what was marked.
    pub marked: Colour,
    /// Of what was allocated since the last snapshot.
    pub young: Colour,
}

impl Living {
    /// The colours of a new heap.
    pub const FIRST: Self = Self { marked: Colour(0), young: Colour(Colour::YOUNG) };

    /// Whether an object with this byte is alive, as far as is known.
    #[inline(always)]
    pub const fn has(self, meta: Meta) -> bool {
        let colour = meta.0 & COLOUR;
        colour == self.marked.0 || colour == self.young.0
    }

    /// At a snapshot: all that is young is to be marked.
    pub const fn age(self) -> Self {
        Self { young: self.young.next(), ..self }
    }

    /// At a snapshot: everything is to be marked.
    pub const fn renew(self) -> Self {
        Self { marked: self.marked.next(), young: self.young.next() }
    }

    /// As a number.
    pub const fn pack(self) -> u16 {
        u16::from_be_bytes([self.marked.0, self.young.0])
    }

    /// From the number.
    #[inline(always)]
    pub const fn unpack(packed: u16) -> Self {
        let [marked, young] = packed.to_be_bytes();
        Self { marked: Colour(marked), young: Colour(young) }
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
    pub const fn colour(self) -> Colour {
        Colour(self.0 & COLOUR)
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

    /// Gives back what the table occupies for these granules, all of them free: they stay so.
    pub fn release(&self, from: usize, to: usize) {
        self.0.release(from, to);
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
    pub fn record(&self, granule: usize, size: Granules, kind: Kind, colour: Colour) {
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
    pub fn record_large(&self, granule: usize, kind: Kind, colour: Colour) {
        self.0[granule].store(kind.bits() | colour.bits(), Relaxed);
    }

    /// Gives an object a colour. `meta` is what its first byte was seen to be.
    #[inline(always)]
    pub fn paint(&self, granule: usize, meta: Meta, colour: Colour) {
        // A plain store: there is one marker.
        self.0[granule].store(meta.0 & !COLOUR | colour.bits(), Relaxed);
    }

    /// The same among several markers. Whether it was this one that did it.
    #[inline(always)]
    pub fn claim(&self, granule: usize, meta: Meta, colour: Colour) -> bool {
        if mutation!("metadata: claimed by a look and a store") {
            let is_first = self.get(granule).colour() != colour;
            self.paint(granule, meta, colour);
            return is_first;
        }
        // Relaxed: what a byte says of its object does not change, and the object is read by way of the snapshot.
        Meta(self.0[granule].swap(meta.0 & !COLOUR | colour.bits(), Relaxed)).colour() != colour
    }

    /// Eight granules' bytes at once, the first in the lowest bits of a little-endian word. `granule` is a multiple of 8.
    #[inline(always)]
    fn eight(&self, granule: usize) -> u64 {
        wide::eight(&self.0, granule)
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

    /// The same for an object that starts with this byte, if it occupies few granules. For a marker, which has written to bytes
    /// around a moment ago: looking at eight at once would wait until those writes have left the processor.
    #[inline(always)]
    pub fn size_of_few(&self, granule: usize, meta: Meta) -> Option<Granules> {
        if meta.ends() {
            return Some(Granules(1));
        }
        let ends = |k: &usize| self.0.get(granule + k).is_some_and(|byte| Meta(byte.load(Relaxed)).ends());
        (1..4).find(ends).map(|k| Granules(k + 1))
    }

    /// The start of the small object that covers `granule`, if one does.
    pub fn start_of(&self, granule: usize) -> Option<usize> {
        let block_start = granule / BLOCK_GRANULES * BLOCK_GRANULES;
        let mut at = granule;
        loop {
            let meta = self.get(at);
            // An object that ended before `granule` does not cover it.
            if at != granule && meta.ends() {
                return None;
            }
            if meta.start().is_some() {
                return Some(at);
            }
            if at == block_start {
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

    /// Whether any living object starts in the block, and whether any young one does.
    pub fn has_living(&self, block: BlockIndex, living: Living) -> (bool, bool) {
        let bytes = &self.0[block.granule()..block.granule() + BLOCK_GRANULES];
        let (mut any, mut young) = (false, false);
        for chunk in bytes.chunks_exact(64) {
            // A shape the compiler turns into vector code: sixty-four bytes are judged without a branch.
            let found = chunk.iter().fold((false, false), |(any, young), byte| {
                let byte = byte.load(Relaxed);
                let is_start = byte & Kind::MASK != 0;
                let is_young = byte & COLOUR == living.young.bits();
                let is_marked = byte & COLOUR == living.marked.bits();
                (any | (is_start & (is_young | is_marked)), young | (is_start & is_young))
            });
            (any, young) = (any | found.0, young | found.1);
            if any & young {
                break;
            }
        }
        (any, young)
    }

    /// Sixty-four granules from `granule`, a multiple of 64, on: a bit for each at which a living object starts, and one for
    /// each at which any object ends.
    #[inline]
    pub fn bitmaps(&self, granule: usize, living: Living) -> (u64, u64) {
        let (mut starts, mut ends) = (0, 0);
        for k in 0..8 {
            let bytes = self.eight(granule + 8 * k);
            let dead = differs(bytes, living.marked) & differs(bytes, living.young);
            starts |= gather(has_kind(bytes) & !dead) << (8 * k);
            ends |= gather(bytes) << (8 * k);
        }
        (starts, ends)
    }

    /// Of sixty-four granules from `granule`, a multiple of 64, on: a bit for each at which a marked object starts.
    #[inline]
    pub fn marked(&self, granule: usize, living: Living) -> u64 {
        (0..8).fold(0, |starts, k| {
            let bytes = self.eight(granule + 8 * k);
            starts | gather(has_kind(bytes) & !differs(bytes, living.marked)) << (8 * k)
        })
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

const BYTES: u64 = u64::from_ne_bytes([1; 8]);

/// The highest bit of each byte, gathered.
#[inline(always)]
const fn gather(bytes: u64) -> u64 {
    ((bytes & ENDS) >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// In the highest bit of each byte: whether an object starts there. Without a carry into the next byte: a kind that is not
/// zero reaches 0x80.
#[inline(always)]
const fn has_kind(bytes: u64) -> u64 {
    (bytes & (BYTES * Kind::MASK as u64)) + BYTES * 0x7f
}

/// The same: whether it has another colour.
#[inline(always)]
const fn differs(bytes: u64, colour: Colour) -> u64 {
    ((bytes ^ (BYTES * colour.bits() as u64)) & (BYTES * COLOUR as u64)) + BYTES * 0x70
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
            m.record(at, Granules(size), Kind::UNIFORM, Living::FIRST.young);
            assert_eq!(m.size(at), Granules(size));
            for covered in [at, at + size / 2, at + size - 1] {
                assert_eq!(m.start_of(covered), Some(at));
            }
        }
        m.record(140, Granules(1), Kind::UNIFORM, Living::FIRST.young);
        for free in [20, 29, 130, 141, 150, BLOCK_GRANULES - 1, BLOCK_GRANULES + 2048, 2 * BLOCK_GRANULES] {
            assert_eq!(m.start_of(free), None, "granule {free}");
        }
    }

    #[test]
    fn painting_changes_the_colour_only() {
        let m = metadata();
        let born = Living::FIRST;
        m.record(5, Granules(1), Kind::HEADED, born.young);
        assert_eq!(m.has_living(BlockIndex(0), born), (true, true));
        let later = born.age();
        assert_eq!((later.has(m.get(5)), m.has_living(BlockIndex(0), later)), (false, (false, false)));
        m.paint(5, m.get(5), later.marked);
        let meta = m.get(5);
        assert_eq!((meta.start(), meta.colour(), meta.ends()), (Some(Kind::HEADED), later.marked, true));
        assert!(later.has(meta) && m.has_living(BlockIndex(0), later) == (true, false));
        assert!(!later.renew().has(meta), "a full cycle has to find it again");
        assert_eq!(m.has_living(BlockIndex(1), later), (false, false), "free granules have no colour");
    }

    #[test]
    fn colours_come_round_after_four_and_do_not_mix() {
        let (mut living, mut seen) = (Living::FIRST, Vec::new());
        for _ in 0..4 {
            assert!(!seen.contains(&living.marked) && !seen.contains(&living.young));
            seen.extend([living.marked, living.young]);
            assert_eq!(Living::unpack(living.pack()), living);
            living = living.renew();
        }
        assert_eq!(living, Living::FIRST);
    }

    #[test]
    fn zero_bytes_are_skipped_up_to_the_end() {
        let m = metadata();
        m.record(100, Granules(3), Kind::LEAF, Living::FIRST.young);
        for (from, end, found) in
            [(0, 4096, 100), (99, 4096, 100), (0, 64, 64), (101, 4096, 102), (103, 4096, 4096)]
        {
            assert_eq!(m.skip_zero(from, end), found);
        }
        m.clear(100, Granules(3));
        assert_eq!(m.skip_zero(0, 4096), 4096);
    }
}
