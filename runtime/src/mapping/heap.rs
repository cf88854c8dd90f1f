//! One contiguous address range for a heap: first the traced half, then the leaf half.
//!
//! The **traced** half holds what the barrier watches. It has one of two [`Backing`]s: a shared mapping of a sealed memory
//! file, because a fork does not copy the page tables of shared mappings and because the worker can map the same file
//! itself; or private anonymous memory, which a worker inherits as it is at the fork. The **leaf** half holds pointer-free
//! payload: private memory, never armed and never read by a worker.
//!
//! No child inherits either (`MADV_DONTFORK`), but for the worker of a private heap, for which
//! [`HeapMapping::inherited_by`] makes an exception.
//!
//! The leaf half can have huge pages, and does not ask for them by itself: a mutator that touches one first is kept in the
//! kernel until two mebibytes are cleared. On the virtual machine this was measured on that took up to 8 ms, in which the
//! thread reaches no safepoint and all others wait for it.

use crate::error::Error;
use crate::sync::AtomicU64;
use crate::sys::generation::Home;
use crate::sys::guarded::{self, GUARD};
use crate::sys::inherited::Listed;
use crate::sys::memory::{self, Advise};
use crate::unit::{Address, Bytes, CHUNK_SIZE, PAGE_SIZE, PAGE_WORDS, PageIndex, PageRange};
use memmap2::MmapMut;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::fmt;

/// Alignment of the heap's base: what one page table covers, so that the heap shares none with its neighbours.
const ALIGN: usize = 2 << 20;

/// What the traced half is made of.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Backing {
    /// A memory file, mapped shared.
    Shared,
    /// Anonymous memory.
    Private,
}

impl fmt::Display for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backing::Shared => "shared memory",
            Backing::Private => "anonymous memory",
        })
    }
}

/// The reserved range of one heap.
#[derive(Debug)]
pub struct HeapMapping {
    // Dropped before what it lists.
    _listed: Listed,
    /// Owns the whole range; a file is mapped over the traced half, if there is one.
    _reserve: MmapMut,
    /// The file behind a shared traced half.
    file: Option<OwnedFd>,
    base: Address,
    /// Length of each half; a multiple of `ALIGN`.
    half: Bytes,
    home: Home,
}

impl HeapMapping {
    /// Reserves a range with two halves that can hold `half` bytes each, rounded up. Nothing is populated.
    pub fn reserve(half: Bytes, backing: Backing) -> Result<Self, Error> {
        let half = Bytes(half.0.max(CHUNK_SIZE).next_multiple_of(ALIGN));
        let file = match backing {
            Backing::Shared => Some(memory::memfd("palimpsest-heap", half)?),
            Backing::Private => None,
        };
        // Room for a guard on either side, wherever in it the base comes to lie.
        let reserve = memory::map_private(Bytes(2 * half.0 + ALIGN + 2 * GUARD.0))?;
        let first = reserve.as_ptr().expose_provenance() + GUARD.0;
        let base = Address::new(first.next_multiple_of(ALIGN));
        // SAFETY: the traced half lies in the reserve, which was just made and which nothing refers to yet;
        // likewise the ranges of the advice, and the guards.
        unsafe {
            if let Some(file) = &file {
                memory::map_file_over(base, half, file.as_fd())?;
            }
            memory::advise(base, half, Advise::DontFork)?;
            memory::advise(base.add(half.0), half, Advise::DontFork)?;
            guarded::guard(base, Bytes(2 * half.0))
                .map_err(|errno| Error::denied(format!("guarding the heap at {base}"), errno))?;
        }
        let listed = Listed::heap(base, Bytes(2 * half.0), file.as_ref().map(AsFd::as_fd));
        Ok(Self { _listed: listed, _reserve: reserve, file, base, half, home: Home::new() })
    }

    /// Where the heap, and its traced half, begins.
    #[inline]
    pub fn base(&self) -> Address {
        self.base
    }

    /// Length of either half.
    #[inline]
    pub fn half(&self) -> Bytes {
        self.half
    }

    /// Whether this process is a fork of the one whose heap this is: then nothing of it is here.
    pub fn is_lost(&self) -> bool {
        self.home.is_past()
    }

    /// In a child that has a copy: it is this process's. Async-signal-safe.
    pub fn begin_anew(&self) {
        self.home.move_here();
    }

    /// What the traced half is made of.
    pub fn backing(&self) -> Backing {
        if self.file.is_some() { Backing::Shared } else { Backing::Private }
    }

