//! A heap and its model, and each operation done in both.
//!
//! Operations that concern weak things are in [`weakly`](super::weakly), comparisons in [`check`](super::check). An operation
//! returns what was found wrong.

use super::language::{Gate, Kinds, LARGE_SLOTS, Language, Plan, Shape, coded};
use super::model::{Id, MAPS, Model, Node};
use super::ops::Op;
use super::weakly::{Interned, Weak};
use palimpsest::{
    Address, Ephemeron, Finalizer, GRANULE, Handle, Heap, HostFork, InlineAlloc, KernelIo, Kind, Mutator,
    OutOfMemory, RootRange, Roots, SMALL_MAX, Snapshot, WeakMap, WeakTable,
};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

/// The heap's limit.
pub const LIMIT: usize = 64 << 20;

/// Words of native memory that is a root.
const PLACES: usize = 6;

/// How long a cycle that was begun is waited for to come to the gate.
const TO_THE_GATE: Duration = Duration::from_millis(100);

/// What is done wrong on purpose, to see whether it is noticed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Sabotage {
    /// Every fourth object gets no root, and the model thinks it has one: the collector seems to lose an object.
    LostRoot,
    /// A root that is dropped is not: the collector seems to keep garbage.
    KeptRoot,
    /// References in native memory are not registered: a cycle of the young loses what only they lead to.
    HiddenReferences,
    /// The same, and the verifier is there to notice.
    HiddenAndVerified,
}

impl Sabotage {
    pub const ALL: [Self; 4] =
        [Self::LostRoot, Self::KeptRoot, Self::HiddenReferences, Self::HiddenAndVerified];
}

/// The cycles that run beside the program, on a thread of their own.
#[derive(Debug)]
pub struct Background {
    /// Whether of the young.
    pub begin: Sender<bool>,
    pub ended: Receiver<()>,
    pub runs: bool,
}

/// All of a program's state. Whichever thread does an operation has it meanwhile.
pub struct World {
    pub(super) heap: Heap<Language>,
    pub(super) model: Model,
    pub(super) kinds: Kinds,
    gate: Arc<Gate>,
    pub(super) background: Background,
    /// What children have of the heap; how many there were.
    pub(super) copies: HostFork,
    pub children: u64,
    /// Whether workers mark, which then come to the gate.
    forks: bool,
    /// Threads whose stacks are scanned.
    pub scanned: usize,
    next: Id,
    handles: Vec<(Id, Option<Handle>)>,
    /// And one more, for the gate.
    places: Arc<[AtomicU64; PLACES + 1]>,
    in_places: [Option<Id>; PLACES],
    _places: Roots,
    /// The gate, if it is not in the last place.
    gate_handle: Option<Handle>,
    /// How many cycles were held at the gate.
    pub held: u64,
    pins: Vec<(Id, KernelIo, Handle)>,
    pipe: (UnixStream, UnixStream),
    pub(super) weak: Vec<Weak>,
    pub(super) maps: [WeakMap; MAPS],
    pub(super) ephemerons: Vec<Ephemeron>,
    pub(super) table: WeakTable,
    pub(super) interned: Vec<Interned>,
    /// Those that can be taken back, with their tokens.
    pub(super) finalizers: Vec<(Finalizer, u64)>,
    pub(super) tokens: u64,
    sabotage: Option<Sabotage>,
    kept: Vec<Option<Handle>>,
    /// Later than the heap, which reads it.
    bags: BTreeMap<Id, Box<[AtomicU64]>>,
}

impl World {
    pub fn new(
        m: &mut Mutator<Language>,
        background: Background,
        copies: HostFork,
        sabotage: Option<Sabotage>,
    ) -> Result<Self, String> {
        let heap = m.heap().clone();
        let kinds = Kinds::new(&heap).map_err(|e| e.to_string())?;
        let places = Arc::new([const { AtomicU64::new(0) }; PLACES + 1]);
        let range = RootRange::Fixed { start: places.as_ptr().cast(), len: places.len() };
        let mut world = Self {
            // SAFETY: the words live as long as this, and attached threads write references or 0 to them.
            _places: unsafe { heap.add_roots(range) },
            gate: heap.embedder().0.clone(),
            forks: heap.ladder().chosen().snapshot != Snapshot::StopTheWorld,
            maps: [WeakMap::new(m).map_err(no_room)?, WeakMap::new(m).map_err(no_room)?],
            table: WeakTable::new(&heap).map_err(|e| e.to_string())?,
            pipe: UnixStream::pair().map_err(|e| e.to_string())?,
            model: Model::default(),
            gate_handle: None,
            held: 0,
            kinds,
            background,
            copies,
            children: 0,
            scanned: 0,
            next: 1,
            handles: Vec::new(),
            places,
            in_places: [None; PLACES],
            pins: Vec::new(),
            weak: Vec::new(),
            ephemerons: Vec::new(),
            interned: Vec::new(),
            finalizers: Vec::new(),
            tokens: 0,
            sabotage,
            kept: Vec::new(),
            bags: BTreeMap::new(),
            heap,
        };
        world.put_gate(m, true)?;
        Ok(world)
    }

