//! Markers that share a tree of a few objects.

use super::packets::PacketIndex;
use super::team::Seat;
use super::waiting::{Leader, Sibling};
use super::{Packets, Team};
use crate::sync::{AtomicU8, AtomicU64, Ordering};
use crate::unit::BlockIndex;
use palimpsest_runtime::explore::Model;
use palimpsest_runtime::models::{join_all, spawn};
use palimpsest_runtime::sync::death;
use palimpsest_runtime::worker::Member;
use std::sync::Arc;

/// Two markers take and give back packets: no packet is lost or had by two, and whoever takes one sees what was put into it.
pub(crate) const PACKETS: Model = Model {
    name: "packets",
    preemptions: 4,
    mistakes: &[("packets: heads do not count", "a packet is lost or doubled")],
    orders: &[(
        "mark/packets.rs",
        "compare_exchange_weak(head, new, Ordering::Release, Ordering::Relaxed)",
        "a packet is lost or doubled",
    )],
    deaths: false,
    run: packets,
};

/// A leader and two siblings mark a tree: when the leader says that it is over, all is marked and scanned. And all come to an end.
pub(crate) const END: Model = Model {
    name: "end of marking",
    preemptions: 2,
    mistakes: &[
        ("team: work begins after it is taken", "marking is over, and something is not"),
        ("team: work ends before it is passed on", "marking is over, and something is not"),
        ("team: beginnings are not counted", "marking is over, and something is not"),
        ("team: the leader does not look again", "marking is over, and something is not"),
    ],
    orders: &[],
    deaths: false,
    run: end,
};

/// The same with one sibling, which is interrupted more often.
pub(crate) const END_OF_TWO: Model = Model {
    name: "end of marking by two",
    preemptions: 3,
    mistakes: &[("team: the leader does not look again", "marking is over, and something is not")],
    orders: &[],
    deaths: false,
    run: end_of_two,
};

/// A leader and a sibling that is killed, at each of its accesses to shared memory in turn: all is marked nevertheless.
pub(crate) const DEATH: Model = Model {
    name: "a sibling dies",
    preemptions: 2,
    mistakes: &[("team: the dead are not taken over from", "marking is over, and something is not")],
    orders: &[],
    deaths: true,
    run: sibling_dies,
};

/// Objects 1 and 2: the first has a reference to the second.
const OBJECTS: usize = 3;

fn children(object: usize) -> std::ops::Range<usize> {
    if object == 1 { 2..3 } else { 0..0 }
}

/// What the markers share.
struct Heap {
    team: Team,
    packets: Packets,
    /// Mark bytes.
    marked: [AtomicU8; OBJECTS],
    /// Whether it was scanned to the end; Relaxed, as the leader has to see by the protocol alone.
    scanned: [AtomicU8; OBJECTS],
}

impl Heap {
    fn new(packets: usize) -> Self {
        Self {
            team: Team::new().unwrap(),
            packets: Packets::new(packets, OBJECTS as u32).unwrap(),
            marked: [const { AtomicU8::new(0) }; OBJECTS],
            scanned: [const { AtomicU8::new(0) }; OBJECTS],
        }
    }

    /// The root is marked and waits to be scanned.
    fn with_root(packets: usize) -> Arc<Self> {
        let heap = Self::new(packets);
        heap.marked[1].store(1, Ordering::Relaxed);
        heap.put(1);
        Arc::new(heap)
    }

    /// Passes an object on; each has a packet of its own.
    fn put(&self, object: usize) {
        match self.packets.take_empty() {
            Some(packet) => {
                self.packets.entries(packet)[0].store(object as u64, Ordering::Relaxed);
                self.packets.put_full(packet, 1);
                self.team.crew.ring();
            }
            None => self.packets.note_overflow(BlockIndex(object as u32)),
        }
    }

    fn member(&self, index: usize) -> Member<'_> {
        Member { index, crew: &self.team.crew }
    }

    fn is_complete(&self) -> bool {
        (1..OBJECTS).all(|k| self.scanned[k].load(Ordering::Relaxed) != 0)
    }
}

struct Marker<'a> {
    heap: &'a Heap,
    /// The packet that it has taken.
    packet: Option<PacketIndex>,
    /// A block that it scans again.
    block: Option<usize>,
    gone: u32,
}

impl<'a> Marker<'a> {
    fn new(heap: &'a Heap) -> Self {
        Self { heap, packet: None, block: None, gone: 0 }
    }

    fn take(&mut self) -> bool {
        self.packet = self.heap.packets.take_full().map(|(packet, _)| packet);
        self.packet.is_some()
    }

