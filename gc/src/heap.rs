//! Heaps: making them, and what can be asked of one from any thread.

use crate::core::Core;
use crate::cycle::Collector;
use crate::embedder::Embedder;
use crate::error::Error;
use crate::host_fork::HostFork;
use crate::kind::{Kind, Layout};
use crate::mutator::{Mutator, StackScan};
use crate::options::{Chaos, Options};
use crate::roots::{AsRoots, Handle, RootRange, RootSet, Roots};
use crate::stats::{CycleRecord, Ledger, Listener, Stats};
use palimpsest_runtime::host_fork::{self, Group};
use palimpsest_runtime::ladder::{self, By, Ladder, Wish};
use palimpsest_runtime::sys::lock::Mutex;
use palimpsest_runtime::sys::{limits, process};
use palimpsest_runtime::{Address, Bytes};
use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

/// The smallest heap limit: a few blocks for each of a few threads.
const LEAST_LIMIT: Bytes = Bytes::mib(1);

/// The largest: pages and blocks are counted in 32 bits.
const MOST_LIMIT: Bytes = Bytes::mib(4 << 20);

/// What is said of a heap whose barrier had to be given up.
pub(crate) const BROKEN: &str =
    "the kernel refused to open a page, so the write barrier was given up: every cycle stops the world";

/// A garbage-collected heap.
///
/// This is a handle: clones are the same heap. The heap goes away, with the collector's thread, when the last handle and
/// the last mutator are dropped.
pub struct Heap<E: Embedder>(Arc<Inner<E>>);

struct Inner<E: Embedder> {
    core: Arc<Core<E>>,
    collector: Mutex<Option<JoinHandle<()>>>,
    restarting: Mutex<()>,
}

impl<E: Embedder> Heap<E> {
    /// Begins to make a heap.
    pub fn builder(embedder: E) -> HeapBuilder<E> {
        let limit = Bytes(limits::physical_memory().0 / 2);
        HeapBuilder { embedder, options: Options::new(limit), listener: None }
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
    /// Where the thread blocks `SIGBUS`, by which the write barrier works, or its stack cannot be found; and in a child that
    /// the process forked ([`NoHeapInChild`](palimpsest_runtime::Error::NoHeapInChild)).
    pub fn attach(&self, stack: StackScan) -> Result<Mutator<E>, Error> {
        Mutator::attach(self.clone(), stack)
    }

    /// Makes memory outside the heap a root, until the returned guard is dropped.
    ///
    /// # Safety
    /// Until then: the range is aligned and readable; while the world is stopped nobody writes to it; and where it is
    /// precise, its words are what [`Embedder::decode`] takes. Attached threads may write to it between safepoints.
    pub unsafe fn add_roots(&self, range: RootRange) -> Roots {
        Roots::new(self.core().clone(), range)
    }

    /// Makes a root of one object, until the handle is dropped. The object is alive.
    pub fn handle(&self, object: Address) -> Handle {
        Handle::new(self.core().clone(), object)
    }

    /// What the heap has done and what it occupies.
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
        }
        stats.tables_bytes += core.metadata.populated().0 as u64;
        stats.allocated_bytes = core.allocated.load(Ordering::Relaxed);
        stats.used_bytes = core.used().0 as u64;
        stats.limit_bytes = core.options.limit.0 as u64;
        stats
    }

    /// Which rung of the ladder the heap stands on, what was tried before, and why it was refused.
    pub fn ladder(&self) -> &Ladder {
        &self.core().ledger.ladder
    }

    /// The most that the heap may use.
    pub fn limit(&self) -> Bytes {
        self.core().options.limit
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
        let collector = process::start_thread("palimpsest", move || Collector::new(core).run());
        *self.collector.lock() = Some(collector.map_err(|e| Error::Thread(e.to_string()))?);
        Ok(())
    }

    /// In a child that has a copy of the heap: starts the threads that it has not. That cannot be done where the child begins.
    #[cold]
    fn restart_collector(&self) {
        let _restarting = self.restarting.lock();
        if !self.core.collector_gone.load(Ordering::SeqCst) {
            return;
        }
        // The parent's.
        std::mem::forget(self.collector.lock().take());
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
            // A child of the process that made the heap: there is no collector's thread here, and no heap.
            std::mem::forget((self.core.clone(), self.collector.lock().take()));
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
        if let Some(collector) = collector
            // A listener may drop the last handle, on the collector's own thread.
            && collector.thread().id() != std::thread::current().id()
        {
            // A collector that panicked has said so.
            let _ = collector.join();
        }
        if let Some(barrier) = &self.core.barrier {
            barrier.clone().retire();
        }
    }
}

