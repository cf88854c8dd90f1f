//! Heaps: making them, and what can be asked of one from any thread.

use crate::core::Core;
use crate::cycle::Collector;
use crate::embedder::Embedder;
use crate::error::Error;
use crate::events::{Events, Listener, OnCycle};
use crate::footprint::Footprint;
use crate::histogram::Histogram;
use crate::host_fork::HostFork;
use crate::kind::{Kind, Layout};
use crate::mutator::{Mutator, StackScan};
use crate::options::{self, Given, Options, Row, Source, Value};
use crate::roots::{AsRoots, Handle, RootRange, RootSet, Roots};
use crate::stats::{CycleRecord, Ledger, Stats};
use crate::weak::WeakRefs;
use palimpsest_runtime::crash::Presence;
use palimpsest_runtime::host_fork::{self, Group};
use palimpsest_runtime::ladder::{self, Ladder, Wish};
use palimpsest_runtime::mutator::aside;
use palimpsest_runtime::sys::lock::Mutex;
use palimpsest_runtime::sys::process;
use palimpsest_runtime::sys::thread::Thread;
use palimpsest_runtime::worker::MAX_WORKERS;
use palimpsest_runtime::{Address, Bytes};
use std::fmt;
use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

/// What is said of a heap whose barrier had to be given up.
pub(crate) const BROKEN: &str =
    "the kernel refused to open a page, so the write barrier was given up: every cycle stops the world";

/// A garbage-collected heap.
///
/// Clones are the same heap. It goes away, with the collector's thread and all objects, when the last clone and the last mutator are
/// dropped, and gives its memory back to the system. That waits for the collector to end what it is doing, and is a safepoint of other
/// heaps that the thread runs in. What else was made for it does not keep it: a [`Handle`], [`Roots`], a
/// [`WeakRef`](crate::WeakRef), [`WeakMap`](crate::WeakMap) or [`Ephemeron`](crate::Ephemeron) may be dropped afterwards. As long as there
/// is one, the addresses stay reserved, and read as zero, and small tables stay.
pub struct Heap<E: Embedder>(Arc<Inner<E>>);

struct Inner<E: Embedder> {
    core: Arc<Core<E>>,
    collector: Mutex<Option<Thread>>,
    /// That the heap is heard where an invariant does not hold.
    presence: ManuallyDrop<Presence>,
}

impl<E: Embedder> Heap<E> {
    /// Begins to make a heap.
    pub fn builder(embedder: E) -> HeapBuilder<E> {
        let options = Options::new(options::default_limit());
        HeapBuilder { embedder, options, given: Given::default(), listeners: Vec::new() }
    }

    /// Defines which words of objects of a new kind are references. For objects without a header; those with one tell
    /// their layout through [`Embedder::layout`].
    ///
    /// # Errors
    /// [`Error::TooManyLayouts`] after [`Kind::LAYOUTS`] of them.
    pub fn define_layout(&self, layout: Layout) -> Result<Kind, Error> {
        self.core().define_layout(layout)
    }

    /// Attaches the calling thread. The mutator cannot leave it.
    ///
    /// With [`StackScan::Conservative`] the thread runs on its own stack at every safepoint: the stack of a coroutine is
    /// not known here, and a scan of all between the two would fault. Scan such stacks as root ranges.
    ///
    /// # Errors
    /// Where the thread blocks `SIGBUS`, by which the write barrier works, or its stack cannot be found; on the collector's thread
    /// ([`Error::CollectorThread`]), where listeners are called; and in a child that the process forked
    /// ([`NoHeapInChild`](palimpsest_runtime::Error::NoHeapInChild)).
    pub fn attach(&self, stack: StackScan) -> Result<Mutator<E>, Error> {
        Mutator::attach(self.clone(), stack)
    }

    /// Makes memory outside the heap a root, until the returned guard is dropped.
    ///
    /// # Safety
    /// Until then: the range is aligned and readable; while the world is stopped nobody writes to it; and where it is
    /// precise, its words are what [`Embedder::decode`] takes. Attached threads may write to it between safepoints.
    ///
    /// # Panics
    /// Where the host's allocator has no memory to note it; [`Heap::try_add_roots`] does not.
    pub unsafe fn add_roots(&self, range: RootRange) -> Roots {
        // SAFETY: passed on to the caller.
        unsafe { self.try_add_roots(range) }.unwrap_or_else(|why| panic!("{why}"))
    }

