//! The write barrier: the page table, asked to tell of the first write to a page.
//!
//! # States of a page
//!
//! Each page of the traced half has one word in memory that the workers share ([`word`]):
//!
//! ```text
//!  Open ──arm──▶ Arming ──protected──▶ Armed ──first write, no snapshot──▶ Saving ──unprotected──▶ Open
//!                                        │
//!                                        └──first write, snapshot active─▶ Saving ──pre-image stored──▶ Saved(slot)
//! ```
//!
//! (In a snapshot, a page that held nothing when it was taken is opened as if there were none.)
//!
//! `Arming` is the collector's, `Saving` belongs to the one thread whose compare-and-swap won. In a snapshot the
//! pre-image is stored *before* `Saved` is published (release), and `Saved` is published *before* the page is
//! unprotected. A reader that loads from the live page first and looks at the word second (acquire) can
//! therefore never take a mutator's write for the snapshot: see [`crate::worker::view`].
//!
//! # Who may do what, when
//!
//! * **Between snapshots** the collector arms dirty pages in rounds while mutators write ([`Barrier::arm_round`]).
//!   A page is `Saving` until it is really unprotected, so that the collector cannot arm it in between and have
//!   the late unprotect undo that.
//! * **At the stopped world** the last dirty pages are armed and the snapshot begins.
//! * **During a snapshot** nothing is armed. Traps save pre-images.
//! * **Ending a snapshot** waits until no handler is at work that may still hold a `Saved` page's slot
//!   ([`epoch`]); only then are slots reused and stale `Saved` words rewritten to `Open`.
//!
//! # What a write costs
//!
//! Nothing on an open page: one store. On an armed page the kernel delivers `SIGBUS` to the writer, which runs
//! the code in `trap.rs`, and the store is executed again.

mod dirty;
pub mod epoch;
mod pool;
mod registry;
mod rounds;
mod signal;
mod trap;
pub mod word;

pub(crate) use trap::prepare_thread;

pub use pool::Pool;
pub use registry::MAX_BARRIERS;
pub use rounds::Choice;
pub use signal::SignalDelivery;

use crate::error::Error;
use crate::mapping::{HeapMapping, Shared};
use crate::probe::Found;
use crate::sys::event::Event;
use crate::sys::futex;
use crate::sys::inject::{Call, check};
use crate::unit::{Bytes, PAGE_SIZE, PageIndex, PageRange};
use dirty::DirtyMap;
use epoch::Epoch;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use word::PageWord;

/// How a barrier protects pages. The ways differ in the system calls they make; the state machine above them is
/// one.
pub trait Delivery {
    /// Protects pages: the next write to each is noticed.
    fn arm(&self, pages: PageRange) -> Result<(), Error>;
    /// Lets writes to pages through again. Async-signal-safe.
    fn open(&self, pages: PageRange) -> Result<(), crate::sys::Errno>;
    /// Stops noticing anything, for good, on the whole heap. Async-signal-safe.
    fn give_up(&self) -> Result<(), crate::sys::Errno>;
}

/// Whether a snapshot is being kept.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u32)]
enum Phase {
    Idle,
    Snapshot,
}

/// What pages hold that somebody wants to write to in bulk.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Contents {
    /// Objects of the snapshot, if there is one: their pre-images are kept.
    Objects,
    /// Nothing that was an object when the snapshot was taken.
    Nothing,
}

/// What the barrier has counted since it was made.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub struct Counts {
    /// Writes that trapped.
    pub trapped: u64,
    /// Pages whose pre-image was stored.
    pub preimages: u64,
    /// Pages that were opened in bulk, without a trap.
    pub opened: u64,
    /// Traps that had to wait for the pre-image pool.
    pub stalls: u64,
    /// For how long, in nanoseconds, all together.
    pub stalled_ns: u64,
}

#[derive(Debug, Default)]
struct Counters {
    trapped: AtomicU64,
    preimages: AtomicU64,
    opened: AtomicU64,
    stalls: AtomicU64,
    stalled_ns: AtomicU64,
}

/// The barrier of one heap.
#[derive(Debug)]
pub struct Barrier {
    heap: Arc<HeapMapping>,
    delivery: SignalDelivery,
    words: Shared<AtomicU32>,
    dirty: DirtyMap,
    pool: Pool,
    /// A [`Phase`]; mutators that ran out of pre-image slots wait on it.
    phase: AtomicU32,
    /// The kernel refused to unprotect a page and the barrier was given up. Set before the protection of the
    /// whole heap is removed, so that whoever sees a write that got through also sees this.
    broken: AtomicBool,
    handlers: Epoch,
    counters: Counters,
    /// Raised for the collector: the pool is exhausted, or the barrier broke.
    control: Event,
}