impl<E: Embedder> AsRoots for Core<E> {
    fn roots(&self) -> Option<&Mutex<RootSet>> {
        self.is_ours().then_some(&self.roots)
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
    listener: Option<Listener>,
}

impl<E: Embedder> HeapBuilder<E> {
    /// The most memory that objects may occupy, in bytes. By default half of the machine's memory, or of the memory
    /// cgroup's limit. What the collector needs beside it is reported in [`Stats::tables_bytes`].
    pub fn limit(mut self, bytes: usize) -> Self {
        self.options.limit = Bytes(bytes);
        self
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
    pub fn rung(mut self, wish: impl Into<Wish>) -> Self {
        self.options.rung = Some(wish.into());
        self
    }

    /// Starts a cycle at least every so many bytes of allocation. By default a cycle starts when as much has been
    /// allocated as was live after the last one, and 32 MiB at least.
    pub fn cycle_every(mut self, bytes: usize) -> Self {
        self.options.cycle_every = Some(Bytes(bytes));
        self
    }

    /// Whether most cycles look at young objects only, where the heap remembers what is written ([`Scope`](crate::Scope)). By
    /// default they do.
    pub fn young(mut self, young: bool) -> Self {
        self.options.young = young;
        self
    }

    /// The most memory that pre-images may occupy, in bytes; by default half of the heap limit. When it is used up,
    /// writers wait for the cycle for a tenth of a second at most, then the cycle is given up.
    pub fn preimage_limit(mut self, bytes: usize) -> Self {
        self.options.preimage_limit = Some(Bytes(bytes));
        self
    }

    /// For tests: starts a cycle every so many allocations, verifies the heap after each cycle and poisons what is freed.
    pub fn stress(mut self, every_allocations: u64) -> Self {
        self.options.stress = Some(every_allocations.max(1));
        self.verify(true).poison(true)
    }

    /// Verifies the whole heap in the stopped world after every cycle; a heap that is found corrupt ends the process with a
    /// report. Slow: for tests.
    pub fn verify(mut self, verify: bool) -> Self {
        self.options.verify = verify;
        self
    }

    /// Fills the memory of freed small objects with a pattern, so that a use after free is seen.
    pub fn poison(mut self, poison: bool) -> Self {
        self.options.poison = poison;
        self
    }

    /// For tests: one worker in so many is killed, or stopped, at a random moment.
    pub fn worker_chaos(mut self, one_in: u32) -> Self {
        self.options.chaos = Chaos::one_in(one_in);
        self
    }

    /// How long a worker may make no progress before it is killed and its cycle fails; 10 seconds by default. It matters
    /// where workers can be stopped from outside, by a debugger or a frozen cgroup.
    pub fn worker_patience(mut self, patience: std::time::Duration) -> Self {
        self.options.patience = patience;
        self
    }

    /// For tests of what happens when marking runs out of room: how many packets of references there are.
    #[doc(hidden)]
    pub fn mark_packets(mut self, packets: usize) -> Self {
        self.options.mark_packets = Some(packets);
        self
    }

    /// Calls `listener` with every cycle's record, on the collector's thread. That thread has all signals blocked: the
    /// listener does not write to the heap. The next cycle waits for it.
    pub fn on_cycle(mut self, listener: impl Fn(&CycleRecord) + Send + Sync + 'static) -> Self {
        self.listener = Some(Box::new(listener));
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
    pub fn host_fork(mut self, policy: HostFork) -> Self {
        self.options.host_fork = policy;
        self
    }

    /// Makes the heap and starts its collector's thread.
    ///
    /// # Errors
    /// Where a limit does not allow a heap of this size, memory or a thread cannot be had, or a rung is forced that does not
    /// hold. Where none is forced, that there is no write barrier is no error: see [`HeapBuilder::rung`].
    pub fn build(self) -> Result<Heap<E>, Error> {
        let Self { embedder, options, listener } = self;
        if options.limit < LEAST_LIMIT {
            return Err(Error::LimitTooSmall(options.limit, LEAST_LIMIT));
        }
        if options.limit > MOST_LIMIT {
            return Err(Error::LimitTooLarge(options.limit, MOST_LIMIT));
        }
        // Address space is cheap, and twice the limit leaves runs of free blocks for large objects.
        let half = Bytes(options.limit.0.saturating_mul(2));
        let (wish, by) = match options.rung {
            Some(wish) => (wish, By::Builder),
            None => ladder::from_environment()?
                .map_or((Wish::default(), By::Default), |wish| (wish, By::Environment)),
        };
        let copies = options.host_fork == HostFork::Copy;
        let group = if copies { Group::new() } else { Group::NONE };
        let core = group.with(|| {
            let (footing, ladder) = ladder::climb(wish, by, half, options.preimage_limit())?;
            let ledger = Ledger::new(ladder, listener);
            Core::new(embedder, options, footing.clone(), ledger, group).inspect_err(|_| footing.leave())
        })?;
        let core = Arc::new(core);
        let inner = Inner { core: core.clone(), collector: Mutex::default(), restarting: Mutex::default() };
        inner.start_collector()?;
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
