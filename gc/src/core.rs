//! What all parts of one heap share: the tables, the spaces, the threads, and where the current cycle stands.

use crate::cycle::mailbox::{Mailbox, Wanted};
use crate::cycle::standing::Standing;
use crate::embedder::Embedder;
use crate::error::Error;
use crate::events::{Events, Reason};
use crate::kind::{Kind, Layout};
use crate::local::{LocalPtr, Run};
use crate::mark::{Packets, Team};
use crate::metadata::{Living, Metadata};
use crate::options::Options;
use crate::reclaim::{self, Colours, Sweeps};
use crate::remembered::Remembered;
use crate::roots::RootSet;
use crate::space::{BlockState, BlockTable, Budget, Claim, Space, Swept, Taken};
use crate::stats::{Ledger, Scope, ms};
use crate::unit::{BLOCK, BlockIndex, GRANULE, Geometry, Granules};
use crate::weak::{WeakReads, WeakState, WeakTables};
use palimpsest_runtime::barrier::{Barrier, Contents, Tracker, Use};
use palimpsest_runtime::crash::Canary;
use palimpsest_runtime::host_fork::{Group, Home, stop_without_heap};
use palimpsest_runtime::ladder::{Footing, Rung};
use palimpsest_runtime::mapping::{HeapMapping, Region};
use palimpsest_runtime::mutator::Registry;
use palimpsest_runtime::sys::event::Event;
use palimpsest_runtime::sys::lock::Mutex;
use palimpsest_runtime::worker::Record;
use palimpsest_runtime::{Bytes, PAGE_SIZE, PageRange};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

/// Blocks that were never used and are made ready ahead of their use: 4 MiB, a few milliseconds of allocation.
const FRESH_READY: usize = 64;

/// Blocks that are made ready by one pair of system calls: each call interrupts all processors the mutators run on.
const READY_AT_ONCE: u32 = 16;

const LISTS: &str = "the lists of free blocks";

/// The state of one heap.
pub(crate) struct Core<E> {
    /// No other heap of this process has or had this number.
    pub(crate) id: u64,
    /// What the moments in records count from.
    pub(crate) made: Instant,
    /// The process that made the heap: a child that it forks has no heap.
    pub(crate) process: AtomicU32,
    pub(crate) home: Arc<Home>,
    /// What is listed for forks; none where children have no heap.
    pub(crate) group: Group,
    /// Whether something could not be prepared for the child that is about to be made.
    pub(crate) fork_failed: AtomicBool,
    /// Whether that thread is the parent's, in a child with a copy, and not yet started here.
    pub(crate) collector_gone: AtomicBool,
    /// Held by the thread that starts the collector's in a child.
    pub(crate) restarting: Mutex<()>,
    pub(crate) embedder: E,
    pub(crate) options: Options,
    /// The same as text, for a report that cannot allocate any.
    pub(crate) options_text: String,
    pub(crate) map: Arc<HeapMapping>,
    /// How the heap is kept while it is marked, unless a cycle has to do without.
    pub(crate) rung: Rung,
    /// What keeps pre-images, on a rung with such a snapshot.
    pub(crate) barrier: Option<Arc<Barrier>>,
    /// What tells which pages were written, on a rung that tracks them.
    pub(crate) tracker: Option<Arc<Tracker>>,
    pub(crate) geometry: Geometry,
    pub(crate) metadata: Metadata,
    pub(crate) blocks: BlockTable,
    pub(crate) budget: Budget,
    pub(crate) traced: Space,
    pub(crate) leaf: Space,
    pub(crate) registry: Registry,
    /// The allocation state of every attached thread. Another thread's is touched in a stopped world only.
    pub(crate) locals: Mutex<Vec<LocalPtr>>,
    pub(crate) roots: Mutex<RootSet>,
    layouts: Layouts,
    colours: Colours,
    /// Whether all reachable objects have one of them: not while a cycle marks, nor after one that failed.
    pub(crate) settled: AtomicBool,
    /// What a cycle of the young looks at beside the roots.
    pub(crate) remembered: Remembered,
    pub(crate) weak_reads: WeakReads,
    pub(crate) weak_tables: WeakTables,
    pub(crate) weak: WeakState,
    pub(crate) packets: Packets,
    pub(crate) team: Team,
    pub(crate) record: Record,
    pub(crate) mailbox: Mailbox,
    /// Where the cycle stands, without a lock.
    pub(crate) standing: Standing,
    pub(crate) canary: Canary,
    /// Raised when the heap goes away, for a collector that waits for a worker.
    pub(crate) control: Event,
    pub(crate) ledger: Ledger,
    pub(crate) events: Events,
    /// Bytes allocated since the heap was made, counted when a thread leaves a run.
    pub(crate) allocated: AtomicU64,
    /// [`Core::allocated`] at which the next cycle begins; `u64::MAX` once it has been asked for.
    pub(crate) next_cycle_at: AtomicU64,
    /// Why the leaf half has no huge pages, where they were asked for.
    pub(crate) no_huge_pages: Option<String>,
    /// Memory given back to the system since the heap was made, in bytes.
    pub(crate) returned: AtomicU64,
    /// How much memory free blocks keep, in bytes.
    pub(crate) keep: AtomicUsize,
    /// Whether the collector's thread has given back all it could and waits for something to happen.
    pub(crate) resting: AtomicBool,
    /// How often threads have taken memory from the spaces: tells one that found none whether others came first.
    pub(crate) claims: AtomicU64,
    /// Allocations left until the stress mode starts its next cycle.
    pub(crate) stress_left: AtomicUsize,
}

