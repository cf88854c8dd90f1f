//! One marker.

use super::native::{Frozen, Told, Tracer};
use super::packets::{PACKET, PacketIndex};
use super::source::Source;
use super::team::{Seat, Team};
use crate::core::Core;
use crate::embedder::Embedder;
use crate::kind::{Kind, Layout};
use crate::metadata::{Living, Meta};
use crate::roots::RootVisitor;
use crate::space::BlockState;
use crate::unit::{BLOCK_GRANULES, BlockIndex, GRANULE, Granules, SMALL_MAX};
use crate::weak::Pending;
use palimpsest_runtime::sys::clock;
use palimpsest_runtime::worker::Member;
use palimpsest_runtime::{Address, PAGE_SIZE, PageIndex};
use std::sync::atomic::Ordering::Relaxed;

/// Entries in each of the two queues: enough to cover a miss of the last cache, few enough to stay in the first.
pub(super) const AHEAD: usize = 16;

/// Words that are loaded at a time.
const BATCH: usize = 64;

/// Granules of a large object that are scanned before others get their turn. No small object is longer: where a piece
/// belongs to can only be told of large ones.
const PIECE: Granules = Granules::for_bytes(SMALL_MAX);

/// Objects scanned between two signs of life.
const SIGN: u64 = 1024;

/// Objects scanned between two looks at the others: few enough that nobody waits for long, many enough to cost nothing.
const LOOK: u64 = 128;

/// Remembered pages between two signs of life, and looks at the deadline, at most.
const PAGES_BETWEEN_LOOKS: u32 = 16;

/// Granules of a page.
const PAGE_GRANULES: usize = PAGE_SIZE / GRANULE;

/// What a marker has done.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Tally {
    /// Objects marked.
    pub(crate) objects: u64,
    /// Granules they occupy.
    pub(crate) granules: u64,
    /// References, from precise places, to what is not an object: the embedder's mistake.
    pub(crate) stray: u64,
    /// Blocks scanned again because packets ran out.
    pub(crate) rescanned: u64,
    /// Old objects, and pieces of old large ones, that were scanned because of what may have been written to them.
    pub(crate) remembered: u64,
    /// Packets passed on to markers that had nothing to do.
    pub(crate) shared: u64,
}

impl Tally {
    /// How many figures it has.
    pub(crate) const FIGURES: usize = 6;

    /// As numbers, for shared memory.
    pub(crate) fn figures(self) -> [u64; Self::FIGURES] {
        [self.objects, self.granules, self.stray, self.rescanned, self.remembered, self.shared]
    }

    /// From the numbers.
    pub(crate) fn from_figures(figures: [u64; Self::FIGURES]) -> Self {
        let [objects, granules, stray, rescanned, remembered, shared] = figures;
        Self { objects, granules, stray, rescanned, remembered, shared }
    }

    /// The sum of two.
    pub(crate) fn with(self, other: Self) -> Self {
        let (a, b) = (self.figures(), other.figures());
        Self::from_figures(std::array::from_fn(|k| a[k] + b[k]))
    }
}

/// An object to scan, as it is queued: the granule it starts at and its kind. Or, without a kind, a place within a large
/// object from which to go on. 0 is none: the heap's first granule is never queued with kind 0.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) struct Entry(u64);

impl Entry {
    pub(super) const NONE: Self = Self(0);

    /// As it stands in a packet.
    #[inline(always)]
    pub(super) fn raw(self) -> u64 {
        self.0
    }

    #[inline(always)]
    fn new(granule: usize, kind: u8) -> Self {
        Self((granule as u64) << 4 | u64::from(kind))
    }

    #[inline(always)]
    fn granule(self) -> usize {
        (self.0 >> 4) as usize
    }

    #[inline(always)]
    fn kind(self) -> u8 {
        self.0 as u8 & Kind::MASK
    }
}

/// A marker over one source.
pub(crate) struct Marker<'a, E, S> {
    pub(super) core: &'a Core<E>,
    source: &'a S,
    living: Living,
    /// Granules, plus one, that may have an object to mark; their metadata is on its way. 0 is none.
    discovered: [usize; AHEAD],
    discovered_at: usize,
    /// Objects to scan whose contents are on their way.
    pub(super) fetched: [Entry; AHEAD],
    pub(super) fetched_at: usize,
    /// The packet that entries go to and come from, and how many it has.
    pub(super) packet: Option<PacketIndex>,
    pub(super) len: usize,
    /// An empty packet at hand, so that a stack that goes up and down around a boundary does not visit the lists.
    pub(super) spare: Option<PacketIndex>,
    pub(super) tally: Tally,
    scanned: u64,
    /// When to stop, on the monotonic clock in nanoseconds, and whether that moment has come.
    deadline: Option<u64>,
    late: bool,
    /// Whether to look at objects that are about to be painted: for the following, or to note which are kept.
    pub(crate) attends: bool,
    /// Ephemerons whose keys are not marked, once they have been looked at.
    pub(crate) pending: Option<Pending<'a>>,
    /// Where there may be other markers.
    pub(super) seat: Option<Seat<'a>>,
    /// Siblings that are gone and were taken over from, a bit each.
    pub(super) gone: u32,
}