    fn work(&mut self) {
        if let Some(packet) = self.packet.take() {
            let object = self.heap.packets.entries(packet)[0].load(Ordering::Relaxed) as usize;
            assert!((1..OBJECTS).contains(&object), "a packet's entry is not seen");
            self.heap.packets.put_empty(packet);
            self.scan(object);
        }
        if let Some(object) = self.block.take() {
            self.scan(object);
        }
    }

    fn scan(&mut self, object: usize) {
        for child in children(object) {
            if self.heap.marked[child].swap(1, Ordering::Relaxed) == 0 {
                self.heap.put(child);
            }
        }
        self.heap.scanned[object].store(1, Ordering::Relaxed);
    }
}

impl Sibling for Marker<'_> {
    fn take_packet(&mut self) -> bool {
        self.take()
    }

    fn work_off(&mut self) {
        self.work();
    }
}

impl Leader for Marker<'_> {
    fn take_work(&mut self) -> bool {
        if self.take() {
            return true;
        }
        let mut from = 0;
        while let Some(BlockIndex(block)) = self.heap.packets.take_rescan(from) {
            // As in the heap: of what is noted, only what is marked is scanned.
            if self.heap.marked[block as usize].load(Ordering::Relaxed) != 0 {
                self.block = Some(block as usize);
                // The rest stays noted for the next look.
                (block + 1..OBJECTS as u32)
                    .filter(|next| self.heap.packets.take_rescan(*next) == Some(BlockIndex(*next)))
                    .for_each(|next| self.heap.packets.note_overflow(BlockIndex(next)));
                return true;
            }
            from = block + 1;
        }
        false
    }

    fn note_all(&mut self) {
        (1..OBJECTS as u32).for_each(|block| self.heap.packets.note_overflow(BlockIndex(block)));
    }

    fn gone(&mut self) -> &mut u32 {
        &mut self.gone
    }
}

/// The leader's part of a cycle.
fn lead(heap: &Heap) {
    let member = heap.member(0);
    let seat = Seat { team: &heap.team, member: &member };
    let mut leader = Marker::new(heap);
    while seat.wait_for_work(&heap.packets, &mut leader) {
        leader.work();
    }
    assert!(heap.is_complete(), "marking is over, and something is not marked, or not scanned");
    heap.team.dismiss();
}

fn help(heap: &Heap, sibling: usize) {
    let member = heap.member(sibling);
    Seat { team: &heap.team, member: &member }.help(&heap.packets, &mut Marker::new(heap));
}

fn packets() {
    let heap = Arc::new(Heap::new(2));
    let held = Arc::new([const { AtomicU64::new(0) }; 2]);
    for object in [1, 2] {
        heap.put(object);
    }
    fn take(heap: &Heap, held: &[AtomicU64; 2]) -> Option<PacketIndex> {
        let (packet, len) = heap.packets.take_full()?;
        assert_eq!(held[packet as usize].swap(1, Ordering::Relaxed), 0, "two have the packet");
        let object = heap.packets.entries(packet)[0].load(Ordering::Relaxed);
        assert!(len == 1 && object != 0, "what was put into it is not seen");
        Some(packet)
    }
    fn put(heap: &Heap, held: &[AtomicU64; 2], packet: PacketIndex) {
        held[packet as usize].store(0, Ordering::Relaxed);
        heap.packets.put_full(packet, 1);
    }
    // Takes two, and puts the first back before the second.
    fn take_two(heap: &Heap, held: &[AtomicU64; 2]) {
        let both = [take(heap, held), take(heap, held)];
        both.into_iter().flatten().for_each(|packet| put(heap, held, packet));
    }
    let other = {
        let (heap, held) = (heap.clone(), held.clone());
        spawn(move || take_two(&heap, &held))
    };
    take_two(&heap, &held);
    other.join();
    let mut left: Vec<_> =
        std::iter::from_fn(|| heap.packets.take_full()).map(|(packet, _)| packet).collect();
    left.sort_unstable();
    assert_eq!(left, [0, 1], "a packet is lost or doubled");
}

fn end() {
    let heap = Heap::with_root(3);
    let siblings = [1, 2].map(|k| {
        let heap = heap.clone();
        spawn(move || help(&heap, k))
    });
    lead(&heap);
    join_all(siblings);
}

fn end_of_two() {
    let heap = Heap::with_root(3);
    let sibling = {
        let heap = heap.clone();
        spawn(move || help(&heap, 1))
    };
    lead(&heap);
    sibling.join();
}

fn sibling_dies() {
    let heap = Heap::with_root(3);
    let sibling = {
        let heap = heap.clone();
        spawn(move || {
            if death::after(death::moment(), || help(&heap, 1)) {
                heap.team.crew.has_died(1);
            }
        })
    };
    lead(&heap);
    sibling.join();
}