    /// Does one operation, and compares where it says so.
    pub fn step(&mut self, m: &mut Mutator<Language>, op: Op) -> Result<(), String> {
        let done = self.act(m, op)?;
        self.model.settle()?;
        self.look_after_bags(m)?;
        match done {
            Some(Done::Full(marked)) => self.compare_exactly(m, marked),
            Some(Done::Some) => self.compare(),
            None => Ok(()),
        }
    }

    fn act(&mut self, m: &mut Mutator<Language>, op: Op) -> Result<Option<Done>, String> {
        match op {
            Op::Alloc { shape, size } => self.alloc(m, Plan::new(shape, size))?,
            Op::Large { shape, size } => self.alloc(m, Plan::large(shape, size))?,
            Op::Write { from, slot, to } => {
                if let (Some(from), Some(to)) = (self.model.pick(from), self.model.pick(to)) {
                    self.write(from, slot, Some(to));
                }
            }
            Op::Clear { from, slot } => {
                if let Some(from) = self.model.pick(from) {
                    self.write(from, slot, None);
                }
            }
            Op::Move { from, to, slot } => {
                if let (Some(from), Some(to)) = (self.model.pick(from), self.model.pick(to)) {
                    let moved = self.model.nodes[&from].edges.iter().next().map(|(slot, id)| (*slot, *id));
                    if let Some((at, moved)) = moved {
                        self.set(from, at, None);
                        self.write(to, slot, Some(moved));
                    }
                }
            }
            Op::Adopt { from, slot, shape } => {
                let before = self.handles.len();
                self.alloc(m, Plan::new(shape, 0))?;
                if self.handles.len() > before {
                    self.tuck(before, from, slot);
                }
            }
            Op::Tuck { root, from, slot } => {
                if let Some(k) = nth(root, self.handles.len()) {
                    self.tuck(k, from, slot);
                }
            }
            Op::Hide { from, slot } => self.hide(from, slot),
            Op::Unroot { root } => {
                if let Some(k) = nth(root, self.handles.len()) {
                    self.unroot(k);
                }
            }
            Op::Root { object } => {
                if let Some(id) = self.model.pick(object) {
                    self.root(id);
                }
            }
            Op::Reroot { root, object } => {
                if let (Some(k), Some(id)) = (nth(root, self.handles.len()), self.model.pick(object)) {
                    let was = std::mem::replace(&mut self.handles[k].0, id);
                    if let Some(handle) = &self.handles[k].1 {
                        handle.set(self.model.at(id));
                    }
                    self.model.unroot(was);
                    self.model.roots.push(id);
                }
            }
            Op::Store { place, object } => {
                if let Some(id) = self.model.pick(object) {
                    self.store(place, Some(id));
                }
            }
            Op::Erase { place } => self.store(place, None),
            Op::Pin { object } => {
                if let Some(id) = self.model.pick(object) {
                    let node = &self.model.nodes[&id];
                    let io = m.kernel_io(node.at, node.plan.words * 8);
                    self.pins.push((id, io, self.heap.handle(node.at)));
                    self.model.roots.push(id);
                }
            }
            Op::Unpin { pin } => {
                if let Some(k) = nth(pin, self.pins.len()) {
                    self.model.unroot(self.pins.swap_remove(k).0);
                }
            }
            Op::Receive { object } => {
                if let Some(id) = self.model.pick(object) {
                    self.receive(m, id)?;
                }
            }
            Op::Block { times } => {
                for _ in 0..=times % 4 {
                    m.blocking(std::thread::yield_now);
                }
            }
            Op::Churn { amount } => self.churn(m, amount)?,
            Op::Collect {} => return self.collect(m).map(Some),
            Op::Young {} => {
                self.finish(m)?;
                m.collect_young();
                return Ok(Some(Done::Some));
            }
            Op::Start { how } => self.start(m, how)?,
            Op::Finish {} => {
                self.finish(m)?;
                return Ok(Some(Done::Some));
            }
            Op::Fork {} => self.fork(m)?,
            Op::Check {} => return Ok(Some(Done::Some)),
            // What the threads do is done by whoever has them.
            Op::Attach { .. } | Op::Detach { .. } | Op::On { .. } => {}
            weakly => self.act_weakly(m, weakly)?,
        }
        Ok(None)
    }