impl<'a, E: Embedder, S: Source> Marker<'a, E, S> {
    /// A marker that paints with the heap's current mark colour.
    pub(crate) fn new(core: &'a Core<E>, source: &'a S) -> Self {
        Self {
            core,
            source,
            living: core.living(),
            discovered: [0; AHEAD],
            discovered_at: 0,
            fetched: [Entry::NONE; AHEAD],
            fetched_at: 0,
            packet: None,
            len: 0,
            spare: None,
            tally: Tally::default(),
            scanned: 0,
            deadline: None,
            late: false,
            attends: core.weak.kept.has_begun(),
            pending: None,
            seat: None,
            gone: 0,
        }
    }

    /// The same, but one that stops marking at a moment of the monotonic clock, in nanoseconds.
    pub(crate) fn until(core: &'a Core<E>, source: &'a S, deadline: u64) -> Self {
        Self { deadline: Some(deadline), ..Self::new(core, source) }
    }

    /// Whether it has stopped before all was marked.
    pub(crate) fn is_late(&self) -> bool {
        self.late
    }

    /// All is marked, however late it is.
    pub(crate) fn is_done(&mut self) {
        self.late = false;
    }

    /// The same, as one of several.
    pub(crate) fn among(mut self, team: &'a Team, member: &'a Member<'a>) -> Self {
        self.seat = member.crew().map(|_| Seat { team, member });
        self
    }

    /// Marks until nothing reachable from what was visited is left, here or with others.
    pub(crate) fn drain(&mut self) {
        loop {
            self.work();
            if self.late || (!self.rescan() && !self.wait_for_team()) {
                return;
            }
        }
    }

    /// Scans until nothing is left here or to be taken.
    pub(crate) fn work(&mut self) {
        while !self.late
            && let Some(entry) = self.next_entry()
        {
            self.scan(entry);
        }
    }

    /// The start of an object has been discovered.
    #[inline(always)]
    pub(crate) fn discover(&mut self, object: Address) {
        let Some(granule) = self.core.geometry.start_granule(object.as_usize()) else {
            self.tally.stray += 1;
            return;
        };
        self.discover_granule(granule);
    }

    /// A sign of life; and those who read weak references are not kept waiting for the end. Whether there were any.
    #[cold]
    pub(crate) fn now_and_then(&mut self) -> bool {
        self.look_at_clock();
        match self.seat {
            Some(seat) if !seat.leads() => {
                seat.member.advance();
                false
            }
            _ => {
                self.core.record.advance();
                self.take_weak_reads()
            }
        }
    }

    fn look_at_clock(&mut self) {
        self.late = self.deadline.is_some_and(|deadline| clock::monotonic_ns() >= deadline);
    }

    /// In the middle of a scan: looks at what others do, and more rarely gives a sign of life.
    #[cold]
    fn look_up(&mut self) {
        if let Some(seat) = self.seat {
            self.look_around(seat);
        }
        if self.scanned.is_multiple_of(SIGN) {
            self.now_and_then();
        }
    }

    /// Takes what was read through weak references. Whether there was any.
    pub(crate) fn take_weak_reads(&mut self) -> bool {
        let mut any = false;
        while let Some(granule) = self.core.weak_reads.pop() {
            self.discover_granule(granule);
            any = true;
        }
        any
    }

    /// There may be the start of an object at this granule.
    #[inline(always)]
    pub(super) fn discover_granule(&mut self, granule: usize) {
        prefetch(self.core.metadata.as_ptr().wrapping_add(granule));
        let slot = &mut self.discovered[self.discovered_at % AHEAD];
        let waiting = std::mem::replace(slot, granule + 1);
        self.discovered_at = self.discovered_at.wrapping_add(1);
        if waiting != 0 {
            self.mark(waiting - 1);
        }
    }

