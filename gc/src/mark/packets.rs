//! Packets of references in shared memory, for any number of markers in any process.
//!
//! A packet belongs to the marker that took it, or it is on one of two lists: the full ones, or the free ones. The lists
//! are stacks linked by index; their heads carry a count that changes with every operation, so that a compare-and-swap
//! cannot mistake a packet that left and came back (ABA).

use crate::error::Error;
pub(crate) use crate::sizes::PACKET;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering, mutation};
use crate::unit::BlockIndex;
use palimpsest_runtime::Bytes;
use palimpsest_runtime::mapping::{Region, Shared};

/// Bytes of a packet.
pub(crate) const PACKET_BYTES: usize = (PACKET + 2) * 8;

/// A packet by its index.
pub(crate) type PacketIndex = u32;

const NEXT: usize = PACKET;
const LEN: usize = PACKET + 1;

/// Heads, in a table that is shared: the full list, the free list, and how many packets were ever used.
const FULL: usize = 0;
const FREE: usize = 1;
const FRESH: usize = 2;

/// In the word that says whether packets ran out.
const EVER: u32 = 1;
const NOW: u32 = 2;

/// All packets of a heap, and the blocks that have to be scanned again.
#[derive(Debug)]
pub(crate) struct Packets {
    packets: Shared<[AtomicU64; PACKET + 2]>,
    heads: Shared<AtomicU64>,
    /// Blocks with marked objects that no packet had room for.
    rescan: Shared<AtomicU8>,
    /// Whether there was such a block in this cycle, and whether there may be one now.
    overflowed: Shared<AtomicU32>,
}

impl Packets {
    pub(crate) fn new(packets: usize, blocks: u32) -> Result<Self, Error> {
        Ok(Self {
            packets: Shared::scratch("palimpsest-packets", packets)?,
            heads: Shared::scratch("palimpsest-packet-lists", 3)?,
            rescan: Shared::scratch("palimpsest-rescan", blocks as usize)?,
            overflowed: Shared::scratch("palimpsest-overflow", 1)?,
        })
    }

    /// Where the tables are, for workers.
    pub(crate) fn regions(&self) -> [Region<'_>; 4] {
        [self.packets.region(), self.heads.region(), self.rescan.region(), self.overflowed.region()]
    }

