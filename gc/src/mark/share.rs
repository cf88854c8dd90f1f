//! A marker among others: passing work on, waiting for it, and taking it over from one that died. See [`team`](super::team).

use super::marker::{AHEAD, Entry, Marker};
use super::packets::PACKET;
use super::source::Source;
use super::team::Seat;
use crate::embedder::Embedder;
use crate::space::BlockState;
use crate::unit::BlockIndex;
use palimpsest_runtime::sys::clock;
use palimpsest_runtime::worker::MAX_WORKERS;
use std::sync::atomic::Ordering::Relaxed;

/// How often a marker without work looks for it before it waits for the bell.
const LOOKS: u32 = 100;

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
        let Some(seat) = self.seat else { return };
        let (team, member) = (seat.team, seat.member);
        while self.wait_for_packet(seat) {
            member.step();
            self.work();
            self.give_packets_back();
            team.report(member.index(), self.tally, clock::process_cpu_ns());
            if team.end_work(member.index()) {
                team.crew.ring_all();
            }
        }
    }

    /// Waits for a packet and takes it. `false`: dismissed.
    fn wait_for_packet(&mut self, seat: Seat<'_>) -> bool {
        let (team, me) = (seat.team, seat.member.index());
        let packets = &self.core.packets;
        team.lie_down(me);
        let mut looks = 0;
        loop {
            if team.is_dismissed() {
                return false;
            }
            if packets.has_full() {
                team.begin_work(me);
                if self.take_packet() {
                    team.wake_up(me);
                    return true;
                }
                if team.end_work(me) {
                    team.crew.ring_all();
                }
            }
            looks += 1;
            if looks < LOOKS {
                std::hint::spin_loop();
                continue;
            }
            seat.member.advance();
            if seat.member.is_orphan() {
                return false;
            }
            team.crew.rest(|| packets.has_full() || team.is_dismissed());
        }
    }

    /// The leader's side, with nothing left here: waits until there is work again, which is here then, or until there is none
    /// anywhere. `false`: that is the case.
    #[cold]
    pub(super) fn wait_for_team(&mut self) -> bool {
        let Some(seat) = self.seat else { return false };
        self.give_packets_back();
        seat.team.lie_down(0);
        let more = self.wait_for_work(seat);
        seat.team.wake_up(0);
        more
    }

    fn wait_for_work(&mut self, seat: Seat<'_>) -> bool {
        let team = seat.team;
        let mut looks = 0;
        loop {
            self.take_over(seat);
            let before = team.at_work();
            if self.take_packet() || self.rescan() || self.take_weak_reads() {
                return true;
            }
            if before.is_nobody() && team.at_work() == before {
                return false;
            }
            looks += 1;
            if looks < LOOKS {
                std::hint::spin_loop();
                continue;
            }
            seat.member.advance();
            team.crew.rest(|| self.core.packets.has_full() || team.at_work().is_nobody());
        }
    }

    /// Takes over from siblings that died, see the [`team`](super::team).
    fn take_over(&mut self, seat: Seat<'_>) {
        for sibling in 1..MAX_WORKERS {
            if self.gone & 1 << sibling != 0 || !seat.team.crew.is_gone(sibling) {
                continue;
            }
            self.gone |= 1 << sibling;
            if seat.team.forget(sibling) {
                seat.team.count_takeover();
                self.note_all();
            }
        }
    }

    /// Notes all blocks for a rescan that may hold a marked object with references. Of a large object the head is enough: it is
    /// scanned from there on, and if each of its blocks were noted, it would be so from each.
    fn note_all(&self) {
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
