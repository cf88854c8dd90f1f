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
//! * **At the stopped world** the snapshot begins and the last dirty pages are armed ([`Barrier::begin_snapshot`]).
//! * **During a snapshot**, when the world goes on, nothing is armed. Traps save pre-images.
//! * **Ending a snapshot** waits until no handler is at work that may still hold a `Saved` page's slot
//!   ([`epoch`]); only then are slots reused and stale `Saved` words rewritten to `Open`.
//!
//! # What a write costs
//!
//! Nothing on an open page: one store. On an armed page somebody runs the code in `trap.rs` before the store is executed
//! again: the writing thread itself in a signal handler, or a thread that it waits for ([`delivery`]).
//!
//! # Backings
//!
//! The states are the same over shared and over private memory, and so is what a mutator sees of them. Only over shared
//! memory can a worker look at the live page; private memory it inherits, frozen by the kernel.

mod causes;
pub mod delivery;
mod dirty;
pub mod epoch;
mod invariants;
mod pins;
mod pool;
mod registry;
mod retries;
mod rounds;
mod states;
mod testimony;
mod tracker;
mod trap;
pub mod word;

pub(crate) use trap::prepare_thread;

/// What the barriers of a process do when the host forks.
pub(crate) mod around_fork {
    use super::{delivery, registry};

    /// Before.
    pub(crate) fn prepare() {
        registry::before_fork();
    }

    /// After, in the parent.
    pub(crate) fn in_parent() {
        registry::after_fork();
    }

    /// After, in the child. Async-signal-safe.
    pub(crate) fn in_child() {
        registry::begin_anew();
        delivery::protect::begin_anew();
    }
}

pub use causes::{Traps, Use};
pub use delivery::{Delivery, DeliveryKind};
pub use pool::Pool;
pub use registry::MAX_BARRIERS;
pub use rounds::{Choice, Round};
pub use states::{Barrier, Contents, Counts, Pinned};
pub use tracker::Tracker;

use crate::error::Error;
use crate::mapping::HeapMapping;
use crate::sys::Errno;
use crate::sys::uffd::Door;
use crate::unit::Bytes;
use std::sync::Arc;

/// A barrier among those of its process.
impl Barrier {
    /// A barrier over the traced half of `heap`, with pre-images bounded by `pool_limit`. All pages are open.
    ///
    /// `door` is the way to the userfaultfd, for deliveries with one; by default the first that opens. Installs the process's
    /// handler for the delivery's signal if this is the first barrier that needs it.
    ///
    /// # Errors
    /// Where the kernel denies what the delivery needs; [`Error::NotSynchronous`] for one that cannot keep a pre-image;
    /// [`Error::TooManyHeaps`].
    pub fn new(
        heap: Arc<HeapMapping>,
        delivery: DeliveryKind,
        door: Option<Door>,
        pool_limit: Bytes,
    ) -> Result<Arc<Self>, Error> {
        let delivery = delivery::make(delivery, door, &heap)?;
        let barrier = Arc::new(Self::over(heap, delivery, pool_limit)?);
        registry::register(&barrier)?;
        if let Err(error) = barrier.delivery().start(&barrier) {
            barrier.retire();
            return Err(error);
        }
        Ok(barrier)
    }

    /// Takes the barrier away: no page traps afterwards. Waits for handlers at work.
    pub fn retire(self: Arc<Self>) {
        // Pages that stay protected would trap into nothing; the range is unmapped with the heap in any case.
        let _ = self.delivery().give_up();
        self.delivery().stop();
        registry::unregister(&self);
        self.settle();
    }

    /// In a child that has a copy of the heap: no page is armed, all may be dirty, and writes to this process's pages are
    /// noticed from now on. Async-signal-safe.
    ///
    /// # Errors
    /// Where the kernel denies what the delivery needs.
    pub fn begin_anew(self: &Arc<Self>) -> Result<(), Errno> {
        self.forget_states();
        let watched = self.delivery().begin_anew();
        if !self.is_broken() {
            watched?;
        }
        registry::keep(self);
        Ok(())
    }

    /// The same, later, with ordinary code: starts the threads that the barrier has.
    ///
    /// # Errors
    /// Where one cannot be started.
    pub fn restart(self: &Arc<Self>) -> Result<(), Error> {
        self.delivery().start(self)
    }
}