/// Pages that are opened in one step.
const OPENED_AT_ONCE: u32 = 1024;

/// Layouts without a header, read by markers without a lock.
#[derive(Default)]
struct Layouts {
    defined: Mutex<usize>,
    packed: [[AtomicU64; 2]; Kind::LAYOUTS],
}

impl<E: Embedder> Core<E> {
    /// The state of a new, empty heap.
    pub(crate) fn new(
        embedder: E,
        options: Options,
        footing: Footing,
        ledger: Ledger,
        events: Events,
        group: Group,
    ) -> Result<Self, Error> {
        static HEAPS: AtomicU64 = AtomicU64::new(0);
        let Footing { rung, heap: map, barrier, tracker } = footing;
        let geometry = Geometry { base: map.base().as_usize(), half: map.half() };
        let half_blocks = geometry.half_blocks();
        Ok(Self {
            id: HEAPS.fetch_add(1, Ordering::Relaxed),
            made: Instant::now(),
            process: AtomicU32::new(std::process::id()),
            home: Arc::default(),
            group,
            fork_failed: AtomicBool::new(false),
            collector_gone: AtomicBool::new(false),
            restarting: Mutex::default(),
            returned: AtomicU64::new(0),
            no_huge_pages: options
                .leaf_huge_pages
                .then(|| map.ask_for_huge_leaf_pages().err())
                .flatten()
                .map(|why| format!("no huge pages for the leaf half: {why}")),
            keep: AtomicUsize::new(options.keep(Bytes(0), options.first_cycle_at(), Bytes(0)).0),
            resting: AtomicBool::new(false),
            claims: AtomicU64::new(0),
            metadata: Metadata::new(2 * geometry.half.0 / GRANULE)?,
            blocks: BlockTable::new(map.base(), 2 * half_blocks)?,
            budget: Budget::new(options.limit, options.reserve()),
            traced: Space::new(BlockIndex(0), half_blocks).map_err(|_| Error::NoMemory(LISTS))?,
            leaf: Space::new(BlockIndex(half_blocks), half_blocks).map_err(|_| Error::NoMemory(LISTS))?,
            registry: Registry::new(),
            locals: Mutex::default(),
            roots: Mutex::default(),
            layouts: Layouts::default(),
            colours: Colours::new(Living::FIRST),
            settled: AtomicBool::new(true),
            remembered: Remembered::new(geometry.half.0 / PAGE_SIZE)?,
            weak_reads: WeakReads::new()?,
            weak_tables: WeakTables::default(),
            weak: WeakState::new(2 * geometry.half.0 / GRANULE)?,
            packets: Packets::new(options.mark_packets(), 2 * half_blocks)?,
            team: Team::new()?,
            record: Record::new()?,
            mailbox: Mailbox::default(),
            standing: Standing::default(),
            canary: Canary::new(),
            control: Event::new()
                .map_err(|errno| palimpsest_runtime::Error::denied("creating an eventfd", errno))?,
            ledger,
            events,
            allocated: AtomicU64::new(0),
            next_cycle_at: AtomicU64::new(options.first_cycle_at().0 as u64),
            stress_left: AtomicUsize::new(options.stress.unwrap_or(0) as usize),
            embedder,
            options_text: options.to_string(),
            options,
            map,
            rung,
            barrier,
            tracker,
            geometry,
        })
    }

    /// Whether this process made the heap. A child of it has neither the heap's memory nor its tables, its locks may be held by
    /// threads that do not exist, and nothing may be touched.
    ///
    /// A child is told by the generation, which counts forks, and one that was made past the C library by its number.
    pub(crate) fn is_ours(&self) -> bool {
        !self.is_lost() && std::process::id() == self.process.load(Ordering::Relaxed)
    }