    /// As [`Heap::add_roots`].
    ///
    /// # Errors
    /// [`Error::NoMemory`] where the host's allocator has no memory to note it.
    ///
    /// # Safety
    /// As for [`Heap::add_roots`].
    pub unsafe fn try_add_roots(&self, range: RootRange) -> Result<Roots, Error> {
        Roots::new(self.core().clone(), range)
    }

    /// Makes a root of one object, until the handle is dropped. The object is alive.
    ///
    /// # Panics
    /// Where the host's allocator has no memory for it; [`Heap::try_handle`] does not.
    pub fn handle(&self, object: Address) -> Handle {
        self.try_handle(object).unwrap_or_else(|why| panic!("{why}"))
    }

    /// As [`Heap::handle`].
    ///
    /// # Errors
    /// [`Error::NoMemory`] where the host's allocator has no memory for it.
    pub fn try_handle(&self, object: Address) -> Result<Handle, Error> {
        Handle::new(self.core().clone(), object)
    }

    /// What the heap has done and what it occupies. What is populated is asked of the kernel, which looks at page tables for
    /// that: about a millisecond for each gibibyte of private memory in use.
    pub fn stats(&self) -> Stats {
        let core = self.core();
        core.must_be_ours("Heap::stats");
        let mut stats = core.ledger.stats();
        if let Some(barrier) = &core.barrier {
            let counts = barrier.counts();
            if barrier.is_broken() {
                stats.degraded = Some(BROKEN.into());
            }
            stats.trapped_pages = counts.trapped;
            stats.traps_between = counts.traps.between;
            stats.traps_in_snapshot = counts.traps.in_snapshot;
            stats.traps_small = counts.traps.small;
            stats.traps_allocation = counts.traps.allocation;
            stats.traps_large = counts.traps.large;
            stats.traps_recurrent = counts.traps.recurrent;
            stats.traps_neighbouring = counts.traps.neighbouring;
            stats.opened_pages = counts.opened;
            stats.preimages = counts.preimages;
            stats.pool_stalls = counts.stalls;
            stats.pool_stalled_ms = counts.stalled_ns as f64 / 1e6;
            stats.tables_bytes = barrier.populated().0 as u64;
            stats.preimage_bytes = barrier.pool_populated().0 as u64;
        }
        if let Some(why) = &core.no_huge_pages {
            let other = stats.degraded.take().map(|other| format!("{other}; ")).unwrap_or_default();
            stats.degraded = Some(format!("{other}{why}"));
        }
        stats.tables_bytes += (core.metadata.populated().0 + core.packets.populated().0) as u64;
        let resident = core.resident();
        stats.resident_traced_bytes = resident[0].0 as u64;
        stats.resident_leaf_bytes = resident[1].0 as u64;
        stats.resident_bytes = stats.resident_traced_bytes + stats.resident_leaf_bytes;
        stats.returned_bytes = core.returned.load(Ordering::Relaxed);
        stats.allocated_bytes = core.allocated.load(Ordering::Relaxed);
        stats.used_bytes = core.used().0 as u64;
        stats.finalizers_registered = core.registered_finalizers() as u64;
        stats.finalizable = core.weak.waiting.queued() as u64;
        stats.finalizers_taken = core.weak.waiting.taken();
        stats.limit_bytes = core.options.limit.0 as u64;
        stats
    }

    /// What the whole process occupies, as the kernel counts it, and the most that a worker had for itself. The kernel walks all
    /// of the process's page tables for that: milliseconds, for a large process.
    ///
    /// # Errors
    /// Where `/proc/self/smaps_rollup` cannot be read: it came with Linux 4.14, and a sandbox may not have it.
    pub fn footprint(&self) -> Result<Footprint, Error> {
        self.core().must_be_ours("Heap::footprint");
        Footprint::look(self.core())
    }

    /// Whether an object starts at this address: one that is alive, or one that is dead and was not reclaimed yet. For interfaces
    /// that are handed addresses by others: an address is only good for as long as something keeps its object alive.
    pub fn is_object(&self, at: Address) -> bool {
        let core = self.core();
        core.must_be_ours("Heap::is_object");
        let granule = core.geometry.start_granule(at.as_usize());
        granule.is_some_and(|granule| core.metadata.get(granule).start().is_some())
    }

