//! Descriptors that keep clear of the standard three.
//!
//! A host may have closed its standard input, output or error, and the kernel gives the lowest free number. What is made here
//! must not be one of those: the next message to the standard error would go into the heap's file, a read of the standard
//! input would take the collector's event, and a worker keeps the three when it closes all others.

use super::Errno;
use super::inject::{Call, check};
use rustix::fd::{AsRawFd, OwnedFd};

/// The lowest number that is nobody's by convention.
pub(super) const FIRST: i32 = 3;

/// The same open file, under a number that is not a standard one's.
///
/// # Errors
/// Where there are no more descriptors. The file is closed then.
pub(super) fn of_standard(fd: OwnedFd) -> Result<OwnedFd, Errno> {
    if fd.as_raw_fd() >= FIRST {
        return Ok(fd);
    }
    check(Call::KeepClear)?;
    rustix::io::fcntl_dupfd_cloexec(&fd, FIRST)
}