    /// Makes all packets free. No marker is at work.
    pub(crate) fn reset(&self) {
        let used = self.heads[FRESH].swap(0, Ordering::Relaxed) as usize;
        self.heads[FULL].store(0, Ordering::Relaxed);
        self.heads[FREE].store(0, Ordering::Relaxed);
        // A mebibyte stays for the next cycle.
        self.packets.release((1 << 20) / PACKET_BYTES, used);
        if self.overflowed[0].swap(0, Ordering::Relaxed) != 0 {
            for flag in self.rescan.iter() {
                flag.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Gives back all memory of packets; no marker is at work, and [`Packets::reset`] comes before the next.
    pub(crate) fn release(&self) {
        self.packets.release(0, self.packets.len());
    }

    /// Memory that packets occupy.
    pub(crate) fn populated(&self) -> Bytes {
        self.packets.populated()
    }

    /// The entries of a packet that the caller has taken.
    #[inline(always)]
    pub(crate) fn entries(&self, packet: PacketIndex) -> &[AtomicU64; PACKET + 2] {
        &self.packets[packet as usize]
    }

    /// A packet to fill, if there is one.
    pub(crate) fn take_empty(&self) -> Option<PacketIndex> {
        if let Some(packet) = self.pop(FREE) {
            return Some(packet);
        }
        let fresh = self.heads[FRESH].fetch_add(1, Ordering::Relaxed);
        if (fresh as usize) < self.packets.len() {
            return Some(fresh as PacketIndex);
        }
        self.heads[FRESH].store(self.packets.len() as u64, Ordering::Relaxed);
        None
    }

    /// A packet with entries, and how many.
    pub(crate) fn take_full(&self) -> Option<(PacketIndex, usize)> {
        let packet = self.pop(FULL)?;
        Some((packet, self.entries(packet)[LEN].load(Ordering::Relaxed) as usize))
    }

    /// Whether there is a packet with entries to take.
    #[inline]
    pub(crate) fn has_full(&self) -> bool {
        // SeqCst: among markers that wait, the look comes after what they have told others. See `team` and `Crew::rest`.
        self.heads[FULL].load(Ordering::SeqCst) as u32 != 0
    }

    /// Passes on a packet with `len` entries to whoever takes it.
    pub(crate) fn put_full(&self, packet: PacketIndex, len: usize) {
        self.entries(packet)[LEN].store(len as u64, Ordering::Relaxed);
        self.push(FULL, packet);
    }

    /// Gives back a packet without entries.
    pub(crate) fn put_empty(&self, packet: PacketIndex) {
        self.push(FREE, packet);
    }

    fn push(&self, list: usize, packet: PacketIndex) {
        let mut head = self.heads[list].load(Ordering::Relaxed);
        loop {
            self.entries(packet)[NEXT].store(head & 0xffff_ffff, Ordering::Relaxed);
            let new = next_count(head) | u64::from(packet + 1);
            // Release: whoever takes the packet sees its entries. Pairs with the acquire in `pop`.
            match self.heads[list].compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => head = seen,
            }
        }
    }

    fn pop(&self, list: usize) -> Option<PacketIndex> {
        let mut head = self.heads[list].load(Ordering::Acquire);
        loop {
            let packet = (head as u32).checked_sub(1)?;
            // May be out of date, if another marker took the packet meanwhile: then the count has changed.
            let next = self.entries(packet)[NEXT].load(Ordering::Relaxed);
            let new = next_count(head) | (next & 0xffff_ffff);
            // Release too: whoever finds the list empty sees that this marker has begun to work. See `team`.
            match self.heads[list].compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(packet),
                Err(seen) => head = seen,
            }
        }
    }

    /// Notes that a marked object of this block could not be queued.
    #[cold]
    pub(crate) fn note_overflow(&self, block: BlockIndex) {
        self.rescan[block.0 as usize].store(1, Ordering::Release);
        // Release: whoever sees this sees the block's flag. Pairs with `take_rescan`.
        self.overflowed[0].store(EVER | NOW, Ordering::Release);
    }

    /// A block whose marked objects have to be scanned again, from `from` on. The caller, who is the only one to do so, takes that
    /// over. It begins with 0, goes on behind the block that it got, and when there is none begins again.
    pub(crate) fn take_rescan(&self, from: u32) -> Option<BlockIndex> {
        // What is noted behind the one who looks is noted here again, for the next time.
        if from == 0
            && (self.overflowed[0].load(Ordering::Relaxed) & NOW == 0
                || self.overflowed[0].swap(EVER, Ordering::Acquire) & NOW == 0)
        {
            return None;
        }
        let flagged =
            |flag: &AtomicU8| flag.load(Ordering::Relaxed) != 0 && flag.swap(0, Ordering::AcqRel) != 0;
        let k = self.rescan.get(from as usize..)?.iter().position(flagged)?;
        Some(BlockIndex(from + k as u32))
    }
}

/// The count of a head, one further.
#[inline]
fn next_count(head: u64) -> u64 {
    if mutation!("packets: heads do not count") {
        return head >> 32 << 32;
    }
    ((head >> 32) + 1) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_bounded_and_come_back() {
        let packets = Packets::new(2, 4).unwrap();
        let (a, b) = (packets.take_empty().unwrap(), packets.take_empty().unwrap());
        assert_eq!(packets.take_empty(), None);
        packets.put_full(a, 7);
        packets.put_full(b, 8);
        assert_eq!(
            (packets.take_full(), packets.take_full(), packets.take_full()),
            (Some((b, 8)), Some((a, 7)), None)
        );
        packets.put_empty(a);
        assert_eq!(packets.take_empty(), Some(a));
        packets.reset();
        assert_eq!((packets.take_empty(), packets.take_full()), (Some(0), None));
    }

    #[test]
    fn no_packet_is_lost_or_doubled_between_threads() {
        let packets = Packets::new(64, 1).unwrap();
        for _ in 0..64 {
            packets.take_empty().unwrap();
        }
        for k in 0..64 {
            packets.put_full(k, 1);
        }
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..20_000 {
                        if let Some((packet, len)) = packets.take_full() {
                            let held = &packets.entries(packet)[0];
                            assert_eq!(held.swap(1, Ordering::SeqCst), 0, "two have the packet");
                            held.store(0, Ordering::SeqCst);
                            packets.put_full(packet, len);
                        }
                    }
                });
            }
        });
        let mut left: Vec<_> = std::iter::from_fn(|| packets.take_full()).map(|(p, _)| p).collect();
        left.sort_unstable();
        assert_eq!(left, (0..64).collect::<Vec<_>>());
    }

    #[test]
    fn overflow_is_noted_by_block() {
        let packets = Packets::new(1, 100).unwrap();
        assert_eq!(packets.take_rescan(0), None);
        packets.note_overflow(BlockIndex(40));
        packets.note_overflow(BlockIndex(90));
        assert_eq!(packets.take_rescan(0), Some(BlockIndex(40)));
        // Behind the one who looks, and before.
        packets.note_overflow(BlockIndex(10));
        assert_eq!((packets.take_rescan(41), packets.take_rescan(91)), (Some(BlockIndex(90)), None));
        assert_eq!((packets.take_rescan(0), packets.take_rescan(11)), (Some(BlockIndex(10)), None));
        packets.note_overflow(BlockIndex(3));
        packets.reset();
        assert!(packets.rescan.iter().all(|flag| flag.load(Ordering::Relaxed) == 0));
    }
}
