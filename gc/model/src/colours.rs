//! The colours turn while threads allocate and sweep: see [`reclaim`](crate::reclaim).
//!
//! The tables, the spaces, the runs of threads and the sweep are those that ship. The world is stopped by a lock for each thread,
//! since the handshake has models of its own; what an allocation does, and in which order the pause does what it does, is written here
//! again (`Mutator::alloc`, `cycle::stop` and `cycle::begin_marking`).

use crate::kind::Kind;
use crate::local::{Local, LocalPtr};
use crate::metadata::{Living, Meta, Metadata};
use crate::reclaim::{self, Colours, Sweeps};
use crate::space::{BlockTable, Budget, Claim, Readiness, Space, Taken};
use crate::stats::Scope;
use crate::sync::mutation;
use crate::unit::{BLOCK, BLOCK_GRANULES, BlockIndex, Granules};
use palimpsest_runtime::explore::Model;
use palimpsest_runtime::models::{join_all, spawn};
use palimpsest_runtime::sys::lock;
use palimpsest_runtime::{Address, Bytes};
use std::cell::UnsafeCell;
use std::sync::{Arc, Mutex};

/// One thread allocates in a block that the last sweep has missed, goes through a snapshot, and allocates on; another takes what block
/// there is, or sweeps one. Meanwhile the colours turn, a marker paints, and what is left is swept. What was reachable at the
/// snapshot, and what was allocated before it or since, is there in the end; what was not is gone, and was gone when the snapshot
/// began if it had died before.
pub(crate) const FLIP: Model = Model {
    name: "colours turn",
    preemptions: 2,
    mistakes: &[
        ("colours: threads keep the old one", "what is reachable is swept"),
        ("pause: the colours turn before blocks are retired", "what is reachable is swept"),
        ("sweep: with the colours of before", "what is reachable is swept"),
        ("space: what a sweep has missed counts as swept", "a snapshot begins with something dead"),
        ("space: what a thread owns is swept too", "was given up by a thread that does not own it"),
    ],
    orders: &[],
    deaths: false,
    run: flip,
};

/// A cycle, and one of the young after it, while a thread allocates, loses what it has allocated, and allocates on: what is marked
/// stays, and what has died young is gone.
pub(crate) const TWICE: Model = Model {
    name: "colours turn twice",
    preemptions: 3,
    mistakes: &[
        ("colours: threads keep the old one", "what is reachable is swept"),
        ("space: what is allocated in is not young", "something dead is left"),
        ("space: what a sweep has seen is not young", "something dead is left"),
        ("space: what a sweep has missed counts as swept", "a snapshot begins with something dead"),
    ],
    orders: &[],
    deaths: false,
    run: twice,
};

/// Two markers find the same object, next to one that a third thread records: one of the two has claimed it.
pub(crate) const CLAIM: Model = Model {
    name: "claimed by one",
    preemptions: 4,
    mistakes: &[("metadata: claimed by a look and a store", "claimed by two, or by nobody")],
    orders: &[],
    deaths: false,
    run: claim,
};

/// In block 0, of two granules: reachable.
const LIVE: usize = 0;
/// In block 0: died before the last cycle, whose sweep has missed the block.
const DEAD: usize = 8;
/// In block 1: reachable.
const OTHER: usize = BLOCK_GRANULES;
/// In block 1: dies now.
const DYING: usize = BLOCK_GRANULES + 8;
/// Where threads allocate, counted from a block's first granule.
const ROOM: usize = 16;

struct Heap {
    metadata: Metadata,
    colours: Colours,
    blocks: BlockTable,
    budget: Budget,
    traced: Space,
    leaf: Space,
    /// The threads' states, and what each refers to.
    locals: [UnsafeCell<Local>; 2],
    stacks: [Mutex<Vec<usize>>; 2],
    /// Where objects are or have been; and of these what is to be gone in the end. No part of the protocol.
    known: Mutex<Vec<usize>>,
    dying: Mutex<Vec<usize>>,
    /// Held by a thread that runs, and by the collector where it does not.
    running: [lock::Mutex<()>; 2],
}

// SAFETY: a thread's state is used by that thread while it runs, and by the collector in the stopped world.
unsafe impl Send for Heap {}
// SAFETY: as above.
unsafe impl Sync for Heap {}

impl Sweeps for Heap {
    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn colours(&self) -> &Colours {
        &self.colours
    }

    fn blocks(&self) -> &BlockTable {
        &self.blocks
    }

    fn budget(&self) -> &Budget {
        &self.budget
    }

    fn spaces(&self) -> [&Space; 2] {
        [&self.traced, &self.leaf]
    }

    fn space_of(&self, block: BlockIndex) -> &Space {
        if block.0 < 2 { &self.traced } else { &self.leaf }
    }

    fn prepare_swept(&self, _block: BlockIndex) -> bool {
        true
    }
}