    /// Whether so many bytes from this address on are memory of the heap, whatever is there.
    pub fn has_memory(&self, at: Address, bytes: usize) -> bool {
        self.core().geometry.has(at, Bytes(bytes))
    }

    /// Which rung of the ladder the heap stands on, what was tried before, and why it was refused.
    pub fn ladder(&self) -> &Ladder {
        &self.core().ledger.ladder
    }

    /// How long ago the heap was made: the clock of moments such as [`CycleRecord::began_ms`], for placing them among the program's.
    pub fn age(&self) -> std::time::Duration {
        self.core().made.elapsed()
    }

    /// The most that the heap may use.
    pub fn limit(&self) -> Bytes {
        self.core().options.limit
    }

    /// The options that the heap was made with and that are not as they would be by themselves, as a string for
    /// [`HeapBuilder::options`]: `limit=512M,cycle-every=64M`. Wherever they came from.
    pub fn options(&self) -> String {
        self.core().options.to_string()
    }

    /// All pauses so far, each as the mutators saw it: from the request to stop until they ran again.
    pub fn pauses(&self) -> Histogram {
        self.core().must_be_ours("Heap::pauses");
        self.core().ledger.pauses()
    }

    /// The first part of each pause: from the request to stop until all threads had stopped. Where these are long, some thread
    /// seldom polls.
    pub fn stops(&self) -> Histogram {
        self.core().must_be_ours("Heap::stops");
        self.core().ledger.stops()
    }

    /// First writes to armed pages so far, as [`Stats::trapped_pages`], for asking often: 0 where there is no barrier.
    pub fn trapped_pages(&self) -> u64 {
        let core = self.core();
        core.must_be_ours("Heap::trapped_pages");
        core.barrier.as_ref().map_or(0, |barrier| barrier.counts().trapped)
    }

    /// Whether this process has the heap: not a child that was forked of the one that made it and got no copy, by
    /// [`HostFork::NoHeap`] or since the copy was refused. Such a child may drop what it has of the heap, and is ended if it does
    /// anything else with it. For destructors that would touch objects. Any thread may ask; it takes a system call.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use palimpsest::{Heap, PlainPointers};
    /// let heap = Heap::builder(PlainPointers).limit(16 << 20).build()?;
    /// assert!(heap.is_here());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_here(&self) -> bool {
        self.core().is_ours()
    }

    /// The embedder this heap was made with.
    pub fn embedder(&self) -> &E {
        &self.core().embedder
    }

    pub(crate) fn core(&self) -> &Arc<Core<E>> {
        &self.0.core
    }

    /// What every operation looks at that is rare or may wait: ends a child without a heap; starts the collector of one that
    /// has a copy.
    #[inline]
    pub(crate) fn look_around(&self, operation: &str) {
        self.core().must_be_ours(operation);
        if self.core().collector_gone.load(Ordering::Relaxed) {
            self.0.restart_collector();
        }
    }
}

impl<E: Embedder> Clone for Heap<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E: Embedder> fmt::Debug for Heap<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Heap({} of {} in use)", self.core().used(), self.limit())
    }
}

impl<E: Embedder> Inner<E> {
    fn start_collector(&self) -> Result<(), Error> {
        let core = self.core.clone();
        let collector = Thread::start(c"palimpsest", move || {
            Collector::new(core.clone()).run();
            core.end();
        });
        *self.collector.lock() = Some(collector.map_err(|e| Error::Thread(e.to_string()))?);
        Ok(())
    }

    /// In a child that has a copy of the heap: starts the threads that it has not. That cannot be done where the child begins.
    #[cold]
    fn restart_collector(&self) {
        let _restarting = self.core.restarting.lock();
        if !self.core.collector_gone.load(Ordering::SeqCst) {
            return;
        }
        // The parent's.
        std::mem::forget(self.collector.lock().take());
        self.core.weak_tables.forget_held();
        let barrier = self.core.barrier.as_ref().map_or(Ok(()), |barrier| barrier.restart());
        if let Err(why) = barrier.map_err(Error::from).and_then(|()| self.start_collector()) {
            // Whoever needs memory would wait for it for ever.
            process::stop(&format!("palimpsest: a child cannot go on with its copy of the heap: {why}\n"));
        }
        self.core.collector_gone.store(false, Ordering::SeqCst);
    }
}

