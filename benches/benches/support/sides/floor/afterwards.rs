//! The floor of the delivery that is asked afterwards: a userfaultfd whose faults the kernel resolves, and the request that
//! walks the page tables.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use linux_raw_sys::general as raw;
use palimpsest_runtime::PAGE_SIZE;

use super::memory;
use super::uffd::{PROTECT, Uffd};
use crate::sides::{AsyncSide, PAGES};

const LEN: usize = PAGES as usize * PAGE_SIZE;

/// Regions that a call reports at most, as many as the library asks for.
const REGIONS: usize = 512;

/// `_IOWR('f', 16, struct pm_scan_arg)`, which linux-raw-sys does not have.
const PAGEMAP_SCAN: u64 = 3 << 30 | (size_of::<raw::pm_scan_arg>() as u64) << 16 | (b'f' as u64) << 8 | 16;

/// Populated memory whose writes the kernel remembers.
pub(crate) struct AsyncFloor {
    uffd: Uffd,
    heap: *mut u8,
    pagemap: File,
    regions: Vec<raw::page_region>,
}

impl AsyncFloor {
    pub(crate) fn new() -> io::Result<Self> {
        let heap = memory::private(LEN)?;
        let features = raw::UFFD_FEATURE_PAGEFAULT_FLAG_WP
            | raw::UFFD_FEATURE_WP_UNPOPULATED
            | raw::UFFD_FEATURE_WP_ASYNC;
        let floor = Self {
            uffd: Uffd::over(heap, LEN, features)?,
            heap,
            pagemap: File::open("/proc/self/pagemap")?,
            regions: vec![raw::page_region { start: 1, end: 1, categories: 1 }; REGIONS],
        };
        floor.arm();
        Ok(floor)
    }
}

impl AsyncSide for AsyncFloor {
    fn base(&self) -> *mut u8 {
        self.heap
    }

    fn arm(&self) {
        self.uffd.set_mode(self.heap, LEN, PROTECT).expect("protecting pages");
    }

    fn take_written(&mut self) -> u32 {
        let (mut from, end) = (self.heap.addr() as u64, (self.heap.addr() + LEN) as u64);
        let mut bytes = 0;
        while from < end {
            let mut scan = raw::pm_scan_arg {
                size: size_of::<raw::pm_scan_arg>() as u64,
                flags: (raw::PM_SCAN_WP_MATCHING | raw::PM_SCAN_CHECK_WPASYNC).into(),
                start: from,
                end,
                walk_end: 0,
                vec: self.regions.as_mut_ptr().expose_provenance() as u64,
                vec_len: REGIONS as u64,
                max_pages: 0,
                category_inverted: 0,
                category_mask: raw::PAGE_IS_WRITTEN.into(),
                category_anyof_mask: 0,
                return_mask: raw::PAGE_IS_WRITTEN.into(),
            };
            // SAFETY: the request's structure, and a vector with as much room as it says.
            let found = unsafe { libc::ioctl(self.pagemap.as_raw_fd(), PAGEMAP_SCAN, &raw mut scan) };
            assert!(found >= 0, "scanning: {}", io::Error::last_os_error());
            bytes += self.regions[..found as usize].iter().map(|run| run.end - run.start).sum::<u64>();
            from = scan.walk_end;
        }
        (bytes / PAGE_SIZE as u64) as u32
    }
}