impl Barrier {
    /// A barrier over the traced half of `heap`, with pre-images bounded by `pool_limit`. All pages are open.
    ///
    /// Installs the process's `SIGBUS` handler if this is the first barrier.
    pub fn new(heap: Arc<HeapMapping>, found: &Found, pool_limit: Bytes) -> Result<Arc<Self>, Error> {
        let pages = heap.half().0 / PAGE_SIZE;
        let delivery = SignalDelivery::new(heap.clone(), found.door)?;
        let barrier = Arc::new(Self {
            words: Shared::new("palimpsest-pages", pages)?,
            dirty: DirtyMap::new(pages)?,
            pool: Pool::new(pool_limit, pages)?,
            phase: AtomicU32::new(Phase::Idle as u32),
            broken: AtomicBool::new(false),
            handlers: Epoch::new(),
            counters: Counters::default(),
            control: Event::new().map_err(|errno| Error::system("creating an eventfd", errno))?,
            delivery,
            heap,
        });
        registry::register(&barrier)?;
        Ok(barrier)
    }

    /// Takes the barrier away: no page traps afterwards. Waits for handlers at work.
    pub fn retire(self: Arc<Self>) {
        // Pages that stay protected would trap into nothing; the range is unmapped with the heap in any case.
        let _ = self.delivery.give_up();
        registry::unregister(&self);
        self.handlers.synchronize();
    }

    /// Notes that pages are about to be written to, or hold new objects: the next round looks at them.
    #[inline]
    pub fn note_dirty(&self, pages: PageRange) {
        self.dirty.mark(pages);
    }

    /// Begins to keep the snapshot: from now on the first write to an armed page stores its pre-image.
    ///
    /// Every page that holds an object of the snapshot must be armed, and no thread that writes to the heap
    /// may run: the caller has stopped the world and made the last [`Barrier::arm_round`].
    pub fn begin_snapshot(&self) {
        debug_assert_eq!(self.pool.used(), 0);
        // Pairs with the load in `trap`; a stopped world's resumption orders it anyway.
        self.phase.store(Phase::Snapshot as u32, Ordering::SeqCst);
    }

    /// Ends the snapshot, whether it was used or is given up. Waits for handlers at work, then reclaims all
    /// pre-image slots. Returns how many there were. No worker may read the snapshot any more.
    pub fn end_snapshot(&self) -> u32 {
        self.phase.store(Phase::Idle as u32, Ordering::SeqCst);
        futex::wake_all(&self.phase);
        self.handlers.synchronize();
        let used = self.pool.used();
        for slot in 0..used {
            // No handler holds this slot any more: those that could have were waited for, later ones save nothing.
            // The page is on the dirty map since it was saved.
            self.words[self.pool.owner(slot).0 as usize].store(PageWord::OPEN.raw(), Ordering::Release);
        }
        // A handler that came in since the first wait may have seen a stale `Saved`, and is about to open the page once more,
        // which is open. It must be gone before the page can be armed again.
        self.handlers.synchronize();
        self.pool.reset();
        used
    }

    /// Whether writers wait because the pre-image pool is used up.
    pub fn is_exhausted(&self) -> bool {
        self.pool.is_exhausted()
    }

    /// Whether the barrier had to be given up, with the snapshot that was active.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::SeqCst)
    }

    /// What the collector waits for beside its worker.
    pub fn control(&self) -> &Event {
        &self.control
    }

    /// Opens pages in one step ahead of writes to all of them, storing pre-images first where a snapshot is
    /// active and they hold its objects. May wait for the pre-image pool, as a trap may.
    ///
    /// Called by attached mutators outside safepoints.
    pub fn open(&self, pages: PageRange, contents: Contents) {
        self.open_in_bulk(pages, contents);
        self.dirty.mark(pages);
    }

    /// What has been counted.
    pub fn counts(&self) -> Counts {
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        let c = &self.counters;
        Counts {
            trapped: get(&c.trapped),
            preimages: get(&c.preimages),
            opened: get(&c.opened),
            stalls: get(&c.stalls),
            stalled_ns: get(&c.stalled_ns),
        }
    }

    /// Memory that the barrier's own tables occupy now.
    pub fn populated(&self) -> Bytes {
        Bytes(self.words.populated().0 + self.pool.populated().0)
    }

    /// The heap under this barrier.
    pub fn heap(&self) -> &Arc<HeapMapping> {
        &self.heap
    }

    pub(crate) fn words(&self) -> &[AtomicU32] {
        &self.words
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    #[inline]
    fn word(&self, page: PageIndex) -> &AtomicU32 {
        &self.words[page.0 as usize]
    }

    fn in_snapshot(&self) -> bool {
        self.phase.load(Ordering::Acquire) == Phase::Snapshot as u32
    }

    /// Gives the barrier up because a page cannot be unprotected: removes the protection of all. The snapshot is
    /// lost, no write is. Returns whether writers can go on. Async-signal-safe.
    #[cold]
    fn give_up(&self) -> bool {
        self.broken.store(true, Ordering::SeqCst);
        let done = check(Call::UffdRegister).is_ok() && self.delivery.give_up().is_ok();
        self.control.raise();
        done
    }
}
