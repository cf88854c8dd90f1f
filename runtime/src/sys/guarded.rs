//! Memory with guards on either side: in builds with debug assertions, a page before and a page behind that nobody may touch,
//! so that what runs over the edge of a table faults there, instead of changing the table beside it. A release build maps the
//! same without guards.
//!
//! A guard is inherited by children of the process, as memory that they may not touch either; what it guards is not.

use super::Errno;
use super::memory;
use crate::error::Error;
use crate::unit::{Address, Bytes, PAGE_SIZE};
use memmap2::MmapMut;
use rustix::fd::BorrowedFd;

/// How much is guarded on either side.
pub const GUARD: Bytes = Bytes(if cfg!(debug_assertions) { PAGE_SIZE } else { 0 });

/// A range of memory between guards, unmapped with them when dropped.
#[derive(Debug)]
pub struct Guarded {
    _whole: MmapMut,
    at: Address,
    len: Bytes,
}

impl Guarded {
    /// Private anonymous memory of whole pages, zeroed.
    pub fn private(len: Bytes) -> Result<Self, Error> {
        let whole = memory::map_private(Bytes(len.0 + 2 * GUARD.0))?;
        let at = Address::new(whole.as_ptr().expose_provenance()).add(GUARD.0);
        // SAFETY: both lie in the range that was just made, and nothing refers to it yet.
        let guarded = unsafe { guard(at, len) };
        guarded.map_err(|errno| Error::denied(format!("guarding {len} at {at}"), errno))?;
        Ok(Self { _whole: whole, at, len })
    }

    /// The whole of a memory file, mapped shared and writable.
    pub fn file(fd: BorrowedFd<'_>, len: Bytes) -> Result<Self, Error> {
        let guarded = Self::private(len)?;
        // SAFETY: inside the range that was just made, to which nothing refers yet.
        unsafe { memory::map_file_over(guarded.at, len, fd) }?;
        Ok(guarded)
    }

    /// Where it begins.
    pub fn at(&self) -> Address {
        self.at
    }

    /// How long it is.
    pub fn len(&self) -> Bytes {
        self.len
    }
}

/// Makes guards of the [`GUARD`] bytes on either side of a range.
///
/// # Safety
/// They are the caller's, mapped, and nothing refers to them.
pub unsafe fn guard(at: Address, len: Bytes) -> Result<(), Errno> {
    if GUARD.0 == 0 {
        return Ok(());
    }
    [Address::new(at.as_usize() - GUARD.0), at.add(len.0)].into_iter().try_for_each(|at| {
        // SAFETY: passed on to the caller.
        unsafe { memory::reserve_over(at, GUARD) }
    })
}