impl<E: Embedder> Drop for Inner<E> {
    fn drop(&mut self) {
        if !self.core.is_ours() {
            // A child of the process that made the heap: there is no collector's thread here, and no heap. Nor anybody who would let go
            // of the lock, if it is held.
            std::mem::forget((
                self.core.clone(),
                self.collector.try_lock().and_then(|mut thread| thread.take()),
            ));
            return;
        }
        self.core.mailbox.shut_down();
        self.core.control.raise();
        if let Some(barrier) = &self.core.barrier {
            // Perhaps the collector is waiting for a worker.
            barrier.control().raise();
        }
        if self.core.collector_gone.load(Ordering::Relaxed) {
            std::mem::forget(self.collector.lock().take());
        }
        let collector = self.collector.lock().take();
        match collector {
            // A listener may drop the last clone, on the collector's own thread, which ends the heap when it has come to its end.
            Some(collector) if collector.is_current() => {}
            // A collector that panicked has said so. Another heap's must not wait for this thread meanwhile.
            Some(collector) => aside(|| collector.join()),
            // It was never started.
            None => self.core.end(),
        }
        // SAFETY: not used again. In a child without the heap it is leaked, like all that belongs to one.
        unsafe { ManuallyDrop::drop(&mut self.presence) };
    }
}

impl<E: Embedder> AsRoots for Core<E> {
    fn roots(&self) -> Option<&Mutex<RootSet>> {
        self.is_ours().then_some(&self.roots)
    }

    fn weak_refs(&self) -> Option<&WeakRefs> {
        self.is_ours().then_some(&self.weak.refs)
    }
}

impl<E> fmt::Debug for Core<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Core at {:#x}", self.geometry.base)
    }
}

/// A heap in the making.
#[must_use = "a builder does nothing until `build`"]
pub struct HeapBuilder<E> {
    embedder: E,
    options: Options,
    given: Given,
    listeners: Vec<Box<dyn Listener>>,
}

impl<E: Embedder> HeapBuilder<E> {
    /// The most processes that can mark one snapshot.
    pub const MOST_WORKERS: usize = MAX_WORKERS;

    /// Sets options from a string, as a program has it from its user: `limit=512M,cycle-every=64M,rung=preimage/signal`. The module
    /// [`options`] says how one is written, and [`options::all`] what there is.
    ///
    /// An option that a method of this builder sets, before or after, is left alone. The environment variable
    /// [`options::VARIABLE`] has such a string too, for options that neither sets; [`HeapBuilder::build`] reads it.
    ///
    /// # Errors
    /// Where an option is unknown or does not take its value; the message says what it takes.
    pub fn options(mut self, text: &str) -> Result<Self, Error> {
        self.options.read(&mut self.given, text, Source::Text)?;
        Ok(self)
    }

    fn choose<T: Value>(mut self, row: &Row<T>, value: T) -> Self {
        self.options.choose(&mut self.given, row, value);
        self
    }

    /// The most memory that objects may occupy, in bytes; beyond it allocation is an error. By default half of the machine's
    /// memory, or of the memory cgroup's limit. A small part of it is kept back ([`HeapBuilder::reserve`]). What the collector
    /// needs beside it is reported in [`Stats::tables_bytes`].
    pub fn limit(self, bytes: usize) -> Self {
        self.choose(&options::LIMIT, Bytes(bytes))
    }