    /// What a request for memory has brought, or nothing where the heap may be full: where what is alive takes much of it, or stacks
    /// may keep the rest.
    fn room(
        &self,
        object: Result<NonNull<u8>, OutOfMemory>,
        bytes: usize,
    ) -> Result<Option<NonNull<u8>>, String> {
        let why = match object {
            Ok(object) => return Ok(Some(object)),
            Err(why) => why,
        };
        let alive: usize = self.model.alive.iter().map(|id| self.model.nodes[id].plan.words * 8).sum();
        if self.scanned > 0 || alive + bytes > LIMIT / 2 {
            return Ok(None);
        }
        Err(format!("no room for {bytes} bytes beside {alive} that are alive: {why}"))
    }

    fn alloc(&mut self, m: &mut Mutator<Language>, plan: Plan) -> Result<(), String> {
        let (kind, bytes) = (self.kinds.of(plan.shape), plan.words * 8);
        let way = self.next % 4;
        let object = match way {
            0 => m.alloc(kind, bytes),
            // SAFETY: all that may be a reference is written below, before anything else is done.
            1 => unsafe { m.alloc_uninit(kind, bytes) },
            2 => match alloc_inline(m, kind, bytes) {
                Some(object) => Ok(object),
                // SAFETY: as above.
                None => unsafe { m.alloc_uninit(kind, bytes) },
            },
            // SAFETY: as above.
            _ => unsafe { m.alloc_no_safepoint(kind, bytes) }.or_else(|_| m.alloc(kind, bytes)),
        };
        let Some(object) = self.room(object, bytes)? else { return Ok(()) };
        let (id, at) = (self.next, Address::from_ptr(object.as_ptr()));
        self.next += 1;
        let bag = if plan.shape == Shape::Bag { plan.slots.len() } else { 0 };
        // SAFETY: words of the new object, which nobody else has.
        unsafe {
            let words = at.as_ptr::<u64>();
            words.write(plan.stamp(id));
            plan.data.clone().for_each(|k| words.add(k).write(Plan::datum(id, 0, k)));
            if bag > 0 {
                let bag: Box<[AtomicU64]> = (0..bag).map(|_| AtomicU64::new(0)).collect();
                words.add(1).write(bag.as_ptr().expose_provenance() as u64);
                words.add(2).write((bag.len() as u64) << 1);
                self.bags.insert(id, bag);
            } else if way > 0 {
                plan.slots.clone().for_each(|k| words.add(k).write(0));
            }
        }
        let node = Node { at, plan, edges: BTreeMap::new(), salt: 0, unreachable: 0 };
        self.model.nodes.insert(id, node);
        let forgotten = self.sabotage == Some(Sabotage::LostRoot) && id % 4 == 0;
        let handle = (!forgotten).then(|| self.heap.try_handle(at)).transpose();
        self.handles.push((id, handle.map_err(|e| e.to_string())?));
        self.model.roots.push(id);
        if bag > 0 {
            self.register_bag(m, id)?;
        }
        Ok(())
    }

    pub(super) fn register_bag(&mut self, m: &mut Mutator<Language>, id: Id) -> Result<(), String> {
        if matches!(self.sabotage, Some(Sabotage::HiddenReferences | Sabotage::HiddenAndVerified)) {
            return Ok(());
        }
        self.tokens += 1;
        m.register_external(self.model.at(id), self.tokens).map_err(no_room)?;
        self.model.register(self.tokens, id);
        Ok(())
    }

    /// A bag that was taken from the queue is registered again, if anything leads to it; otherwise it forgets what it refers to.
    fn look_after_bags(&mut self, m: &mut Mutator<Language>) -> Result<(), String> {
        let registered = |model: &Model, id| model.registered.values().any(|since| since.id == id);
        let bags: Vec<Id> = self.bags.keys().copied().collect();
        for id in bags {
            if !self.model.nodes.contains_key(&id) || registered(&self.model, id) {
                continue;
            }
            if self.model.alive.contains(&id) {
                self.register_bag(m, id)?;
            } else if self.sabotage.is_none() {
                self.bags[&id].iter().for_each(|word| word.store(0, Relaxed));
                if let Some(node) = self.model.nodes.get_mut(&id) {
                    node.edges.clear();
                }
            }
        }
        Ok(())
    }