    /// Marks the object that starts here, unless it is marked, and queues it if it can hold references.
    #[inline(always)]
    fn mark(&mut self, granule: usize) {
        let meta = self.core.metadata.get(granule);
        let Some(kind) = meta.start() else {
            self.tally.stray += 1;
            return;
        };
        if self.living.has(meta) {
            return;
        }
        if self.attends {
            self.attend(granule);
        }
        if self.seat.is_none() {
            self.core.metadata.paint(granule, meta, self.living.marked);
        } else if !self.core.metadata.claim(granule, meta, self.living.marked) {
            return;
        }
        self.tally.objects += 1;
        // A small object ends in this granule or, mostly, in the next few; only then is it worth a look now.
        self.tally.granules += if meta.ends() { 1 } else { self.core.size_at(granule).0 as u64 };
        if kind != Kind::LEAF {
            self.push(Entry::new(granule, kind.bits()));
        }
    }

    #[inline(always)]
    fn push(&mut self, entry: Entry) {
        if self.len < PACKET
            && let Some(packet) = self.packet
        {
            self.core.packets.entries(packet)[self.len].store(entry.0, Relaxed);
            self.len += 1;
        } else {
            self.push_to_new_packet(entry);
        }
    }

    #[cold]
    fn push_to_new_packet(&mut self, entry: Entry) {
        let packets = &self.core.packets;
        let Some(fresh) = self.spare.take().or_else(|| packets.take_empty()) else {
            packets.note_overflow(self.core.geometry.block_of(entry.granule()));
            return;
        };
        if let Some(full) = self.packet.replace(fresh) {
            packets.put_full(full, self.len);
            if let Some(seat) = self.seat {
                seat.team.crew.ring();
            }
        }
        packets.entries(fresh)[0].store(entry.0, Relaxed);
        self.len = 1;
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<Entry> {
        if self.len == 0 && !self.take_packet() {
            return None;
        }
        self.len -= 1;
        let packet = self.packet?;
        Some(Entry(self.core.packets.entries(packet)[self.len].load(Relaxed)))
    }

    #[cold]
    pub(super) fn take_packet(&mut self) -> bool {
        let packets = &self.core.packets;
        let Some((full, len)) = packets.take_full() else { return false };
        self.attends |= self.core.weak.kept.has_begun();
        if let Some(empty) = self.packet.replace(full)
            && let Some(surplus) = self.spare.replace(empty)
        {
            packets.put_empty(surplus);
        }
        self.len = len;
        true
    }

    /// The next object to scan: its contents have been fetched for as long as the queue is.
    #[inline(always)]
    fn next_entry(&mut self) -> Option<Entry> {
        loop {
            let Some(entry) = self.pop() else { return self.last_entries() };
            prefetch(self.core.geometry.address(entry.granule()).as_ptr::<u8>());
            let slot = &mut self.fetched[self.fetched_at % AHEAD];
            let ready = std::mem::replace(slot, entry);
            self.fetched_at = self.fetched_at.wrapping_add(1);
            if ready != Entry::NONE {
                return Some(ready);
            }
        }
    }

    /// With all packets empty: what still waits in the queues.
    #[cold]
    fn last_entries(&mut self) -> Option<Entry> {
        for k in 0..AHEAD {
            let slot = &mut self.discovered[(self.discovered_at + k) % AHEAD];
            let waiting = std::mem::replace(slot, 0);
            if waiting != 0 {
                self.mark(waiting - 1);
            }
        }
        if let Some(entry) = self.pop() {
            return Some(entry);
        }
        let ready = self.fetched.iter_mut().find(|entry| **entry != Entry::NONE)?;
        Some(std::mem::replace(ready, Entry::NONE))
    }

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

    /// For a cycle of the young: discovers what old objects refer to that may have been written to since the last snapshot.
    pub(crate) fn visit_remembered(&mut self) {
        let (mut at, mut visited) = (0, 0);
        while !self.late
            && let Some(page) = self.core.remembered.next(at)
        {
            self.visit_page(page);
            // Packets hold what one page refers to, and what that reaches, and not what all do.
            self.work();
            at = page.0 + 1;
            visited += 1;
            if visited % PAGES_BETWEEN_LOOKS == 0 {
                self.now_and_then();
            }
        }
    }

    fn visit_page(&mut self, page: PageIndex) {
        let start = page.0 as usize * PAGE_GRANULES;
        let block = self.core.geometry.block_of(start);
        if self.core.blocks.get(block) == BlockState::Free {
            return;
        }
        if let Some(head) = self.core.blocks.large_head(block) {
            let object = head.granule();
            if let Some(kind) = self.marked(self.core.metadata.get(object)) {
                self.tally.remembered += 1;
                let layout = self.layout_at(object, kind);
                if let Some(id) = layout.native_id() {
                    // All of it, whatever part was written to: once.
                    let first = object / PAGE_GRANULES;
                    if self.core.remembered.next(first as u32) == Some(page) {
                        self.scan_native(object, id);
                    }
                    return;
                }
                let words = (start - object) * 2;
                self.scan_part(object, kind, layout, words, words + PAGE_SIZE / 8);
            }
            return;
        }
        // The object that reaches into the page is scanned with the page it begins in, or, where that was not written to, with
        // the first one after it that was.
        if let Some(object) = self.core.metadata.start_of(start)
            && object != start
            && !(object / PAGE_GRANULES..page.0 as usize)
                .any(|earlier| self.core.remembered.has(PageIndex(earlier as u32)))
        {
            self.visit_old(object);
        }
        for at in (start..start + PAGE_GRANULES).step_by(64) {
            let mut marked = self.core.metadata.marked(at, self.living);
            while marked != 0 {
                self.visit_old(at + marked.trailing_zeros() as usize);
                marked &= marked - 1;
            }
        }
    }

    /// Scans what starts here, if it is old.
    fn visit_old(&mut self, granule: usize) {
        if let Some(kind) = self.marked(self.core.metadata.get(granule)) {
            self.tally.remembered += 1;
            self.scan(Entry::new(granule, kind.bits()));
        }
    }

    /// Scans an old object, whether its pages were written to or not: it has references outside of the heap.
    pub(crate) fn visit_external(&mut self, object: Address) {
        if let Some(granule) = self.core.geometry.start_granule(object.as_usize()) {
            self.visit_old(granule);
        }
    }

    fn layout_at(&self, granule: usize, kind: Kind) -> Layout {
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

    /// Scans those of an object's words that lie in a part of it.
    fn scan_part(&mut self, granule: usize, kind: Kind, layout: Layout, from: usize, to: usize) {
        let to = to.min(self.core.size_at(granule).0 * 2);
        let mut buffer = [0u64; BATCH];
        let mut at = from;
        while at < to {
            let words = &mut buffer[..BATCH.min(to - at)];
            let n = words.len();
            self.source.load(self.core.geometry.address(granule).add(at * 8), words);
            for (k, &word) in buffer[..n].iter().enumerate() {
                if !layout.has(at + k) {
                } else if kind == Kind::CONSERVATIVE {
                    self.word(word);
                } else if let Some(object) = self.core.embedder.decode(word) {
                    self.discover(object);
                }
            }
            at += n;
        }
    }

    /// Discovers what an object refers to.
    #[inline(always)]
    fn scan(&mut self, entry: Entry) {
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
        let mut bits = layout.bits();
        if bits != 0 {
            // A layout may name more words than this object has. A large object has no end in its metadata and counts
            // as a block here, which is more than a mask can name.
            let words = 64 - bits.leading_zeros() as usize;
            let has =
                if words <= GRANULE / 8 { words } else { words.min(self.core.metadata.size(granule).0 * 2) };
            let mut buffer = [0u64; BATCH];
            self.source.load(self.core.geometry.address(granule), &mut buffer[..has]);
            if has < words {
                bits &= (1 << has) - 1;
            }
            while bits != 0 {
                let word = buffer[bits.trailing_zeros() as usize % BATCH];
                bits &= bits - 1;
                if let Some(object) = self.core.embedder.decode(word) {
                    self.discover(object);
                }
            }
        }
        if let Some(from) = layout.tail() {
            self.scan_words(granule, from, true);
        } else if let Some(id) = layout.native_id() {
            self.scan_native(granule, id);
        }
    }

    /// Has the embedder find what an object refers to.
    #[cold]
    fn scan_native(&mut self, granule: usize, id: u16) {
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

impl<E: Embedder, S: Source> RootVisitor for Marker<'_, E, S> {
    fn goes_on(&mut self) -> bool {
        self.look_at_clock();
        !self.late
    }

    fn object(&mut self, start: Address) {
        self.discover(start);
    }

    #[inline]
    fn word(&mut self, word: u64) {
        if let Some(granule) = self.core.find_object(word as usize) {
            self.discover_granule(granule);
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

/// Asks for a cache line. The address need not be mapped: a prefetch does not fault.
#[inline(always)]
fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect but on the cache.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a prefetch has no effect but on the cache.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) at, options(nostack, readonly, preserves_flags));
    }
}
