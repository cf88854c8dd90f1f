//! A marker among others: passing work on, waiting for it, and taking it over from one that died. See [`team`](super::team).

use super::marker::{AHEAD, Entry, Marker};
use super::packets::PACKET;
use super::source::Source;
use super::team::Seat;
use super::waiting::{Leader, Sibling};
use crate::embedder::Embedder;
use crate::space::BlockState;
use crate::unit::BlockIndex;
use palimpsest_runtime::sys::clock;
use palimpsest_runtime::worker::MAX_WORKERS;
use std::sync::atomic::Ordering::Relaxed;

impl<E: Embedder, S: Source> Marker<'_, E, S> {
    /// Among others: in the middle of a scan, with the entry being scanned in hand. If somebody has nothing to do and there is
    /// nothing to take, gives away half of what waits here, the oldest, which as a rule leads to most.
    #[cold]
    pub(super) fn look_around(&mut self, seat: Seat<'_>) {
        seat.member.step();
        if seat.team.is_anyone_idle() && !self.core.packets.has_full() {
            self.give(seat);
        }
    }

    #[cold]
    fn give(&mut self, seat: Seat<'_>) {
        let packets = &self.core.packets;
        let waiting = self.fetched.iter().filter(|entry| **entry != Entry::NONE).count();
        if self.len == 0 && waiting == 0 {
            return;
        }
        let Some(fresh) = self.spare.take().or_else(|| packets.take_empty()) else { return };
        let to = packets.entries(fresh);
        let mut given = 0;
        if let Some(own) = self.packet.filter(|_| self.len > 0) {
            let own = &packets.entries(own)[..PACKET];
            given = self.len.div_ceil(2);
            for k in 0..self.len {
                let entry = own[k].load(Relaxed);
                if k < given { to[k].store(entry, Relaxed) } else { own[k - given].store(entry, Relaxed) }
            }
            self.len -= given;
        } else {
            // Several chains, say: each has its only entry in the queue.
            for k in 0..AHEAD {
                let slot = &mut self.fetched[(self.fetched_at + k) % AHEAD];
                if *slot != Entry::NONE && given < waiting.div_ceil(2) {
                    to[given].store(std::mem::replace(slot, Entry::NONE).raw(), Relaxed);
                    given += 1;
                }
            }
        }
        packets.put_full(fresh, given);
        self.tally.shared += 1;
        seat.team.crew.ring();
    }

    /// A sibling's life: works on what is passed on until it is dismissed.
    pub(crate) fn help(&mut self) {
        if let Some(seat) = self.seat {
            seat.help(&self.core.packets, self);
        }
    }

    /// The leader's side, with nothing left here: waits until there is work again, which is here then, or until there is none
    /// anywhere. `false`: that is the case.
    #[cold]
    pub(super) fn wait_for_team(&mut self) -> bool {
        let Some(seat) = self.seat else { return false };
        self.give_packets_back();
        seat.wait_for_work(&self.core.packets, self)
    }

    /// With nothing in them: others may need them.
    fn give_packets_back(&mut self) {
        for empty in [self.packet.take(), self.spare.take()].into_iter().flatten() {
            self.core.packets.put_empty(empty);
        }
    }

    /// The leader's side: marking is over. What all have done together.
    pub(crate) fn end(&mut self) -> super::Tally {
        let Some(seat) = self.seat else { return self.tally };
        seat.team.report(0, self.tally, 0);
        seat.team.dismiss();
        (1..MAX_WORKERS).fold(self.tally, |sum, sibling| sum.with(seat.team.tally(sibling)))
    }
}

impl<E: Embedder, S: Source> Sibling for Marker<'_, E, S> {
    fn take_packet(&mut self) -> bool {
        Marker::take_packet(self)
    }

    fn work_off(&mut self) {
        self.work();
        self.give_packets_back();
        if let Some(seat) = self.seat {
            seat.team.report(seat.member.index(), self.tally, clock::process_cpu_ns());
        }
    }
}

impl<E: Embedder, S: Source> Leader for Marker<'_, E, S> {
    fn take_work(&mut self) -> bool {
        Marker::take_packet(self) || self.rescan() || self.take_weak_reads()
    }

    fn gone(&mut self) -> &mut u32 {
        &mut self.gone
    }

    /// Of a large object the head is enough: it is scanned from there on, and if each of its blocks were noted, it would be so from
    /// each.
    fn note_all(&mut self) {
        let core = self.core;
        for block in (0..core.geometry.half_blocks()).map(BlockIndex) {
            let may_hold = match core.blocks.get(block) {
                BlockState::Free | BlockState::LargeTail => false,
                BlockState::LargeHead => self.marked(core.metadata.get(block.granule())).is_some(),
                _ => true,
            };
            if may_hold {
                core.packets.note_overflow(block);
            }
        }
    }
}
