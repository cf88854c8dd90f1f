//! Delivery by `mprotect`: an armed page is read-only memory, and its first writer gets `SIGSEGV`.
//!
//! For hosts that deny userfaultfd. It works everywhere and costs one and a half times what a signal from a userfaultfd does. Its trouble is
//! the number of *mappings*: the kernel keeps one for each run of pages with equal protection, allows a process some
//! 65,000 of them (`vm.max_map_count`), and a process that has used them up cannot map anything any more.
//!
//! So the number is bounded here. The runs of all heaps are counted exactly, by a bit for each page and the places where
//! neighbours differ; half of what the kernel allows may be used. Arming refuses to go beyond half of that, and the cycle then
//! marks in the stopped world, and says so. Opening, which cannot refuse, opens more pages at once the less there is left: a
//! chunk of 16, then regions of two mebibytes or more, which join the runs between them. The pre-images of all of them are
//! saved, so a program that writes all over its heap pays with copies, not with mappings.

use super::{Delivery, DeliveryKind};
use crate::barrier::registry;
use crate::error::Error;
use crate::mapping::{HeapMapping, Private};
use crate::sys::memory::{self, Access};
use crate::sys::signal::{self, Fault};
use crate::sys::{Errno, futex};
use crate::unit::{CHUNK_PAGES, PAGE_SIZE, PageIndex, PageRange};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// Edges between runs, of all heaps of this process.
static EDGES: AtomicI64 = AtomicI64::new(0);

/// In a new child, which has none of these heaps.
pub(in crate::barrier) fn begin_anew() {
    EDGES.store(0, Ordering::Relaxed);
}

/// Memory that is protected with `mprotect`.
#[derive(Debug)]
pub(in crate::barrier) struct Protect {
    heap: Arc<HeapMapping>,
    pages: u32,
    /// How many edges all heaps together may have.
    budget: i64,
    /// Held while bits, count and protection change together. Only by code that runs with signals held back, and no longer
    /// than for one system call.
    changing: AtomicBool,
    /// A bit for each page that is protected.
    protected: Private<AtomicU64>,
    /// This heap's share of [`EDGES`].
    edges: AtomicI64,
}

impl Protect {
    pub(super) fn new(heap: Arc<HeapMapping>) -> Result<Self, Error> {
        signal::install(Fault::Segv, registry::on_fault)
            .map_err(|errno| Error::denied("installing the SIGSEGV handler", errno))?;
        let pages = (heap.half().0 / PAGE_SIZE) as u32;
        Ok(Self {
            pages,
            budget: memory::most_mappings() as i64 / 2,
            changing: AtomicBool::new(false),
            protected: Private::new((pages as usize).div_ceil(64))?,
            edges: AtomicI64::new(0),
            heap,
        })
    }

    fn is_protected(&self, page: u32) -> bool {
        self.protected[page as usize / 64].load(Ordering::Relaxed) >> (page % 64) & 1 == 1
    }

    /// Edges at the borders of these pages and between them.
    fn edges_around(&self, pages: PageRange) -> i64 {
        // Beyond both ends of the heap lies memory that has other mappings in any case.
        let first = pages.start.0.max(1);
        let last = pages.end.0.min(self.pages - 1);
        (first..=last).filter(|&page| self.is_protected(page) != self.is_protected(page - 1)).count() as i64
    }

    fn set_bits(&self, pages: PageRange, protect: bool) {
        let mut page = pages.start.0;
        while page < pages.end.0 {
            let shift = page % 64;
            let run = (64 - shift).min(pages.end.0 - page);
            let mask = (!0u64 >> (64 - run)) << shift;
            let word = &self.protected[page as usize / 64];
            let before = word.load(Ordering::Relaxed);
            word.store(if protect { before | mask } else { before & !mask }, Ordering::Relaxed);
            page += run;
        }
    }

    /// Changes the protection of pages, with bits and count. Async-signal-safe.
    fn change(&self, pages: PageRange, access: Access, most: i64) -> Result<(), Errno> {
        let mut round = 0;
        // Acquire and release: what the holder before has stored is seen.
        while self.changing.swap(true, Ordering::Acquire) {
            futex::pause_briefly(round);
            round += 1;
        }
        let result = self.change_locked(pages, access, most);
        self.changing.store(false, Ordering::Release);
        result
    }

