//! How the markers of a team wait for work, and how the leader finds that there is none left. Why it is right is said in
//! [`team`](super::team).
//!
//! What a marker does with work is its own affair: these loops see it as a [`Sibling`] or as the [`Leader`].

use super::packets::Packets;
use super::team::Seat;
use crate::sizes::LOOKS;
use crate::sync::mutation;
use palimpsest_runtime::worker::MAX_WORKERS;

/// A marker that works on what others pass on.
pub(super) trait Sibling {
    /// Takes a packet from the list, if there is one.
    fn take_packet(&mut self) -> bool;

    /// Works until nothing is left here or to be taken. What it has passed on is on the list, or noted, when it returns.
    fn work_off(&mut self);
}

/// The marker that decides when marking is over.
pub(super) trait Leader {
    /// Takes a packet, a block that is noted for a rescan, or what comes from elsewhere.
    fn take_work(&mut self) -> bool;

    /// Notes all blocks for a rescan that may hold a marked object with references.
    fn note_all(&mut self);

    /// The siblings that it has looked after since they are gone, a bit each.
    fn gone(&mut self) -> &mut u32;
}

impl Seat<'_> {
    /// A sibling's life: works on what is passed on until it is dismissed.
    pub(super) fn help(self, packets: &Packets, sibling: &mut impl Sibling) {
        let (team, member) = (self.team, self.member);
        while self.wait_for_packet(packets, sibling) {
            member.step();
            if mutation!("team: work ends before it is passed on") && team.end_work(member.index()) {
                team.crew.ring_all();
            }
            sibling.work_off();
            if !mutation!("team: work ends before it is passed on") && team.end_work(member.index()) {
                team.crew.ring_all();
            }
        }
    }

    /// Waits for a packet and takes it. `false`: dismissed.
    fn wait_for_packet(self, packets: &Packets, sibling: &mut impl Sibling) -> bool {
        let (team, me) = (self.team, self.member.index());
        team.lie_down(me);
        let mut looks = 0;
        loop {
            if team.is_dismissed() {
                return false;
            }
            if packets.has_full() {
                if mutation!("team: work begins after it is taken") {
                    if sibling.take_packet() {
                        team.begin_work(me);
                        return true;
                    }
                    continue;
                }
                team.begin_work(me);
                if sibling.take_packet() {
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
            self.member.advance();
            if self.member.is_orphan() {
                return false;
            }
            team.crew.rest(|| packets.has_full() || team.is_dismissed());
        }
    }

    /// The leader's side, with nothing left there: waits until there is work again, which it has then, or until there is none
    /// anywhere. `false`: that is the case.
    pub(super) fn wait_for_work(self, packets: &Packets, leader: &mut impl Leader) -> bool {
        let team = self.team;
        team.lie_down(0);
        let more = self.find_work(packets, leader);
        team.wake_up(0);
        more
    }

    fn find_work(self, packets: &Packets, leader: &mut impl Leader) -> bool {
        let team = self.team;
        let mut looks = 0;
        loop {
            self.look_after_siblings(leader);
            let before = team.at_work();
            if leader.take_work() {
                return true;
            }
            let is_same = mutation!("team: the leader does not look again") || team.at_work() == before;
            if before.is_nobody() && is_same {
                return false;
            }
            looks += 1;
            if looks < LOOKS {
                std::hint::spin_loop();
                continue;
            }
            self.member.advance();
            team.crew.rest(|| packets.has_full() || team.at_work().is_nobody());
        }
    }

    /// Takes over from siblings that died.
    fn look_after_siblings(self, leader: &mut impl Leader) {
        for sibling in 1..MAX_WORKERS {
            if *leader.gone() & 1 << sibling != 0 || !self.team.crew.is_gone(sibling) {
                continue;
            }
            *leader.gone() |= 1 << sibling;
            if self.team.forget(sibling) && !mutation!("team: the dead are not taken over from") {
                self.team.count_takeover();
                leader.note_all();
            }
        }
    }
}
