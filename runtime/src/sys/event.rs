//! An eventfd: how a thread that must not take a lock (one in the trap handler, say) wakes the collector, which
//! waits for it and for its worker's pidfd at once.

use super::inherited::Listed;
use super::inject::{Call, check};
use super::{Errno, clear, futex};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// How long a caller rests whose wait is denied.
const WITHOUT_POLL: Duration = Duration::from_millis(1);

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
        let fd = clear::of_standard(unlisted()?)?;
        Ok(Self { _listed: Listed::event(&fd), fd })
    }

    /// Raises the event. Async-signal-safe.
    pub fn raise(&self) {
        // Fails only when the counter is full, and then it is raised.
        let _ = check(Call::EventRaise).and_then(|()| rustix::io::write(&self.fd, &1u64.to_ne_bytes()));
    }

    /// Takes the event back; says whether it had been raised.
    pub fn take(&self) -> bool {
        check(Call::EventTake).and_then(|()| rustix::io::read(&self.fd, &mut [0u8; 8])).is_ok()
    }
}

impl AsFd for Event {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The descriptor of a new event. Async-signal-safe.
pub(crate) fn unlisted() -> Result<OwnedFd, Errno> {
    check(Call::Event)?;
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
}

/// Waits until one of the descriptors is readable or the time is over; says which are readable. Where the kernel does not tell
/// (a filter denies the call), there is no answer, after a moment.
pub fn wait_readable<const N: usize>(fds: [BorrowedFd<'_>; N], limit: Duration) -> Option<[bool; N]> {
    let mut polls = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    let limit = rustix::fs::Timespec {
        tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    };
    match check(Call::Poll).and_then(|()| poll(&mut polls, Some(&limit))) {
        // An interrupted poll reports nothing readable, and the caller's loop comes back.
        Ok(_) | Err(Errno::INTR) => Some(polls.map(|p| !p.revents().is_empty())),
        Err(_) => {
            futex::nap(WITHOUT_POLL);
            None
        }
    }
}