    /// The file behind the traced half, where that is shared.
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(OwnedFd::as_fd)
    }

    /// Calls `fork`, whose child inherits the given pages of a private traced half and nothing else of the heap. Ranges that
    /// are left out cost the fork nothing.
    ///
    /// A thread of the host that forks at the same time gives its child the same memory: a copy of it, which does no harm.
    ///
    /// # Errors
    /// Where the kernel refuses the advice; `fork` was not called then.
    pub fn inherited_by<R>(&self, pages: &[PageRange], fork: impl FnOnce() -> R) -> Result<R, Error> {
        debug_assert_eq!(self.backing(), Backing::Private);
        let result = pages.iter().try_for_each(|pages| {
            let (at, len) = self.span(*pages);
            // SAFETY: inside this mapping; the advice changes no contents.
            unsafe { memory::advise(at, len, Advise::DoFork) }
        });
        let result = result.map(|()| fork());
        // SAFETY: as above. If the kernel refuses, children of the host inherit a copy that they do not use.
        let _ = unsafe { memory::advise(self.base, self.half, Advise::DontFork) };
        result
    }

    /// The address and length of pages of the traced half.
    #[inline]
    pub fn span(&self, pages: PageRange) -> (Address, Bytes) {
        (self.base.add(pages.start.0 as usize * PAGE_SIZE), Bytes(pages.len() as usize * PAGE_SIZE))
    }

    /// Copies a page of the traced half. Async-signal-safe.
    ///
    /// # Safety
    /// Nobody writes to the page, but for bytes of which it does not matter what is copied; nobody else uses `into`.
    #[inline]
    pub(crate) unsafe fn copy_page(&self, page: PageIndex, into: &[AtomicU64; PAGE_WORDS]) {
        let (from, _) = self.span(PageRange::new(page.0, page.0 + 1));
        // SAFETY: both are a page long; the rest is passed on to the caller.
        unsafe {
            std::ptr::copy_nonoverlapping(from.as_ptr::<u8>(), into.as_ptr().cast_mut().cast(), PAGE_SIZE);
        }
    }

    /// The traced half's words, as a worker that has mapped it loads them.
    pub(crate) fn live(&self) -> Live<'_> {
        Live { base: self.base, heap: std::marker::PhantomData }
    }

    /// Populates pages for writing ahead of the first write to each. Kernels before 5.14 cannot, and then it is left to the
    /// writes.
    ///
    /// The range is page-aligned and inside the heap; its contents stay as they are.
    pub fn populate(&self, at: Address, len: Bytes) {
        debug_assert!(at >= self.base && at.as_usize() + len.0 <= self.base.as_usize() + 2 * self.half.0);
        // SAFETY: inside this mapping; populating changes no contents.
        let _ = unsafe { memory::advise(at, len, Advise::Populate) };
    }

    /// Asks for huge pages for the leaf half.
    ///
    /// # Errors
    /// Where the kernel has none, or is set to give none.
    pub fn ask_for_huge_leaf_pages(&self) -> Result<(), Error> {
        let advice = "enable transparent huge pages (/sys/kernel/mm/transparent_hugepage/enabled: madvise)";
        let denied = |errno| Error::advise("asking for huge pages", errno, advice);
        if !memory::has_huge_pages() {
            return Err(denied(crate::sys::Errno::OPNOTSUPP));
        }
        // SAFETY: the leaf half of this mapping; the advice changes no contents.
        unsafe { memory::advise_raw(self.base.add(self.half.0), self.half, Advise::HugePages) }
            .map_err(denied)
    }

    /// How much is populated of the first `traced` bytes of the traced half and of the first `leaf` bytes of the leaf half. Of a
    /// traced half that is shared memory, all is counted.
    pub fn resident(&self, traced: Bytes, leaf: Bytes) -> [Bytes; 2] {
        // The ranges are mapped as long as this lives.
        let private = |at, len| memory::resident(at, len).unwrap_or(Bytes(0));
        let traced = match &self.file {
            Some(file) => memory::populated(file),
            None => private(self.base, traced),
        };
        [traced, private(self.base.add(self.half.0), leaf)]
    }

    /// Gives whole pages back to the system; they read as zero afterwards.
    ///
    /// # Safety
    /// The range is page-aligned, inside one half, holds nothing that anyone needs, and, in the traced half,
    /// none of its pages is armed.
    pub unsafe fn release(&self, at: Address, len: Bytes) -> Result<(), Error> {
        let shared = self.file.is_some() && at < self.base.add(self.half.0);
        let advice = if shared { Advise::PunchHole } else { Advise::Discard };
        // SAFETY: passed on to the caller.
        unsafe { memory::advise(at, len, advice) }
    }
}

/// The words of a traced half.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Live<'a> {
    base: Address,
    heap: std::marker::PhantomData<&'a HeapMapping>,
}

impl<'a> Live<'a> {
    /// So many words from this byte on.
    ///
    /// # Safety
    /// `offset` is aligned, and the words are in the traced half, which is mapped readable here.
    #[inline]
    pub(crate) unsafe fn words(self, offset: usize, len: usize) -> &'a [AtomicU64] {
        // SAFETY: passed on to the caller. Others may be writing, hence the atomics.
        unsafe { std::slice::from_raw_parts(self.base.add(offset).as_ptr::<AtomicU64>().cast_const(), len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_are_zeroed_and_can_be_released() {
        for (backing, half) in [(Backing::Shared, 0), (Backing::Shared, 1), (Backing::Private, 0)] {
            let heap = HeapMapping::reserve(Bytes(1), backing).unwrap();
            let at = heap.base().add(half * heap.half().0);
            // SAFETY: the first page of a half; nothing else uses this heap.
            unsafe {
                assert_eq!(at.as_ptr::<u64>().read_volatile(), 0);
                at.as_ptr::<u64>().write_volatile(7);
                heap.release(at, Bytes(4096)).unwrap();
                assert_eq!(at.as_ptr::<u64>().read_volatile(), 0);
            }
        }
    }
}
