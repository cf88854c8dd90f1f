//! Scanning: from one object to what it refers to, as its kind says.
//!
//! An object's words come from the marker's source, a batch at a time. A large object is scanned in pieces, so that others get
//! their turn, and other markers their share.

use super::marker::{Entry, LOOK, Marker};
use super::native::{Frozen, Told, Tracer};
use super::source::Source;
use crate::embedder::Embedder;
use crate::kind::{Kind, Layout};
use crate::metadata::Meta;
use crate::roots::RootVisitor;
use crate::unit::{BLOCK_GRANULES, BlockIndex, GRANULE, Granules, SMALL_MAX};
use palimpsest_runtime::Address;

/// Words that are loaded at a time.
pub(super) const BATCH: usize = 64;

/// Words of most objects that have a mask.
const FEW: usize = 8;

/// Granules of a large object that are scanned before others get their turn. No small object is longer: where a piece
/// belongs to can only be told of large ones.
const PIECE: Granules = Granules::for_bytes(SMALL_MAX);

impl<E: Embedder, S: Source> Marker<'_, E, S> {
    /// Scans the marked objects of blocks for which packets ran out. Whether there were any.
    #[cold]
    pub(super) fn rescan(&mut self) -> bool {
        let (mut from, mut found) = (0, false);
        while let Some(block) = self.core.packets.take_rescan(from) {
            self.attends |= self.core.weak.kept.has_begun();
            self.rescan_block(block);
            self.tally.rescanned += 1;
            // On from the next block: what could not be queued is tried again when packets are empty.
            (from, found) = (block.0 + 1, true);
        }
        found
    }

    /// The kind of an object that is marked and can hold references.
    #[inline]
    pub(super) fn marked(&self, meta: Meta) -> Option<Kind> {
        meta.start().filter(|kind| *kind != Kind::LEAF && meta.colour() == self.living.marked)
    }

    fn rescan_block(&mut self, block: BlockIndex) {
        let (start, end) = (block.granule(), block.granule() + BLOCK_GRANULES);
        if self.core.blocks.large_head(block).is_some() {
            let meta = self.core.metadata.get(start);
            // A tail's granules have no kind: it was a piece of the object that could not be queued.
            self.scan(Entry::new(start, meta.start().map_or(0, Kind::bits)));
            return;
        }
        let mut at = start;
        while at < end {
            at = self.core.metadata.skip_zero(at, end);
            if at == end {
                break;
            }
            let meta = self.core.metadata.get(at);
            // In a cycle of the young old objects have the colour as well: that costs time and does no harm.
            if let Some(kind) = self.marked(meta) {
                self.scan(Entry::new(at, kind.bits()));
            }
            // Not by the object's size: one that is being recorded this moment may not have its end yet.
            at += 1;
        }
    }

    pub(super) fn layout_at(&self, granule: usize, kind: Kind) -> Layout {
        match kind {
            Kind::UNIFORM | Kind::CONSERVATIVE => Layout::words(),
            Kind::HEADED => {
                let mut header = [0];
                self.source.load(self.core.geometry.address(granule), &mut header);
                self.core.embedder.layout(header[0])
            }
            kind => kind.layout().map_or(Layout::leaf(), |k| self.core.layout(k)),
        }
    }

    /// Discovers what an object refers to.
    #[inline(always)]
    pub(super) fn scan(&mut self, entry: Entry) {
        self.scanned += 1;
        if self.scanned.is_multiple_of(LOOK) {
            self.look_up();
        }
        let granule = entry.granule();
        let kind = Kind::from_bits(entry.kind());
        match kind.layout() {
            Some(k) => self.scan_layout(granule, self.core.layout(k)),
            None => self.scan_other(granule, kind),
        }
    }

    #[inline(always)]
    fn scan_layout(&mut self, granule: usize, layout: Layout) {
        let bits = layout.bits();
        // Room for few words is cleared faster than for many.
        if bits >> FEW == 0 {
            self.scan_mask::<FEW>(granule, bits);
        } else {
            self.scan_mask::<64>(granule, bits);
        }
        if let Some(from) = layout.tail() {
            self.scan_words(granule, from, true);
        } else if let Some(id) = layout.native_id() {
            self.scan_native(granule, id);
        }
    }

    /// Scans the words whose bits are set, of the object's first `N`.
    #[inline(always)]
    fn scan_mask<const N: usize>(&mut self, granule: usize, mut bits: u64) {
        if bits == 0 {
            return;
        }
        // A layout may name more words than this object has. A large object has no end in its metadata and counts
        // as a block here, which is more than a mask can name.
        let words = 64 - bits.leading_zeros() as usize;
        let has =
            if words <= GRANULE / 8 { words } else { words.min(self.core.metadata.size(granule).0 * 2) };
        let mut buffer = [0u64; N];
        self.source.load(self.core.geometry.address(granule), &mut buffer[..has]);
        if has < words {
            bits &= (1 << has) - 1;
        }
        while bits != 0 {
            let word = buffer[bits.trailing_zeros() as usize % N];
            bits &= bits - 1;
            if let Some(object) = self.core.embedder.decode(word) {
                self.discover(object);
            }
        }
    }

    /// Has the embedder find what an object refers to.
    #[cold]
    pub(super) fn scan_native(&mut self, granule: usize, id: u16) {
        let (core, source) = (self.core, self.source);
        let object = Frozen::new(core.geometry.address(granule), core.size_at(granule).0 * 2, source);
        core.embedder.trace(id, &object, &mut Tracer::new(self));
    }

    #[cold]
    fn scan_other(&mut self, granule: usize, kind: Kind) {
        match kind {
            Kind::UNIFORM => self.scan_words(granule, 0, true),
            Kind::CONSERVATIVE => self.scan_words(granule, 0, false),
            Kind::HEADED => {
                let mut header = [0];
                self.source.load(self.core.geometry.address(granule), &mut header);
                self.scan_layout(granule, self.core.embedder.layout(header[0]));
            }
            Kind::LEAF => {}
            // A piece of a large object.
            _ => {
                let start = self.core.blocks.large_head(self.core.geometry.block_of(granule));
                let Some(start) = start.map(BlockIndex::granule) else { return };
                let kind = self.core.metadata.get(start).start();
                self.scan_words(start, (granule - start) * 2, kind != Some(Kind::CONSERVATIVE));
            }
        }
    }

    /// Scans the object's words from `from` on; of a large object a piece, and queues the rest.
    fn scan_words(&mut self, granule: usize, from: usize, precise: bool) {
        let size = self.core.size_at(granule).0 * 2;
        let mut end = size;
        if size - from.min(size) > 2 * PIECE.0 {
            // Pieces begin at a granule, since that is what an entry can say.
            end = (from + 2 * PIECE.0) & !1;
            self.push(Entry::new(granule + end / 2, 0));
            if let Some(seat) = self.seat {
                self.look_around(seat);
            }
        }
        let mut buffer = [0u64; BATCH];
        let mut at = from;
        while at < end {
            let words = &mut buffer[..BATCH.min(end - at)];
            let n = words.len();
            self.source.load(self.core.geometry.address(granule).add(at * 8), words);
            for &word in &buffer[..n] {
                if !precise {
                    self.word(word);
                } else if let Some(object) = self.core.embedder.decode(word) {
                    self.discover(object);
                }
            }
            at += n;
        }
    }
}

impl<E: Embedder, S: Source> Told for Marker<'_, E, S> {
    fn precise(&mut self, object: Address) {
        self.scanned += 1;
        if self.scanned.is_multiple_of(LOOK) {
            self.look_up();
        }
        self.discover(object);
    }

    fn coded(&mut self, word: u64) {
        if let Some(object) = self.core.embedder.decode(word) {
            self.precise(object);
        }
    }

    fn conservative(&mut self, word: u64) {
        RootVisitor::word(self, word);
    }

    fn goes_on(&mut self) -> bool {
        self.now_and_then();
        !self.late
    }
}
