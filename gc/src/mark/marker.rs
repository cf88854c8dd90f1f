//! One marker: its queues, and what goes through them.

use super::packets::{PACKET, PacketIndex};
use super::source::Source;
use super::tally::Tally;
use super::team::{Seat, Team};
use crate::core::Core;
use crate::embedder::Embedder;
use crate::kind::Kind;
use crate::metadata::Living;
use crate::roots::RootVisitor;
use crate::weak::Pending;
use palimpsest_runtime::Address;
use palimpsest_runtime::sys::clock;
use palimpsest_runtime::worker::Member;
use std::sync::atomic::Ordering::Relaxed;

/// Entries in each of the two queues: enough to cover a miss of the last cache, few enough to stay in the first.
pub(super) const AHEAD: usize = 16;

/// Objects scanned between two signs of life.
const SIGN: u64 = 1024;

/// Objects scanned between two looks at the others: few enough that nobody waits for long, many enough to cost nothing.
pub(super) const LOOK: u64 = 128;

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
    pub(super) fn new(granule: usize, kind: u8) -> Self {
        Self((granule as u64) << 4 | u64::from(kind))
    }

    #[inline(always)]
    pub(super) fn granule(self) -> usize {
        (self.0 >> 4) as usize
    }

    #[inline(always)]
    pub(super) fn kind(self) -> u8 {
        self.0 as u8 & Kind::MASK
    }
}

/// A marker over one source.
pub(crate) struct Marker<'a, E, S> {
    pub(super) core: &'a Core<E>,
    pub(super) source: &'a S,
    pub(super) living: Living,
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
    pub(super) scanned: u64,
    /// When to stop, on the monotonic clock in nanoseconds, and whether that moment has come.
    deadline: Option<u64>,
    pub(super) late: bool,
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
    pub(super) fn look_up(&mut self) {
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
        self.tally.granules += match self.core.metadata.size_of_few(granule, meta) {
            Some(size) => size.0 as u64,
            None => self.core.size_at(granule).0 as u64,
        };
        if kind != Kind::LEAF {
            self.push(Entry::new(granule, kind.bits()));
        }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, entry: Entry) {
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