    pub(super) fn root(&mut self, id: Id) {
        self.handles.push((id, Some(self.heap.handle(self.model.at(id)))));
        self.model.roots.push(id);
    }

    fn unroot(&mut self, root: usize) {
        let (id, handle) = self.handles.swap_remove(root);
        if self.sabotage == Some(Sabotage::KeptRoot) {
            self.kept.push(handle);
        }
        self.model.unroot(id);
    }

    /// Has one object refer to another instead of a root: one of all that can, or of those whose pages no allocation opens.
    fn tuck(&mut self, root: usize, from: u8, slot: u8) {
        let id = self.handles[root].0;
        let takers = |least: usize| -> Vec<Id> {
            let takes = |id: &Id| self.model.nodes[id].plan.slots.len() >= least;
            self.model.reachable.iter().copied().filter(takes).collect()
        };
        let (all, large) = (takers(1), takers(LARGE_SLOTS));
        let among = if from >= 128 && !large.is_empty() { large } else { all };
        if let Some(from) = nth(from, among.len()) {
            self.write(among[from], slot, Some(id));
            self.unroot(root);
        }
    }

    /// Makes a root of what an object refers to, and takes the reference out of it. A marker that was not there yet learns of it
    /// from the snapshot and from nowhere else: it was told of the roots before. That takes an object that is none, if there is any.
    fn hide(&mut self, from: u8, slot: u8) {
        let Model { reachable, nodes, roots, .. } = &self.model;
        let edges = |from: &Id| nodes[from].edges.iter().map(|(at, to)| (*at, *to)).collect::<Vec<_>>();
        let is_inner = |(_, to): &(usize, Id)| !roots.contains(to);
        let has = |from: &Id, inner: bool| edges(from).iter().any(|edge| !inner || is_inner(edge));
        for inner in [true, false] {
            let all: Vec<Id> = reachable.iter().copied().filter(|id| has(id, inner)).collect();
            let Some(from) = nth(from, all.len()).map(|k| all[k]) else { continue };
            let mut edges = edges(&from);
            edges.retain(|edge| !inner || is_inner(edge));
            let Some((at, hidden)) = nth(slot, edges.len()).map(|k| edges[k]) else { continue };
            self.root(hidden);
            return self.set(from, at, None);
        }
    }

    fn store(&mut self, place: u8, id: Option<Id>) {
        let k = usize::from(place) % PLACES;
        self.places[k].store(id.map_or(0, |id| coded(self.model.at(id))), Relaxed);
        if let Some(was) = std::mem::replace(&mut self.in_places[k], id) {
            self.model.unroot(was);
        }
        self.model.roots.extend(id);
    }

    fn write(&mut self, from: Id, slot: u8, to: Option<Id>) {
        let slots = self.model.nodes[&from].plan.slots.clone();
        if !slots.is_empty() {
            // Over all of a large object, and in both halves of its first page.
            let k = if slot < 128 { usize::from(slot) } else { usize::from(slot) * 131 } % slots.len();
            self.set(from, slots.start + k, to);
        }
    }

    /// The plain store that all this is about.
    fn set(&mut self, from: Id, slot: usize, to: Option<Id>) {
        let node = &self.model.nodes[&from];
        let word = to.map_or(0, |to| node.plan.reference(self.model.at(to)));
        // SAFETY: a slot of an object that is reachable; only this thread writes.
        unsafe { node.slot(slot).write(word) };
        if let Some(node) = self.model.nodes.get_mut(&from) {
            match to {
                Some(to) => node.edges.insert(slot, to),
                None => node.edges.remove(&slot),
            };
        }
    }

    /// Has the kernel write the object's first word of data, through a pipe.
    fn receive(&mut self, m: &mut Mutator<Language>, id: Id) -> Result<(), String> {
        let (salt, Some(node)) = (self.model.now, self.model.nodes.get_mut(&id)) else { return Ok(()) };
        node.salt = salt;
        for k in node.plan.data.clone().take(3) {
            let at = node.at.add(k * 8);
            self.pipe.0.write_all(&Plan::datum(id, salt, k).to_ne_bytes()).map_err(|e| e.to_string())?;
            let _io = (node.plan.shape != Shape::Leaf).then(|| m.kernel_io(at, 8));
            // SAFETY: eight bytes of a reachable object, which the guard opens where it must be opened.
            let read = unsafe { libc::read(self.pipe.1.as_raw_fd(), at.as_ptr(), 8) };
            if read != 8 {
                let why = std::io::Error::last_os_error();
                return Err(format!("the kernel did not write to {id}, word {k}: {why}"));
            }
        }
        // The rest by plain stores.
        for k in node.plan.data.clone().skip(3) {
            // SAFETY: words of a reachable object.
            unsafe { node.at.as_ptr::<u64>().add(k).write(Plan::datum(id, salt, k)) };
        }
        Ok(())
    }

