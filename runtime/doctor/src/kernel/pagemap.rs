//! What the kernel says of pages: `/proc/self/pagemap`, read and scanned (kernel document `admin-guide/mm/pagemap`).

use super::memory::Span;
use super::{Answer, Errno, check};
use linux_raw_sys::general as raw;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// `_IOWR('f', 16, struct pm_scan_arg)`, which `linux-raw-sys` has not.
const PAGEMAP_SCAN: libc::c_ulong = 0xc060_6610;

/// What to do to the pages a scan finds.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Then {
    /// Nothing.
    Look,
    /// Write-protect them in the same walk; refuse where nobody tracks asynchronously.
    Rearm,
}

/// A page's state, as far as everybody may see it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Entry(u64);

impl Entry {
    /// Whether the page is mapped.
    pub fn is_present(self) -> bool {
        self.0 & 1 << 63 != 0
    }

    /// Whether a userfaultfd protects the page.
    pub fn is_armed(self) -> bool {
        self.0 & 1 << 57 != 0
    }

    /// Whether nobody else maps the page.
    pub fn is_exclusive(self) -> bool {
        self.0 & 1 << 56 != 0
    }
}

/// What a scan found.
#[derive(Debug)]
pub struct Found {
    /// Addresses that match, in order.
    pub regions: Vec<Span>,
    /// Where the walk ended.
    pub end: usize,
}

/// The pages of the process that opened it, whoever uses it.
#[derive(Debug)]
pub struct Pagemap(File);

impl Pagemap {
    /// Of this process.
    pub fn open() -> Answer<Self> {
        File::open("/proc/self/pagemap").map(Self).map_err(|e| Errno(e.raw_os_error().unwrap_or(libc::EIO)))
    }

    /// The state of the small page at an address.
    pub fn entry(&self, at: usize) -> Answer<Entry> {
        let mut entry = [0; 8];
        let index = at / super::memory::page_size();
        self.0
            .read_exact_at(&mut entry, index as u64 * 8)
            .map_err(|e| Errno(e.raw_os_error().unwrap_or(libc::EIO)))?;
        Ok(Entry(u64::from_ne_bytes(entry)))
    }

    /// The written pages among these addresses, in at most `room` regions.
    pub fn written(&self, span: Span, then: Then, room: usize) -> Answer<Found> {
        let mut vector = vec![raw::page_region { start: 0, end: 0, categories: 0 }; room];
        let out = Span { at: vector.as_mut_ptr().expose_provenance(), len: room };
        let (count, end) = self.scan(span, raw::PAGE_IS_WRITTEN, then, out)?;
        vector.truncate(count);
        let regions =
            vector.iter().map(|r| Span { at: r.start as usize, len: (r.end - r.start) as usize }).collect();
        Ok(Found { regions, end })
    }

    /// Scans for written pages, with an output vector of `out.len` regions at `out.at`, wherever that is.
    pub fn written_into(&self, span: Span, then: Then, out: Span) -> Answer<()> {
        self.scan(span, raw::PAGE_IS_WRITTEN, then, out).map(drop)
    }

    /// How many bytes among these addresses are in huge pages.
    pub fn huge(&self, span: Span) -> Answer<usize> {
        let mut vector = [raw::page_region { start: 0, end: 0, categories: 0 }; 64];
        let out = Span { at: vector.as_mut_ptr().expose_provenance(), len: vector.len() };
        let (count, _) = self.scan(span, raw::PAGE_IS_HUGE, Then::Look, out)?;
        Ok(vector[..count].iter().map(|r| (r.end - r.start) as usize).sum())
    }

    fn scan(&self, span: Span, category: u32, then: Then, out: Span) -> Answer<(usize, usize)> {
        let flags = match then {
            Then::Look => 0,
            Then::Rearm => raw::PM_SCAN_WP_MATCHING | raw::PM_SCAN_CHECK_WPASYNC,
        };
        let mut scan = raw::pm_scan_arg {
            size: size_of::<raw::pm_scan_arg>() as u64,
            flags: flags.into(),
            start: span.at as u64,
            end: (span.at + span.len) as u64,
            walk_end: 0,
            vec: out.at as u64,
            vec_len: out.len as u64,
            max_pages: 0,
            category_inverted: 0,
            category_mask: category.into(),
            category_anyof_mask: 0,
            return_mask: category.into(),
        };
        // SAFETY: the request reads and writes `scan`; the vector is as long as it says, or not writable at all.
        let count = check(unsafe { libc::ioctl(self.0.as_raw_fd(), PAGEMAP_SCAN, &raw mut scan) })?;
        Ok((count as usize, scan.walk_end as usize))
    }
}
