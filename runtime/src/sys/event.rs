//! An eventfd: how a thread that must not take a lock (one in the trap handler, say) wakes the collector, which
//! waits for it and for its worker's pidfd at once.

use super::Errno;
use super::inherited::Listed;
use super::inject::{Call, check};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// A counter in the kernel that can be waited for.
#[derive(Debug)]
pub struct Event {
    // Dropped before the descriptor is.
    _listed: Listed,
    fd: OwnedFd,
}

impl Event {
    /// A new event, not raised.
    pub fn new() -> Result<Self, Errno> {
        check(Call::Event)?;
        let fd = unlisted()?;
        Ok(Self { _listed: Listed::event(&fd), fd })
    }

    /// Raises the event. Async-signal-safe.
    pub fn raise(&self) {
        // Fails only when the counter is full, and then it is raised.
        let _ = rustix::io::write(&self.fd, &1u64.to_ne_bytes());
    }

    /// Takes the event back; says whether it had been raised.
    pub fn take(&self) -> bool {
        rustix::io::read(&self.fd, &mut [0u8; 8]).is_ok()
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The descriptor of a new event. Async-signal-safe.
pub(crate) fn unlisted() -> Result<OwnedFd, Errno> {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
}

/// Waits until one of the descriptors is readable or the time is over; says which are readable.
pub fn wait_readable<const N: usize>(fds: [BorrowedFd<'_>; N], limit: Duration) -> [bool; N] {
    let mut polls = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    let limit = rustix::fs::Timespec {
        tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    };
    // An interrupted or failed poll reports nothing readable, and the caller's loop comes back.
    let _ = poll(&mut polls, Some(&limit));
    polls.map(|p| !p.revents().is_empty())
}
