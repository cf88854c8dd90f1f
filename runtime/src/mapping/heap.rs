//! One contiguous address range for a heap: first the traced half, then the leaf half.
//!
//! The **traced** half holds what the barrier watches. It is a shared mapping of a sealed memory file, because
//! a fork does not copy the page tables of shared mappings and because the worker can map the same file
//! itself. The **leaf** half holds pointer-free payload: private memory, never armed and never read by a worker.
//! Neither is inherited by a child (`MADV_DONTFORK`).
//!
//! The leaf half could have huge pages, and does not ask for them: a mutator that touches one first is kept in the kernel
//! until two mebibytes are cleared. On the virtual machine this was measured on that took up to 8 ms, in which the
//! thread reaches no safepoint and all others wait for it.

use crate::error::Error;
use crate::sys::memory::{self, Advise};
use crate::unit::{Address, Bytes, CHUNK_SIZE, PageRange};
use memmap2::MmapMut;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};

/// Alignment of the heap's base: what one page table covers, so that the heap shares none with its neighbours.
const ALIGN: usize = 2 << 20;

/// The reserved range of one heap.
#[derive(Debug)]
pub struct HeapMapping {
    /// Owns the whole range; the traced half has the file mapped over it.
    _reserve: MmapMut,
    file: OwnedFd,
    base: Address,
    /// Length of each half; a multiple of `ALIGN`.
    half: Bytes,
}

impl HeapMapping {
    /// Reserves a range with two halves that can hold `half` bytes each, rounded up. Nothing is populated.
    pub fn reserve(half: Bytes) -> Result<Self, Error> {
        let half = Bytes(half.0.max(CHUNK_SIZE).next_multiple_of(ALIGN));
        let file = memory::memfd("palimpsest-heap", half)?;
        let reserve = memory::map_private(Bytes(2 * half.0 + ALIGN))?;
        let base = Address::new((reserve.as_ptr().expose_provenance()).next_multiple_of(ALIGN));
        // SAFETY: the traced half lies in the reserve, which was just made and which nothing refers to yet;
        // likewise the ranges of the advice.
        unsafe {
            memory::map_file_over(base, half, file.as_fd())?;
            memory::advise(base, half, Advise::DontFork)?;
            let leaf = base.add(half.0);
            memory::advise(leaf, half, Advise::DontFork)?;
        }
        Ok(Self { _reserve: reserve, file, base, half })
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

    /// The file behind the traced half.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The address and length of pages of the traced half.
    #[inline]
    pub fn span(&self, pages: PageRange) -> (Address, Bytes) {
        let page = crate::unit::PAGE_SIZE;
        (self.base.add(pages.start.0 as usize * page), Bytes(pages.len() as usize * page))
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

    /// Gives whole pages back to the system; they read as zero afterwards.
    ///
    /// # Safety
    /// The range is page-aligned, inside one half, holds nothing that anyone needs, and, in the traced half,
    /// none of its pages is armed.
    pub unsafe fn release(&self, at: Address, len: Bytes) -> Result<(), Error> {
        let traced = at < self.base.add(self.half.0);
        let advice = if traced { Advise::PunchHole } else { Advise::Discard };
        // SAFETY: passed on to the caller.
        unsafe { memory::advise(at, len, advice) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_are_zeroed_and_can_be_released() {
        let heap = HeapMapping::reserve(Bytes(1)).unwrap();
        for half in 0..2 {
            let at = heap.base().add(half * heap.half().0);
            // SAFETY: the first page of each half; nothing else uses this heap.
            unsafe {
                assert_eq!(at.as_ptr::<u64>().read_volatile(), 0);
                at.as_ptr::<u64>().write_volatile(7);
                heap.release(at, Bytes(4096)).unwrap();
                assert_eq!(at.as_ptr::<u64>().read_volatile(), 0);
            }
        }
    }
}