    /// Allocates what nobody keeps.
    fn churn(&self, m: &mut Mutator<Language>, amount: u8) -> Result<(), String> {
        for k in 0..2 + usize::from(amount % 16) * 2 {
            let kind = [Kind::UNIFORM, Kind::LEAF][k % 2];
            let bytes = [48, 4000, 600, 9000][k % 4];
            if self.room(m.alloc(kind, bytes), bytes)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Makes a new gate: a cycle of the young does not look at what is old. What a marker was told of last it looks at first; so the
    /// gate is the last root of all, and nothing else was looked at when somebody comes to it, or one in the middle.
    fn put_gate(&mut self, m: &mut Mutator<Language>, last: bool) -> Result<(), String> {
        let Some(gate) = self.room(m.alloc(self.kinds.gate, 16), 16)? else { return Ok(()) };
        let at = Address::from_ptr(gate.as_ptr());
        self.places[PLACES].store(if last { coded(at) } else { 0 }, Relaxed);
        self.gate_handle = (!last).then(|| self.heap.handle(at));
        Ok(())
    }

    fn start(&mut self, m: &mut Mutator<Language>, how: u8) -> Result<(), String> {
        self.finish(m)?;
        self.put_gate(m, how / 2 % 4 != 3)?;
        self.gate.close();
        self.background.begin.send(how % 2 == 1).map_err(|_| "the thread of the cycles has ended")?;
        self.background.runs = true;
        if !self.forks {
            return Ok(());
        }
        let (gate, ended, start) = (&self.gate, &self.background.ended, Instant::now());
        let over = m.blocking(|| {
            while !gate.is_reached() && start.elapsed() < TO_THE_GATE {
                if ended.try_recv().is_ok() {
                    return true;
                }
                std::thread::sleep(Duration::from_micros(50));
            }
            false
        });
        self.background.runs = !over;
        self.held += u64::from(self.gate.is_reached());
        Ok(())
    }

    /// Opens the gate and waits for the cycle that was begun.
    pub fn finish(&mut self, m: &mut Mutator<Language>) -> Result<(), String> {
        self.gate.open();
        if std::mem::take(&mut self.background.runs) {
            let ended = &self.background.ended;
            m.blocking(|| ended.recv()).map_err(|_| "the thread of the cycles has ended")?;
        }
        Ok(())
    }

    fn collect(&mut self, m: &mut Mutator<Language>) -> Result<Done, String> {
        self.finish(m)?;
        let record = m.collect();
        match &record.failure {
            Some(why) => Err(format!("a cycle that was waited for failed: {why}")),
            None => Ok(Done::Full(record.marked_objects)),
        }
    }
}

/// Allocates as a compiler's code does, if there is room in the thread's run. What may be a reference is not written.
fn alloc_inline(m: &mut Mutator<Language>, kind: Kind, bytes: usize) -> Option<NonNull<u8>> {
    let granules = bytes.div_ceil(GRANULE);
    if bytes > SMALL_MAX {
        return None;
    }
    let InlineAlloc { cursor, limit, colour, metadata } = m.inline_alloc(kind == Kind::LEAF);
    // SAFETY: this thread's words; its run has room for the object, whose granules have a byte each.
    unsafe {
        let at = *cursor;
        if *limit - at < granules * GRANULE {
            return None;
        }
        *cursor = at + granules * GRANULE;
        let first = metadata.wrapping_add(at / GRANULE);
        let start = kind.number() | *colour;
        if granules == 1 {
            first.write(start | InlineAlloc::END);
        } else {
            first.write(start);
            first.wrapping_add(granules - 1).write(InlineAlloc::END);
        }
        let object: *mut u8 = std::ptr::with_exposed_provenance_mut(at);
        if !bytes.is_multiple_of(GRANULE) {
            // What the size leaves over is traced as well.
            object.add(bytes).cast::<u64>().write(0);
        }
        NonNull::new(object)
    }
}

/// What has to be compared after an operation.
pub enum Done {
    /// A full cycle that marked so many objects.
    Full(u64),
    /// Anything else.
    Some,
}

pub(super) fn no_room(why: OutOfMemory) -> String {
    why.to_string()
}

/// The `k`th of so many.
pub(super) fn nth(k: u8, of: usize) -> Option<usize> {
    (of > 0).then(|| usize::from(k) % of)
}