impl Heap {
    /// After a cycle: both blocks hold objects and have room; the first is owned by thread 0, since before the sweep.
    fn new() -> Arc<Self> {
        let first = Living::FIRST;
        let heap = Self {
            metadata: Metadata::new(2 * BLOCK_GRANULES).unwrap(),
            colours: Colours::new(first),
            blocks: BlockTable::new(Address::new(0x1_0000), 3).unwrap(),
            budget: Budget::new(Bytes(3 * BLOCK), Bytes(0)),
            traced: Space::new(BlockIndex(0), 2).unwrap(),
            leaf: Space::new(BlockIndex(2), 1).unwrap(),
            locals: [0, 1].map(|_| UnsafeCell::new(Local::new(first.young))),
            stacks: Default::default(),
            known: Mutex::new(vec![LIVE, DEAD, OTHER, DYING]),
            dying: Mutex::default(),
            running: [const { lock::Mutex::new(()) }; 2],
        };
        // The checker's bytes are made by this thread, before the others.
        (0..2 * BLOCK_GRANULES).for_each(|granule| _ = heap.metadata.get(granule));
        for objects in [[(LIVE, 2), (DEAD, 1)], [(OTHER, 1), (DYING, 2)]] {
            let taken = heap.take_free();
            for (at, size) in objects {
                heap.metadata.record(at, Granules(size), Kind::UNIFORM, first.young);
            }
            assert!(!heap.traced.retire(taken, &heap.blocks));
        }
        heap.traced.begin_sweep(&heap.blocks, Scope::Full);
        reclaim::finish(&heap);
        // The last cycle: one block is taken while it marks.
        // SAFETY: there is no other thread.
        unsafe { heap.colours.turn(Scope::Full, &heap.locals()) };
        [OTHER, DYING, LIVE].into_iter().for_each(|granule| heap.mark(granule));
        while let Some(taken) = heap.traced.take_recyclable(&heap.blocks) {
            if taken.block == BlockIndex(0) {
                heap.begin_run(0, taken);
                break;
            }
            assert!(!heap.traced.retire(taken, &heap.blocks));
        }
        heap.traced.begin_sweep(&heap.blocks, Scope::Full);
        reclaim::finish(&heap);
        Arc::new(heap)
    }

    fn take_free(&self) -> Taken {
        let taken = self.traced.take_free(Readiness::Any, &self.blocks, &self.budget, Claim::Ordinary);
        taken.unwrap()
    }

    fn locals(&self) -> [LocalPtr; 2] {
        [0, 1].map(|thread: usize| LocalPtr::new(self.locals[thread].get()))
    }

    #[allow(clippy::mut_from_ref, reason = "as `LocalPtr::get`")]
    fn local(&self, thread: usize) -> &mut Local {
        // SAFETY: used by the thread itself while it runs, or by the collector in the stopped world.
        unsafe { &mut *self.locals[thread].get() }
    }

    /// Has the thread allocate in a block, in the first free run of its room. The addresses of runs are granules here.
    fn begin_run(&self, thread: usize, taken: Taken) {
        let mut at = taken.block.granule() + ROOM;
        let end = taken.block.granule() + BLOCK_GRANULES;
        let mut next = self.metadata.skip_zero(at, end);
        while next == at {
            at = next + self.metadata.size(next).0;
            next = self.metadata.skip_zero(at, end);
        }
        self.local(thread).traced.main.begin(taken, at, next, false);
    }

    /// Allocates an object, where there is a block with room.
    fn alloc(&self, thread: usize) {
        let local = self.local(thread);
        if local.traced.main.block().is_none() && !self.acquire(thread) {
            return;
        }
        let run = &mut self.local(thread).traced.main;
        let at = run.cursor;
        run.cursor += 1;
        assert_eq!(self.metadata.get(at), Meta(0), "two objects at one place");
        self.metadata.record(at, Granules(1), Kind::UNIFORM, local.colour());
        self.stacks[thread].lock().unwrap().push(at);
        let mut known = self.known.lock().unwrap();
        if !known.contains(&at) {
            known.push(at);
        }
        // The place of one that died is used again.
        self.dying.lock().unwrap().retain(|dying| *dying != at);
    }

    /// A block to allocate in; one is swept for that if need be.
    fn acquire(&self, thread: usize) -> bool {
        let recyclable = || self.traced.take_recyclable(&self.blocks);
        let swept = || {
            reclaim::sweep(self, self.traced.take_unswept(&self.blocks)?);
            recyclable()
        };
        let taken = recyclable().or_else(swept);
        taken.inspect(|taken| self.begin_run(thread, *taken)).is_some()
    }

    fn retire(&self, thread: usize) {
        reclaim::retire(self, &mut self.local(thread).traced.main, &self.traced);
    }

    /// A thread's life: two objects, and a safepoint between them.
    fn mutate(&self, thread: usize) {
        {
            let _running = self.running[thread].lock();
            self.alloc(thread);
        }
        let _running = self.running[thread].lock();
        self.alloc(thread);
        self.retire(thread);
    }

