//! A thread that reads what the kernel tells, and answers: opens write-protected pages, fills missing ones.
//!
//! It never touches the memory it watches, so it cannot come to wait for itself. Nor does it allocate: where it is told of
//! forks, `fork` waits for it to read the message, and holds the allocator's locks while it waits.

use super::log::{Notice, record};
use super::trap::page_of;
use crate::kernel::uffd::{Message, Uffd};
use crate::kernel::{Answer, process, signals};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A running monitor.
#[derive(Debug)]
pub struct Monitor {
    stop: Arc<OwnedFd>,
    thread: JoinHandle<()>,
}

impl Monitor {
    /// Starts it.
    pub fn start(uffd: Arc<Uffd>) -> Answer<Self> {
        let stop = Arc::new(process::event()?);
        let stopped = stop.clone();
        let serving = Arc::new(AtomicBool::new(false));
        let started = serving.clone();
        let thread = std::thread::spawn(move || {
            started.store(true, Ordering::Release);
            serve(&uffd, &stopped);
        });
        // A thread allocates while it starts, so it must have started before anybody forks.
        while !serving.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        Ok(Self { stop, thread })
    }

    /// Ends it. It holds the descriptor no longer; what was not answered stays so.
    pub fn stop(self) -> Answer<()> {
        process::raise(&self.stop)?;
        // A panic of the thread is on stderr already, and unanswered events show it.
        drop(self.thread.join());
        Ok(())
    }
}

/// Serves the descriptor and that of one child.
fn serve(uffd: &Uffd, stop: &OwnedFd) {
    signals::hold_in_this_thread();
    let mut child: Option<Uffd> = None;
    loop {
        let of_child = child.as_ref().map_or(-1, |child| child.as_raw_fd());
        let fds = [stop.as_raw_fd(), uffd.as_raw_fd(), of_child];
        let Some(ready) = process::readable(fds, Duration::from_secs(3600)) else { continue };
        if ready[0] {
            return;
        }
        if let (true, Some(of_child)) = (ready[2], &child) {
            answer(of_child, Notice::InChild, &mut None);
        }
        if ready[1] {
            answer(uffd, Notice::Protected, &mut child);
        }
    }
}

/// Answers what there is. An answer that the kernel refuses leaves its writer waiting, which shows as a hung question.
fn answer(uffd: &Uffd, as_what: Notice, born: &mut Option<Uffd>) {
    while let Ok(Some(message)) = uffd.message() {
        match message {
            Message::Protected { at } => {
                if let Some((page, span)) = page_of(at) {
                    record(as_what, page);
                    let _ = uffd.unprotect(span);
                }
            }
            Message::Missing { at } => {
                if let Some((page, span)) = page_of(at) {
                    record(Notice::Missing, page);
                    let _ = uffd.fill_protected(span);
                }
            }
            Message::Fork(child) => {
                record(Notice::Fork, 0);
                *born = Some(child);
            }
            Message::Other(_) => {}
        }
    }
}
