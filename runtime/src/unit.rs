//! A type for every unit that crosses a module's border, so that a page index is never taken for an address.

pub use crate::sizes::{CHUNK_PAGES, PAGE_SIZE};
use std::fmt;

/// Words in a page.
pub const PAGE_WORDS: usize = PAGE_SIZE / 8;

/// Bytes in a chunk.
pub const CHUNK_SIZE: usize = PAGE_SIZE * CHUNK_PAGES as usize;

/// An address in this process. A worker maps the heap where its parent has it, so an address means the same
/// word in both.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Address(usize);

impl Address {
    /// The address with this value.
    #[inline]
    pub const fn new(value: usize) -> Self {
        Self(value)
    }

    /// The address a pointer holds. Exposes the pointer's provenance.
    #[inline]
    pub fn from_ptr<T>(pointer: *const T) -> Self {
        Self(pointer.expose_provenance())
    }

    /// The address as a number.
    #[inline]
    pub const fn as_usize(self) -> usize {
        self.0
    }

    /// The address as a pointer, with whatever provenance was exposed for it.
    #[inline]
    pub fn as_ptr<T>(self) -> *mut T {
        std::ptr::with_exposed_provenance_mut(self.0)
    }

    /// The address `bytes` further on.
    ///
    /// # Panics
    /// In debug builds, where the result does not fit the address space.
    #[inline]
    pub const fn add(self, bytes: usize) -> Self {
        Self(self.0 + bytes)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A number of bytes; shown in the largest binary unit that leaves no long fraction.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Bytes(pub usize);

impl Bytes {
    /// So many mebibytes.
    pub const fn mib(n: usize) -> Self {
        Self(n << 20)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0 as f64;
        match self.0 {
            0..1024 => write!(f, "{} B", self.0),
            1024..1_048_576 => write!(f, "{:.1} KiB", n / 1024.0),
            1_048_576..1_073_741_824 => write!(f, "{:.1} MiB", n / 1_048_576.0),
            _ => write!(f, "{:.2} GiB", n / 1_073_741_824.0),
        }
    }
}

/// A page of the heap, counted from the heap's first.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PageIndex(pub u32);

impl PageIndex {
    /// The chunk the page lies in.
    #[inline]
    pub const fn chunk(self) -> u32 {
        self.0 / CHUNK_PAGES
    }
}

/// Pages `start .. end` of the heap. `start <= end`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct PageRange {
    /// The first page.
    pub start: PageIndex,
    /// One past the last page.
    pub end: PageIndex,
}

impl PageRange {
    /// Pages `start .. end`.
    #[inline]
    pub const fn new(start: u32, end: u32) -> Self {
        debug_assert!(start <= end);
        Self { start: PageIndex(start), end: PageIndex(end) }
    }

    /// How many pages these are.
    #[inline]
    pub const fn len(self) -> u32 {
        self.end.0 - self.start.0
    }

    /// Whether there are none.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.start.0 == self.end.0
    }

    /// The pages, in order.
    pub fn iter(self) -> impl Iterator<Item = PageIndex> {
        (self.start.0..self.end.0).map(PageIndex)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_show_in_a_unit_people_read() {
        assert_eq!(Bytes(100).to_string(), "100 B");
        assert_eq!(Bytes::mib(3).to_string(), "3.0 MiB");
        assert_eq!(Bytes(5 << 29).to_string(), "2.50 GiB");
    }

    #[test]
    fn page_ranges_count_and_iterate() {
        let pages = PageRange::new(14, 18);
        assert_eq!(pages.len(), 4);
        assert!(!pages.is_empty());
        assert_eq!(pages.iter().map(PageIndex::chunk).collect::<Vec<_>>(), [0, 0, 1, 1]);
    }
}