    /// The same with two safepoints, and an object that is lost before the second.
    fn mutate_and_lose(&self, thread: usize) {
        {
            let _running = self.running[thread].lock();
            self.alloc(thread);
        }
        {
            let _running = self.running[thread].lock();
            self.alloc(thread);
            self.retire(thread);
            self.stacks[thread].lock().unwrap().pop();
        }
        let _running = self.running[thread].lock();
        self.alloc(thread);
        self.retire(thread);
    }

    /// The pause. What is reachable then.
    fn pause(&self, scope: Scope) -> Vec<usize> {
        let _stopped = [0, 1].map(|thread: usize| self.running[thread].lock());
        let turn = || {
            // SAFETY: the world is stopped.
            unsafe { self.colours.turn(scope, &self.locals()) };
        };
        let reachable = self.reachable();
        if mutation!("pause: the colours turn before blocks are retired") {
            turn();
            [0, 1].into_iter().for_each(|thread| self.retire(thread));
        } else {
            [0, 1].into_iter().for_each(|thread| self.retire(thread));
            self.look_around(scope, &reachable);
            turn();
        }
        reachable
    }

    /// Before the colours turn: what is there is alive, and what of it is to be gone when it has been swept.
    fn look_around(&self, scope: Scope, reachable: &[usize]) {
        let (living, known) = (self.colours.living(), self.known.lock().unwrap().clone());
        for granule in known {
            let meta = self.metadata.get(granule);
            assert!(meta.start().is_none() || living.has(meta), "a snapshot begins with something dead");
            let stays = scope == Scope::Young && meta.colour() == living.marked;
            if meta.start().is_some() && !stays && !reachable.contains(&granule) {
                self.dying.lock().unwrap().push(granule);
            }
        }
    }

    /// What the threads refer to, and what is reachable from elsewhere.
    fn reachable(&self) -> Vec<usize> {
        let stacks = self.stacks.iter().flat_map(|stack| stack.lock().unwrap().clone());
        [LIVE, OTHER].into_iter().chain(stacks).collect()
    }

    /// A cycle, of a collector that sweeps before and behind it.
    fn collect(&self, scope: Scope) {
        reclaim::finish(self);
        self.pause(scope).into_iter().for_each(|granule| self.mark(granule));
        self.traced.begin_sweep(&self.blocks, scope);
        reclaim::finish(self);
    }

    /// With all threads gone.
    fn check(&self) {
        reclaim::finish(self);
        let mut reachable = self.reachable();
        assert!(reachable.iter().all(|granule| self.is_there(*granule)), "what is reachable is swept");
        assert_eq!(self.metadata.size(LIVE), Granules(2));
        let objects = reachable.len();
        reachable.sort_unstable();
        reachable.dedup();
        assert_eq!(reachable.len(), objects, "two objects at one place");
        let dying = self.dying.lock().unwrap().clone();
        assert!(dying.iter().all(|granule| self.metadata.get(*granule) == Meta(0)), "something dead is left");
    }

    /// As a marker does alone.
    fn mark(&self, granule: usize) {
        let meta = self.metadata.get(granule);
        let living = self.colours.living();
        if !living.has(meta) {
            self.metadata.paint(granule, meta, living.marked);
        }
    }

    fn is_there(&self, granule: usize) -> bool {
        let meta = self.metadata.get(granule);
        meta.start() == Some(Kind::UNIFORM) && self.colours.living().has(meta)
    }
}

fn flip() {
    let heap = Heap::new();
    let threads = [0, 1].map(|thread| {
        let heap = heap.clone();
        spawn(move || heap.mutate(thread))
    });
    heap.collect(Scope::Full);
    join_all(threads);
    heap.check();
    assert_eq!(
        [DEAD, DYING].map(|granule| heap.metadata.get(granule)),
        [Meta(0); 2],
        "something dead is left"
    );
}

fn twice() {
    let heap = Heap::new();
    let thread = {
        let heap = heap.clone();
        spawn(move || heap.mutate_and_lose(0))
    };
    heap.collect(Scope::Full);
    heap.collect(Scope::Young);
    thread.join();
    heap.check();
}

fn claim() {
    let metadata = Arc::new(Metadata::new(4).unwrap());
    let living = Living::FIRST.renew();
    metadata.record(1, Granules(2), Kind::UNIFORM, Living::FIRST.young);
    let claimed = Arc::new([const { std::sync::atomic::AtomicU8::new(0) }; 2]);
    let threads = [0, 1].map(|k: usize| {
        let (metadata, claimed) = (metadata.clone(), claimed.clone());
        spawn(move || {
            let meta = metadata.get(1);
            if !living.has(meta) && metadata.claim(1, meta, living.marked) {
                assert_eq!(metadata.size_of_few(1, meta), Some(Granules(2)));
                claimed[k].store(1, std::sync::atomic::Ordering::Relaxed);
            }
        })
    });
    metadata.record(3, Granules(1), Kind::LEAF, living.young);
    join_all(threads);
    let claims: u8 = claimed.iter().map(|claim| claim.load(std::sync::atomic::Ordering::Relaxed)).sum();
    assert_eq!(claims, 1, "claimed by two, or by nobody");
    assert!(living.has(metadata.get(1)) && living.has(metadata.get(3)));
}