    fn change_locked(&self, pages: PageRange, access: Access, most: i64) -> Result<(), Errno> {
        let before = self.edges_around(pages);
        self.set_bits(pages, access == Access::Read);
        let added = self.edges_around(pages) - before;
        let (at, len) = self.heap.span(pages);
        let result = if added > 0 && EDGES.load(Ordering::Relaxed) + added > most {
            Err(Errno::MFILE)
        } else {
            // SAFETY: pages of the traced half, whose writers the trap handler serves.
            unsafe { memory::protect(at, len, access) }
        };
        if result.is_err() {
            // What is protected now is not known exactly. The caller opens the pages, which sets it right.
            self.set_bits(pages, access != Access::Read);
        } else {
            EDGES.fetch_add(added, Ordering::Relaxed);
            self.edges.fetch_add(added, Ordering::Relaxed);
        }
        result
    }
}

impl Delivery for Protect {
    fn kind(&self) -> DeliveryKind {
        DeliveryKind::Protect
    }

    fn arm(&self, pages: PageRange) -> Result<(), Error> {
        self.change(pages, Access::Read, self.budget / 2).map_err(|errno| {
            let (at, len) = self.heap.span(pages);
            let advice = match errno {
                Errno::MFILE | Errno::NOMEM => {
                    "too many mappings: raise vm.max_map_count, or allow userfaultfd, which needs none"
                }
                _ => "",
            };
            Error::advise(format!("write-protecting {len} at {at}"), errno, advice)
        })
    }

    fn open(&self, pages: PageRange) -> Result<(), Errno> {
        self.change(pages, Access::Write, i64::MAX)
    }

    fn give_up(&self) -> Result<(), Errno> {
        self.change(PageRange::new(0, self.pages), Access::Write, i64::MAX)
    }

    fn begin_anew(&self) -> Result<(), Errno> {
        // The memory is new, and so is the count of all edges.
        self.changing.store(false, Ordering::Release);
        self.set_bits(PageRange::new(0, self.pages), false);
        self.edges.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn reach(&self, page: PageIndex) -> PageRange {
        let edges = EDGES.load(Ordering::Relaxed);
        let width = if edges < self.budget / 2 {
            1
        } else if edges < self.budget / 4 * 3 {
            CHUNK_PAGES
        } else {
            // So few regions that two edges for each are a quarter of the budget.
            (self.pages / (self.budget / 8).max(1) as u32).next_multiple_of(512).max(512)
        };
        let start = page.0 / width * width;
        PageRange::new(start, (start + width).min(self.pages))
    }

    fn fault(&self) -> Option<Fault> {
        Some(Fault::Segv)
    }
}

impl Drop for Protect {
    fn drop(&mut self) {
        EDGES.fetch_sub(self.edges.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Backing;
    use crate::unit::Bytes;

    #[test]
    fn edges_are_counted_exactly() {
        let heap = Arc::new(HeapMapping::reserve(Bytes::mib(4), Backing::Shared).unwrap());
        let delivery = Protect::new(heap).unwrap();
        let edges = || delivery.edges.load(Ordering::Relaxed);
        let arm = |a, b| delivery.arm(PageRange::new(a, b)).unwrap();
        let open = |a, b| delivery.open(PageRange::new(a, b)).unwrap();
        arm(0, 1024);
        assert_eq!(edges(), 0, "all of it is one run");
        open(10, 11);
        assert_eq!(edges(), 2);
        open(11, 200);
        assert_eq!(edges(), 2, "the run grew");
        open(300, 301);
        open(302, 303);
        assert_eq!(edges(), 6);
        arm(5, 1000);
        assert_eq!(edges(), 0);
        open(1023, 1024);
        open(0, 70);
        assert_eq!(edges(), 2);
        delivery.give_up().unwrap();
        assert_eq!(edges(), 0);
    }

    #[test]
    fn the_fewer_edges_are_left_the_more_a_trap_opens() {
        let heap = Arc::new(HeapMapping::reserve(Bytes::mib(64), Backing::Shared).unwrap());
        let mut delivery = Protect::new(heap).unwrap();
        let others = EDGES.load(Ordering::Relaxed);
        delivery.budget = others + 4000;
        let reach = |delivery: &Protect| delivery.reach(PageIndex(700));
        EDGES.fetch_add(1000, Ordering::Relaxed);
        delivery.edges.fetch_add(1000, Ordering::Relaxed);
        assert_eq!(reach(&delivery), PageRange::new(700, 701));
        for (more, reached) in [(1200, PageRange::new(688, 704)), (1200, PageRange::new(512, 1024))] {
            EDGES.fetch_add(more, Ordering::Relaxed);
            delivery.edges.fetch_add(more, Ordering::Relaxed);
            assert_eq!(reach(&delivery), reached);
        }
        let error = delivery.arm(PageRange::new(200, 300)).unwrap_err();
        assert!(error.to_string().contains("vm.max_map_count"), "{error}");
    }
}