    /// Forces a rung of the ladder: how the heap is kept while it is marked ([`Snapshot`](crate::Snapshot)), and if wanted how writes are
    /// noticed and through which door. Where it cannot be had, [`HeapBuilder::build`] fails and says what to change.
    ///
    /// By default the heap takes the best rung that holds; [`Heap::ladder`] says which one and why, and
    /// [`Stats::degraded`] if it is not the first. The environment variable `PALIMPSEST_RUNG` forces a rung too, for heaps
    /// whose program forces none: `preimage`, `preimage/monitor`, `preimage/signal/device`, `forkcow`, `stw`.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use palimpsest::{Heap, PlainPointers, Snapshot, Wish};
    /// let heap = Heap::builder(PlainPointers).limit(16 << 20).rung(Snapshot::StopTheWorld).build()?;
    /// assert_eq!(heap.ladder().chosen().snapshot, Snapshot::StopTheWorld);
    /// // The same from an option of the program's user.
    /// let wish: Wish = "stw".parse()?;
    /// let heap = Heap::builder(PlainPointers).limit(16 << 20).rung(wish).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn rung(self, wish: impl Into<Wish>) -> Self {
        self.choose(&options::RUNG, wish.into())
    }

    /// Starts a cycle at least every so many bytes of allocation. By default a cycle starts when as much has been
    /// allocated as [`HeapBuilder::growth`] and [`HeapBuilder::min_headroom`] say: as much as was live after the last one, and
    /// 16 MiB at least.
    pub fn cycle_every(self, bytes: usize) -> Self {
        self.choose(&options::CYCLE_EVERY, Bytes(bytes))
    }

    /// Whether most cycles look at young objects only, where the heap remembers what is written ([`Scope`](crate::Scope)). By
    /// default they do.
    pub fn young(self, young: bool) -> Self {
        self.choose(&options::YOUNG, young)
    }

    /// Above so many bytes the collector works harder: cycles come closer together, down to one for every sixteenth of what is
    /// live (one mebibyte at least), and free memory goes back to the system at once. It is never an error. By default there
    /// is none. A soft limit above [`HeapBuilder::limit`] has no effect.
    pub fn soft_limit(self, bytes: usize) -> Self {
        self.choose(&options::SOFT_LIMIT, Bytes(bytes))
    }

    /// How much is allocated between cycles, in percent of what was live after the last one: 100 by default. More means fewer
    /// cycles and more memory.
    pub fn growth(self, percent: u32) -> Self {
        self.choose(&options::GROWTH, percent.into())
    }

    /// How many bytes are allocated between cycles at least, however little is live, as far as the limits allow: 16 MiB by
    /// default. At least a block of 64 KiB.
    pub fn min_headroom(self, bytes: usize) -> Self {
        self.choose(&options::MIN_HEADROOM, Bytes(bytes))
    }

    /// How many bytes of the limit are kept for [`Mutator::with_reserve`]. By default a sixty-fourth, but at least two blocks of
    /// 64 KiB and at most 4 MiB; never more than half of the limit.
    pub fn reserve(self, bytes: usize) -> Self {
        self.choose(&options::RESERVE, Bytes(bytes))
    }

    /// After how long without a cycle and without allocation the collector's thread gives all free memory of the heap, and what
    /// the tables keep, back to the system: 5 seconds by default. `Duration::MAX` is never.
    pub fn idle_after(self, time: std::time::Duration) -> Self {
        self.choose(&options::IDLE_AFTER, time)
    }

    /// Asks the kernel for huge pages for the leaf half; by default it is not asked. Reading and writing large buffers gets
    /// cheaper, and pauses may get longer: a thread that touches a huge page first is kept in the kernel until two mebibytes
    /// are cleared, and reaches no safepoint meanwhile (8 to 12 ms were seen on a virtual machine). Memory goes back to the
    /// system in pieces, which breaks huge pages up. Where the kernel has none to give, [`Stats::degraded`] says so.
    pub fn leaf_huge_pages(self, on: bool) -> Self {
        self.choose(&options::LEAF_HUGE_PAGES, on)
    }

    /// The most memory that pre-images may occupy, in bytes; by default half of the heap limit. When it is used up,
    /// writers wait for the cycle for a tenth of a second at most, then the cycle is given up.
    pub fn preimage_limit(self, bytes: usize) -> Self {
        self.choose(&options::PREIMAGE_LIMIT, Bytes(bytes))
    }

    /// For tests: starts a cycle every so many allocations. Verifies the heap after each cycle and poisons what is freed, unless
    /// [`HeapBuilder::verify`] and [`HeapBuilder::poison`] are told otherwise.
    pub fn stress(self, every_allocations: u64) -> Self {
        self.choose(&options::STRESS, every_allocations)
    }

    /// Verifies the whole heap in the stopped world after every cycle; a heap that is found corrupt ends the process with a
    /// report. Slow: for tests.
    pub fn verify(self, verify: bool) -> Self {
        self.choose(&options::VERIFY, verify)
    }

    /// Fills freed memory with a pattern ([`POISON`](crate::POISON)), so that a use after free is seen: that of small and of large
    /// objects, and of whole blocks. Memory is not given back to the system then. For tests: sweeping writes to all that it frees.
    pub fn poison(self, poison: bool) -> Self {
        self.choose(&options::POISON, poison)
    }

    /// For tests: one worker in so many is killed, or stopped, at a random moment. Where there are several, this holds for each.
    pub fn worker_chaos(self, one_in: u32) -> Self {
        self.choose(&options::WORKER_CHAOS, one_in.into())
    }

    /// How long a worker may make no progress before it is killed and its cycle fails; 10 seconds by default. It matters
    /// where workers can be stopped from outside, by a debugger or a frozen cgroup.
    pub fn worker_patience(self, patience: std::time::Duration) -> Self {
        self.choose(&options::WORKER_PATIENCE, patience)
    }

    /// How many processes mark a snapshot, 1 to [`HeapBuilder::MOST_WORKERS`]. By default one where the program may use up to four
    /// processors, and about a quarter of them where there are more, at most eight.
    ///
    /// More of them mark sooner, and take processors from the program for as long. They matter where marking takes so long that
    /// the program reaches the heap limit, or writes to much of the heap meanwhile. Each costs a fork, out of the pause. Where
    /// the kernel refuses one, the cycle goes on with fewer, and [`CycleRecord::fewer_workers`] says why. In the stopped
    /// world marking is done by the collector's thread alone.
    pub fn workers(self, workers: usize) -> Self {
        self.choose(&options::WORKERS, workers as u64)
    }

    /// For tests of what happens when marking runs out of room: how many packets of references there are.
    #[doc(hidden)]
    pub fn mark_packets(mut self, packets: usize) -> Self {
        self.options.mark_packets = Some(packets);
        self
    }

    /// Calls `f` with every cycle's record, on the collector's thread, as a [`Listener`] that hears of nothing else.
    pub fn on_cycle(self, f: impl Fn(&CycleRecord) + Send + Sync + 'static) -> Self {
        self.listener(OnCycle(f))
    }

    /// Has `listener` told of what the collector does. There may be several; they are called in the order in which they were
    /// added.
    pub fn listener(mut self, listener: impl Listener + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// What children have of the heap that the process forks; by default nothing. [`HostFork::Copy`] says what a copy costs.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use palimpsest::{Heap, HostFork, PlainPointers};
    /// let heap = Heap::builder(PlainPointers).limit(16 << 20).host_fork(HostFork::Copy).build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn host_fork(self, policy: HostFork) -> Self {
        self.choose(&options::HOST_FORK, policy)
    }

    /// Makes the heap and starts its collector's thread.
    ///
    /// # Errors
    /// Where an option has a value that it does not take, a limit does not allow a heap of this size, memory or a thread cannot be had, or a rung is forced that does not
    /// hold. Where none is forced, that there is no write barrier is no error: see [`HeapBuilder::rung`].
    pub fn build(self) -> Result<Heap<E>, Error> {
        let Self { embedder, mut options, mut given, listeners } = self;
        let by = options.finish(&mut given, std::env::var_os(options::VARIABLE))?;
        // Address space is cheap, and twice the limit leaves runs of free blocks for large objects.
        let half = Bytes(options.limit.0.saturating_mul(2));
        let wish = options.rung.unwrap_or_default();
        let copies = options.host_fork == HostFork::Copy;
        let group = if copies { Group::new() } else { Group::NONE };
        let events = Events::new(listeners);
        let core = group.with(|| {
            let (footing, ladder) = ladder::climb(wish, by, half, options.preimage_limit())?;
            let ledger = Ledger::new(ladder);
            Core::new(embedder, options, footing.clone(), ledger, events, group)
                .inspect_err(|_| footing.leave())
        })?;
        let core = Arc::new(core);
        let presence = ManuallyDrop::new(Presence::of(core.clone()));
        let inner = Inner { core: core.clone(), collector: Mutex::default(), presence };
        inner.start_collector()?;
        // Nobody has the heap yet who could ask for a cycle.
        core.events.tell(|listener| listener.heap_made(&core.ledger.ladder));
        if copies {
            let core: Weak<Core<E>> = Arc::downgrade(&core);
            host_fork::copy(core);
        }
        Ok(Heap(Arc::new(inner)))
    }
}

impl<E> fmt::Debug for HeapBuilder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeapBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}
