//! Which pages were written, asked of the kernel's page tables: `PAGEMAP_SCAN` (kernel document
//! `admin-guide/mm/pagemap`, Linux 6.7).
//!
//! One walk finds the pages that were written since they were protected and, if wanted, protects them again. The range
//! has to be registered with an asynchronous userfaultfd; [`Pagemap::written`] asks the kernel to check that
//! (`PM_SCAN_CHECK_WPASYNC`), which otherwise would silently report nothing of the kind.

use super::inherited::{Listed, put_in_place};
use super::inject::{Call, check};
use super::{Errno, clear};
use crate::unit::{Address, Bytes};
use linux_raw_sys::general::{
    PAGE_IS_WRITTEN, PM_SCAN_CHECK_WPASYNC, PM_SCAN_WP_MATCHING, page_region, pm_scan_arg,
};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::retry_on_intr;
use rustix::ioctl::{self, IoctlOutput, Opcode};
use std::ffi::c_void;

/// Regions that one call reports at most.
const REGIONS: usize = 512;

/// This process's page tables, as `/proc/self/pagemap` shows them.
///
/// A descriptor that was opened before a fork shows, and changes, the page tables of the *parent*.
#[derive(Debug)]
pub struct Pagemap {
    // Dropped before the descriptor is.
    _listed: Listed,
    fd: OwnedFd,
}

/// Whether a scan protects what it finds.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Rearm {
    /// In the same walk: each write is reported by one scan.
    Yes,
    /// No: the next scan reports the page again.
    No,
}

/// Where a scan puts what it finds. Reused from scan to scan: the kernel protects pages before it copies out, so that a
/// vector it cannot write to would lose writes. All of it is populated when it is made.
#[derive(Debug)]
pub struct Regions(Box<[page_region; REGIONS]>);

impl Default for Regions {
    fn default() -> Self {
        // Written with something else than zeroes, so that it really is populated.
        Self(Box::new([page_region { start: 1, end: 1, categories: 1 }; REGIONS]))
    }
}

fn open() -> Result<OwnedFd, Errno> {
    check(Call::PagemapOpen)?;
    rustix::fs::open("/proc/self/pagemap", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

impl Pagemap {
    /// Opens the calling process's.
    pub fn open() -> Result<Self, Errno> {
        let fd = clear::of_standard(open()?)?;
        Ok(Self { _listed: Listed::descriptor(&fd), fd })
    }

    /// In a child: has the descriptor show this process's. Async-signal-safe.
    pub(crate) fn reopen(&self) -> Result<(), Errno> {
        put_in_place(open()?.as_fd(), self.fd.as_raw_fd())
    }

    /// Whether the kernel knows the request: `ENOTTY` before 6.7.
    pub fn probe(&self) -> Result<(), Errno> {
        let mut request = Scan::new(Address::new(0), Address::new(0), Rearm::No, &mut []);
        retry_on_intr(|| {
            check(Call::Scan)?;
            // SAFETY: an empty range, and no room for regions: nothing is looked at and nothing written.
            unsafe { ioctl::ioctl(&self.fd, &mut request) }.map(|_| ())
        })
    }

    /// Passes each run of written pages in the range on, in ascending order.
    ///
    /// # Errors
    /// What was not reached is neither reported nor protected.
    pub fn written(
        &self,
        at: Address,
        len: Bytes,
        rearm: Rearm,
        regions: &mut Regions,
        mut visit: impl FnMut(Address, Bytes),
    ) -> Result<(), Errno> {
        let (mut from, end) = (at, at.add(len.0));
        while from < end {
            let mut request = Scan::new(from, end, rearm, &mut regions.0[..]);
            // SAFETY: the request describes its structure, and the vector has room for as many regions as it says.
            let mut scan = || unsafe { ioctl::ioctl(&self.fd, &mut request) };
            let found = match check(Call::Scan).and_then(|()| scan()) {
                Err(Errno::INTR) => continue,
                result => result?,
            };
            let reached = Address::new(request.0.walk_end as usize);
            for region in &regions.0[..found] {
                let start = Address::new(region.start as usize);
                visit(start, Bytes((region.end - region.start) as usize));
            }
            if reached <= from {
                return Err(Errno::IO);
            }
            from = reached;
        }
        Ok(())
    }
}

/// The request, `_IOWR('f', 16, struct pm_scan_arg)`.
struct Scan(pm_scan_arg);

impl Scan {
    fn new(from: Address, end: Address, rearm: Rearm, into: &mut [page_region]) -> Self {
        let again = if rearm == Rearm::Yes { PM_SCAN_WP_MATCHING } else { 0 };
        Self(pm_scan_arg {
            size: size_of::<pm_scan_arg>() as u64,
            flags: u64::from(PM_SCAN_CHECK_WPASYNC | again),
            start: from.as_usize() as u64,
            end: end.as_usize() as u64,
            walk_end: 0,
            // The kernel refuses a vector without room.
            vec: if into.is_empty() { 0 } else { into.as_mut_ptr().expose_provenance() as u64 },
            vec_len: into.len() as u64,
            max_pages: 0,
            category_inverted: 0,
            category_mask: PAGE_IS_WRITTEN.into(),
            category_anyof_mask: 0,
            return_mask: PAGE_IS_WRITTEN.into(),
        })
    }
}

// SAFETY: PAGEMAP_SCAN reads and writes one `pm_scan_arg`, writes regions where that says, and returns their number.
unsafe impl ioctl::Ioctl for &mut Scan {
    type Output = usize;
    const IS_MUTATING: bool = true;
    fn opcode(&self) -> Opcode {
        ioctl::opcode::read_write::<pm_scan_arg>(b'f', 16)
    }
    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }
    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> rustix::io::Result<usize> {
        Ok(out as usize)
    }
}