    /// Whether this process is a child that the C library forked of the one that made the heap: a load and a compare.
    #[inline]
    fn is_lost(&self) -> bool {
        self.home.is_past()
    }

    /// Ends a child in which an operation is called that would wait, or look at what is not there.
    #[inline]
    pub(crate) fn must_be_ours(&self, operation: &str) {
        if self.is_lost() {
            stop_without_heap(operation);
        }
    }

    /// A moment, as records have it: in milliseconds since the heap was made.
    pub(crate) fn age_ms(&self, at: Instant) -> f64 {
        ms(at.duration_since(self.made))
    }

    pub(crate) fn layouts_lock(&self) -> &Mutex<usize> {
        &self.layouts.defined
    }

    /// The tables that a worker shares with this process.
    pub(crate) fn regions(&self) -> Vec<Region<'_>> {
        let mut regions = vec![self.metadata.region()];
        regions.extend(self.blocks.regions());
        regions.extend(self.packets.regions());
        regions.extend(self.weak_reads.regions());
        regions.push(self.remembered.region());
        regions.extend(self.weak.regions());
        regions.push(self.team.region());
        regions
    }

    /// Whether most cycles are of the young.
    pub(crate) fn has_generations(&self) -> bool {
        self.options.young && self.remembers()
    }

    /// Whether the heap learns which pages were written to between two snapshots, as a cycle of the young needs.
    pub(crate) fn remembers(&self) -> bool {
        self.barrier.is_some() || self.tracker.is_some()
    }

    /// The colours of live objects.
    #[inline]
    pub(crate) fn living(&self) -> Living {
        self.colours.living()
    }

    /// Whether an object that starts at this granule, if one does, has the colour of the living: outside cycles, whether the
    /// last one found it; while one marks, whether it was found so far or is younger than the snapshot.
    #[inline]
    pub(crate) fn is_live(&self, granule: usize) -> bool {
        self.living().has(self.metadata.get(granule))
    }

    /// Turns to fresh colours: what is alive has to be found by the marking of this scope. The world is stopped: every
    /// thread's own copy is set as well, and all allocate what the marking passes by.
    pub(crate) fn turn_colours(&self, scope: Scope) {
        // SAFETY: the world is stopped.
        unsafe { self.colours.turn(scope, &self.locals.lock()) };
    }

    /// Sets the colours of the living, in a stopped world.
    pub(crate) fn set_colours(&self, living: Living) {
        // SAFETY: the world is stopped.
        unsafe { self.colours.set(living, &self.locals.lock()) };
    }

    /// Defines a layout without a header.
    pub(crate) fn define_layout(&self, layout: Layout) -> Result<Kind, Error> {
        self.must_be_ours("Heap::define_layout");
        let mut defined = self.layouts.defined.lock();
        let packed = self.layouts.packed.get(*defined).ok_or(Error::TooManyLayouts)?;
        for (to, from) in packed.iter().zip(layout.pack()) {
            // Relaxed: an object of the layout reaches a marker only by way of synchronisation with this thread.
            to.store(from, Ordering::Relaxed);
        }
        *defined += 1;
        Ok(Kind::of_layout(*defined - 1))
    }

    /// A layout without a header. Unused ones have no references.
    #[inline(always)]
    pub(crate) fn layout(&self, k: usize) -> Layout {
        Layout::unpack([0, 1].map(|i| self.layouts.packed[k][i].load(Ordering::Relaxed)))
    }

    /// The space that objects of this kind live in.
    #[inline]
    pub(crate) fn space(&self, leaf: bool) -> &Space {
        if leaf { &self.leaf } else { &self.traced }
    }

    /// How large the object at `granule` is, small or large.
    #[inline]
    pub(crate) fn size_at(&self, granule: usize) -> Granules {
        let block = self.geometry.block_of(granule);
        match self.blocks.get(block) {
            BlockState::LargeHead => self.blocks.large_size(block),
            _ => self.metadata.size(granule),
        }
    }

    /// The start of the object that covers an address, if one does: for words that may be references into the middle of an
    /// object, or anything.
    pub(crate) fn find_object(&self, address: usize) -> Option<usize> {
        let granule = self.geometry.granule(address)?;
        let block = self.geometry.block_of(granule);
        if self.blocks.get(block) == BlockState::Free {
            return None;
        }
        match self.blocks.large_head(block) {
            Some(head) => {
                let start = head.granule();
                (granule - start < self.blocks.large_size(head).0).then_some(start)
            }
            None => self.metadata.start_of(granule),
        }
    }

    /// Makes a block's pages writable without traps, before a thread allocates in it.
    pub(crate) fn open_block(&self, taken: Taken) {
        if let Some(barrier) = &self.barrier
            && self.geometry.is_traced(taken.block)
        {
            // No block is freed while a snapshot is active: what is free now was free then.
            let contents = if taken.recycled { Contents::Objects } else { Contents::Nothing };
            barrier.open(taken.block.pages(), contents);
            barrier.label(taken.block.0, Use::Allocation);
        }
    }

    /// Sweeps a block that is `Sweeping` by the caller and passes it back to its space.
    pub(crate) fn sweep(&self, block: BlockIndex) -> Swept {
        reclaim::sweep(self, block)
    }

    /// Sweeps all that is unswept. How many blocks those were.
    pub(crate) fn finish_sweep(&self) -> u64 {
        reclaim::finish(self)
    }

    /// Opens and populates free blocks of the traced space, so that threads which take them do neither: a page that was armed
    /// costs a system call's share and a second fault otherwise, a new one its first. One step of it; whether there was any to do.
    /// Of blocks that occupy no memory, at most `fresh` are made ready.
    pub(crate) fn prepare_blocks(&self, fresh: usize) -> bool {
        let Some(barrier) = &self.barrier else { return false };
        let fresh = fresh.min(FRESH_READY);
        let Some(blocks) = self.traced.take_unready(READY_AT_ONCE, fresh) else { return false };
        let [first, end] = [blocks.start, blocks.end].map(|block| BlockIndex(block).pages().start.0);
        barrier.open(PageRange::new(first, end), Contents::Nothing);
        self.map.populate(self.geometry.block_address(BlockIndex(blocks.start)), Bytes(blocks.len() * BLOCK));
        self.traced.put_ready(blocks);
        true
    }

    /// Opens all pages of the traced space, between two snapshots, in steps that keep nobody waiting.
    pub(crate) fn open_all(&self) {
        let Some(barrier) = &self.barrier else { return };
        let end = self.traced.used_end().pages().start.0;
        for start in (0..end).step_by(OPENED_AT_ONCE as usize) {
            barrier.open(PageRange::new(start, end.min(start + OPENED_AT_ONCE)), Contents::Nothing);
        }
    }

    /// After a successful cycle: drops dead large objects and declares all blocks unswept.
    pub(crate) fn begin_sweep(&self, scope: Scope) {
        for space in [&self.traced, &self.leaf] {
            space.begin_sweep(&self.blocks, scope);
            let is_dead = |head: BlockIndex| !self.is_live(head.granule());
            space.sweep_large(&self.blocks, &self.budget, is_dead, |blocks, size| {
                self.metadata.clear(BlockIndex(blocks.start).granule(), Granules(1));
                if self.options.poison {
                    self.poison_large(blocks, size);
                    return false;
                }
                // If the kernel refuses, the memory is merely kept, and cleared when it is used again.
                self.release_blocks(blocks)
            });
        }
    }

    /// Takes a thread's block away from it. May be called by the collector for a stopped thread.
    pub(crate) fn retire(&self, run: &mut Run, leaf: bool) {
        if let (Some(block), Some(barrier), false) = (run.block(), &self.barrier, leaf) {
            barrier.label(block.0, Use::Small);
        }
        reclaim::retire(self, run, self.space(leaf));
    }

    /// What the heap occupies, garbage not yet swept included.
    pub(crate) fn used(&self) -> Bytes {
        self.budget.used()
    }

    /// Counts what a thread has allocated, and asks for a cycle when one is due.
    pub(crate) fn count_allocated(&self, bytes: usize) {
        let allocated = self.allocated.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if allocated >= self.next_cycle_at.load(Ordering::Relaxed) {
            self.next_cycle_at.store(u64::MAX, Ordering::Relaxed);
            self.mailbox.request(Wanted::Any, Reason::Allocation);
        }
        // A collector that begins to rest at this very moment is woken by the next run.
        if self.resting.load(Ordering::Relaxed) && self.resting.swap(false, Ordering::Relaxed) {
            self.mailbox.stir();
        }
    }

    /// Whether blocks with old objects in them are to be left alone while there are others: in a snapshot each page of
    /// such a block costs a pre-image.
    pub(crate) fn prefers_empty_blocks(&self) -> bool {
        self.weak_reads.is_marking() && self.used().0 + 16 * BLOCK < self.budget.limit(Claim::Ordinary).0
    }
}

impl<E: Embedder> Sweeps for Core<E> {
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
        self.space(!self.geometry.is_traced(block))
    }

    fn prepare_swept(&self, block: BlockIndex) -> bool {
        if self.options.poison {
            self.poison(block);
        }
        self.geometry.is_traced(block)
            && self.barrier.as_ref().is_some_and(|barrier| barrier.is_open(block.pages()))
    }
}
