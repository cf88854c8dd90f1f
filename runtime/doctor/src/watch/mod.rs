//! Memory under a barrier, in each of the four ways the kernel can tell of a write: the least that each needs, with the
//! same few verbs for all.
//!
//! | delivery | armed by | told by | opened by |
//! | --- | --- | --- | --- |
//! | sigbus | `UFFDIO_WRITEPROTECT` | `SIGBUS` in the writing thread | its handler |
//! | monitor | `UFFDIO_WRITEPROTECT` | a message; the writer waits | the thread that reads it |
//! | async | `PAGEMAP_SCAN` | `PAGEMAP_SCAN`, later | the kernel |
//! | mprotect | `mprotect(PROT_READ)` | `SIGSEGV` in the writing thread | its handler |

pub mod log;
pub mod monitor;
pub mod trap;

use crate::conformance::{Delivery, Doing, Setting, Trouble};
use crate::kernel::memory::{Kind, Mapping, Span};
use crate::kernel::pagemap::{Pagemap, Then};
use crate::kernel::uffd::{self, Door, Uffd};
use crate::kernel::{Answer, Errno, memory, signals};
use linux_raw_sys::general as raw;
use log::Notice;
use monitor::Monitor;
use std::ops::Range;
use std::sync::Arc;

/// What a question needs beyond the plain barrier.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Features that the delivery alone does not need.
    pub features: u64,
    /// Pages that do not exist are told of as well.
    pub missing: bool,
    /// The kernel's own writes are to be told of, if that can be had.
    pub kernel_writes: bool,
    /// Every page is written to before anything else.
    pub populated: bool,
}

impl Default for Wish {
    fn default() -> Self {
        Self { features: 0, missing: false, kernel_writes: false, populated: true }
    }
}

/// Memory under a barrier.
#[derive(Debug)]
pub struct Watch {
    /// The memory.
    pub memory: &'static Mapping,
    /// The userfaultfd, where the delivery has one.
    pub uffd: Option<Arc<Uffd>>,
    /// What the kernel says of this process's pages.
    pub pagemap: Pagemap,
    delivery: Delivery,
    monitor: Option<Monitor>,
}

/// The features that a barrier of this kind needs, by name.
fn needed(setting: Setting, wish: &Wish) -> Vec<(&'static str, u64)> {
    let wished = |bit: u32| wish.features & u64::from(bit) != 0;
    let shared = !setting.memory.is_private();
    [
        ("UFFD_FEATURE_PAGEFAULT_FLAG_WP", raw::UFFD_FEATURE_PAGEFAULT_FLAG_WP, true),
        ("UFFD_FEATURE_WP_HUGETLBFS_SHMEM", raw::UFFD_FEATURE_WP_HUGETLBFS_SHMEM, shared),
        ("UFFD_FEATURE_MISSING_SHMEM", raw::UFFD_FEATURE_MISSING_SHMEM, shared && wish.missing),
        ("UFFD_FEATURE_SIGBUS", raw::UFFD_FEATURE_SIGBUS, setting.delivery == Delivery::Sigbus),
        ("UFFD_FEATURE_WP_ASYNC", raw::UFFD_FEATURE_WP_ASYNC, setting.delivery == Delivery::Async),
        (
            "UFFD_FEATURE_WP_UNPOPULATED",
            raw::UFFD_FEATURE_WP_UNPOPULATED,
            wished(raw::UFFD_FEATURE_WP_UNPOPULATED),
        ),
        ("UFFD_FEATURE_EVENT_FORK", raw::UFFD_FEATURE_EVENT_FORK, wished(raw::UFFD_FEATURE_EVENT_FORK)),
    ]
    .into_iter()
    .filter_map(|(name, bit, needed)| needed.then_some((name, u64::from(bit))))
    .collect()
}

/// Opens a userfaultfd for this setting, or says honestly why there is none.
pub fn open(setting: Setting, wish: &Wish) -> Result<Uffd, Trouble> {
    let mut doors = [Door::SystemCallUserOnly, Door::SystemCall, Door::Device];
    if wish.kernel_writes {
        doors.rotate_left(1);
    }
    let (fd, door, features) = uffd::open_first(&doors).map_err(|closed| {
        let each: Vec<_> = closed.iter().map(|(door, errno)| format!("{door}: {errno}")).collect();
        Trouble::NotAvailable(format!("no userfaultfd ({})", each.join("; ")))
    })?;
    let needed = needed(setting, wish);
    let lacking: Vec<_> =
        needed.iter().filter(|(_, bit)| features & bit == 0).map(|(name, _)| *name).collect();
    if !lacking.is_empty() {
        return Err(Trouble::NotAvailable(format!("this kernel lacks {}", lacking.join(", "))));
    }
    match uffd::handshake(&fd, needed.iter().map(|(_, bit)| bit).sum()) {
        Ok(_) => Ok(Uffd::new(fd, door)),
        Err(Errno(libc::EPERM)) if wish.features & u64::from(raw::UFFD_FEATURE_EVENT_FORK) != 0 => {
            Err(Trouble::NotAvailable("UFFD_FEATURE_EVENT_FORK needs CAP_SYS_PTRACE".into()))
        }
        Err(errno) => Err(Trouble::Failed("agreeing on features".into(), errno)),
    }
}

