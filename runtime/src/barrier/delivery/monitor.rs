//! Delivery by a monitor: a thread of its own reads an event for each first write and resolves it, while the writer sleeps
//! in the kernel.
//!
//! Dearer than a signal, since two threads have to be scheduled and woken. In return the *kernel's* writes to
//! armed pages are served like the mutator's (`read(2)` into the heap just works), where the userfaultfd came through a
//! door that sees them; no signal is involved, so threads may block them all; and a debugger does not stop.
//!
//! # Why it cannot deadlock
//!
//! * It never writes to the heap, and reads pages only, which are not registered for missing faults.
//! * It never takes a lock and never waits for the world to stop: it is no mutator, and stopping the world does not wait for
//!   it. A mutator that sleeps in a fault is running, as far as the collector is concerned, until the monitor has answered.
//! * Where it waits (for a page that another thread has taken, for room for a pre-image), those it waits for do not need
//!   it: an opener outside a fault, the collector's thread, the end of the snapshot, which no mutator can hold up.
//! * Every event is answered, also when the page looks resolved: the thread that asked sleeps until somebody wakes it.

use super::{Delivery, DeliveryKind, Registered};
use crate::barrier::Barrier;
use crate::error::Error;
use crate::sys::event::{Event, wait_readable};
use crate::sys::lock::Mutex;
use crate::sys::thread::Thread;
use crate::sys::uffd::Door;
use crate::sys::{Errno, process};
use crate::unit::{PAGE_SIZE, PageIndex, PageRange};
use rustix::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// userfaultfd whose events a thread reads.
#[derive(Debug)]
pub(in crate::barrier) struct Monitor {
    registered: Registered,
    end: Event,
    ended: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

impl Monitor {
    pub(super) fn new(registered: Registered) -> Result<Self, Error> {
        let end = Event::new().map_err(|errno| Error::denied("creating an eventfd", errno))?;
        Ok(Self { registered, end, ended: AtomicBool::new(false), thread: Mutex::default() })
    }
}

impl Delivery for Monitor {
    fn kind(&self) -> DeliveryKind {
        DeliveryKind::Monitor
    }

    fn door(&self) -> Option<Door> {
        Some(self.registered.door)
    }

    fn arm(&self, pages: PageRange) -> Result<(), Error> {
        self.registered.arm(pages)
    }

    #[inline]
    fn open(&self, pages: PageRange) -> Result<(), Errno> {
        self.registered.open(pages)
    }

    fn give_up(&self) -> Result<(), Errno> {
        // Wakes all who wait in a fault. The monitor's own `poll` holds on to the descriptor: it is to look again.
        let result = self.registered.give_up();
        self.end.raise();
        result
    }

    fn begin_anew(&self) -> Result<(), Errno> {
        // The thread is the parent's: there is none to join here. It is started again before anything is armed.
        std::mem::forget(self.thread.lock().take());
        self.registered.begin_anew()
    }

    fn start(&self, barrier: &Arc<Barrier>) -> Result<(), Error> {
        let barrier = barrier.clone();
        let thread = Thread::start(c"palimpsest-uffd", move || barrier.delivery().serve(&barrier));
        let thread = thread.map_err(|errno| {
            Error::advise("starting the monitor thread", errno, "check RLIMIT_NPROC and pids.max")
        })?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    fn stop(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.end.raise();
        if let Some(thread) = self.thread.lock().take() {
            // A monitor that panicked has ended the process.
            thread.join();
        }
    }

    fn serve(&self, barrier: &Barrier) {
        let _stop = process::StopOnUnwind;
        let registered = &self.registered;
        while !self.ended.load(Ordering::SeqCst) {
            // Both outcomes lead to a read, which finds nothing where there is nothing: an event that was announced may be
            // gone, since the fault that it was of has been resolved by another thread.
            wait_readable([registered.uffd.as_fd(), self.end.as_fd()], Duration::from_secs(1));
            self.end.take();
            loop {
                // From before the event is read: whoever waits for handlers waits for this one too, which may be late with
                // the answer to a question that is none any more.
                let _inside = barrier.enter();
                match registered.uffd.next_fault() {
                    Ok(Some(at)) => {
                        let page = (at.as_usize() - registered.heap.base().as_usize()) / PAGE_SIZE;
                        self.answer(barrier, PageIndex(page as u32));
                    }
                    Ok(None) => break,
                    Err(_) => {
                        // Events that cannot be read are writers that sleep for ever. Without protection there are no more of either.
                        barrier.give_up();
                        return;
                    }
                }
            }
        }
    }
}

impl Monitor {
    /// Resolves a fault, and wakes who waits for it, in any case.
    fn answer(&self, barrier: &Barrier, page: PageIndex) {
        if !barrier.resolve_for(page) {
            barrier.give_up();
        }
        let (at, len) = self.registered.heap.span(PageRange::new(page.0, page.0 + 1));
        if self.registered.uffd.wake(at, len).is_err() {
            // The barrier was given up meanwhile, which wakes everybody; or nobody can be woken.
            barrier.give_up();
        }
    }
}