impl Watch {
    /// Maps so many pages and puts them under a barrier; none is armed yet. One at a time: the handlers serve the last.
    pub fn new(setting: Setting, pages: usize, wish: Wish) -> Result<Self, Trouble> {
        let uffd = match setting.delivery {
            Delivery::Mprotect => None,
            _ => Some(Arc::new(open(setting, &wish)?)),
        };
        let memory = map(setting.memory, pages)?;
        if wish.populated {
            memory.populate();
        }
        log::clear();
        trap::aim(memory);
        signals::catch_faults(trap::on_fault).doing("installing handlers")?;
        let mut watch = Self {
            memory,
            uffd,
            pagemap: Pagemap::open().doing("opening the pagemap")?,
            delivery: setting.delivery,
            monitor: None,
        };
        if let Some(uffd) = &watch.uffd {
            let missing = if wish.missing { raw::UFFDIO_REGISTER_MODE_MISSING } else { 0 };
            uffd.register(memory.all(), raw::UFFDIO_REGISTER_MODE_WP | missing).doing("registering")?;
            trap::open_through(std::os::fd::AsRawFd::as_raw_fd(&**uffd), wish.missing);
        }
        // Asynchronous tracking has something to tell only of pages that do not exist.
        if setting.delivery == Delivery::Monitor || (setting.delivery == Delivery::Async && wish.missing) {
            watch.start_monitor()?;
        }
        Ok(watch)
    }

    /// Protects pages: the next write to each is noticed.
    pub fn arm(&self, pages: Range<usize>) -> Result<(), Trouble> {
        let span = self.memory.span(pages);
        self.try_arm(span).doing("arming")
    }

    fn try_arm(&self, span: Span) -> Answer<()> {
        match (self.delivery, &self.uffd) {
            (Delivery::Mprotect, _) | (_, None) => memory::allow(span, libc::PROT_READ),
            (_, Some(uffd)) => uffd.protect(span),
        }
    }

    /// Lets writes to pages through, unnoticed.
    pub fn open(&self, pages: Range<usize>) -> Result<(), Trouble> {
        let span = self.memory.span(pages);
        match &self.uffd {
            None => memory::allow(span, libc::PROT_READ | libc::PROT_WRITE),
            Some(uffd) => uffd.unprotect(span),
        }
        .doing("opening pages")
    }

    /// How often a write to a page was noticed since [`Watch::forget`]; in async delivery whether it was (since it was
    /// armed), 0 or 1.
    pub fn noticed(&self, page: usize) -> Result<usize, Trouble> {
        let kind = match self.delivery {
            Delivery::Sigbus => Notice::Bus,
            Delivery::Monitor => Notice::Protected,
            Delivery::Mprotect => Notice::Segv,
            Delivery::Async => {
                let span = self.memory.span(page..page + 1);
                let found = self.pagemap.written(span, Then::Look, 1).doing("PAGEMAP_SCAN")?;
                return Ok(found.regions.len());
            }
        };
        Ok(log::of_page(page).into_iter().filter(|n| *n == kind).count())
    }

    /// How many pages of these were noticed at all.
    pub fn pages_noticed(&self, pages: Range<usize>) -> Result<usize, Trouble> {
        let mut count = 0;
        for page in pages {
            count += usize::from(self.noticed(page)? > 0);
        }
        Ok(count)
    }

    /// Forgets the notifications so far. (What async delivery knows is forgotten by arming.)
    pub fn forget(&self) {
        log::clear();
    }

    /// Whether the kernel still protects a page, found out without writing to it.
    pub fn is_armed(&self, page: usize) -> Result<bool, Trouble> {
        let at = self.memory.span(page..page + 1).at;
        match self.delivery {
            Delivery::Mprotect => Ok(!is_writable(at)),
            _ => Ok(self.pagemap.entry(at).doing("reading the pagemap")?.is_armed()),
        }
    }

    /// Whether this kernel can scan its page tables at all.
    pub fn needs_scan(&self) -> Result<(), Trouble> {
        match self.pagemap.written(self.memory.span(0..1), Then::Look, 1) {
            Err(Errno(libc::ENOTTY)) => {
                Err(Trouble::NotAvailable("this kernel has no PAGEMAP_SCAN (Linux 6.7)".into()))
            }
            _ => Ok(()),
        }
    }

    /// Stops answering. Writers to armed pages wait from here on.
    pub fn stop_monitor(&mut self) -> Result<(), Trouble> {
        self.monitor.take().map_or(Ok(()), Monitor::stop).doing("stopping the monitor")
    }

    /// Starts answering (again).
    pub fn start_monitor(&mut self) -> Result<(), Trouble> {
        if let Some(uffd) = &self.uffd {
            self.monitor = Some(Monitor::start(uffd.clone()).doing("starting the monitor")?);
        }
        Ok(())
    }
}

/// Maps memory, or says honestly why there is none of this kind.
pub fn map(kind: Kind, pages: usize) -> Result<&'static Mapping, Trouble> {
    if kind.is_transparent_huge() && memory::huge_page_size() == 0 {
        return Err(Trouble::NotAvailable("this kernel has no transparent huge pages".into()));
    }
    match Mapping::new(kind, pages) {
        Ok(mapping) => Ok(Box::leak(Box::new(mapping))),
        Err(errno) if kind == Kind::Hugetlb => {
            Err(Trouble::NotAvailable(format!("no reserved huge pages ({errno}): raise vm.nr_hugepages")))
        }
        Err(errno) => Err(Trouble::Failed("mapping memory".into(), errno)),
    }
}

/// Whether the mapping at an address may be written to.
fn is_writable(at: usize) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().any(|line| {
        let mut fields = line.split([' ', '-']);
        let mut address = || fields.next().and_then(|text| usize::from_str_radix(text, 16).ok());
        let (start, end) = (address(), address());
        start.is_some_and(|start| start <= at)
            && end.is_some_and(|end| at < end)
            && fields.next().is_some_and(|access| access.as_bytes().get(1) == Some(&b'w'))
    })
}
