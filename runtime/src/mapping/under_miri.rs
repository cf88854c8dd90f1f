//! The tables under Miri, which knows neither memory files nor page protection: memory of the allocator, page-aligned and
//! zeroed, with the interface of `table.rs`. There are no workers, so regions cannot be had. Compiled under Miri only.

use super::Zeroed;
use crate::error::Error;
use crate::unit::{Address, Bytes, PAGE_SIZE};
use rustix::fd::BorrowedFd;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

/// As in `table.rs`; there is none.
#[derive(Copy, Clone, Debug)]
pub struct Region<'a> {
    pub(crate) at: Address,
    pub(crate) len: Bytes,
    pub(crate) file: BorrowedFd<'a>,
}

impl Region<'_> {
    /// As in `table.rs`.
    pub fn check_slack(&self) {}
}

/// As in `table.rs`.
#[derive(Debug)]
pub struct Shared<T> {
    at: NonNull<T>,
    /// `len` values of `T` are at `at`.
    len: usize,
    of: PhantomData<T>,
}

/// As in `table.rs`.
#[derive(Debug)]
pub struct Private<T>(Shared<T>);

impl<T: Zeroed> Private<T> {
    /// As in `table.rs`.
    pub fn new(len: usize) -> Result<Self, Error> {
        Shared::new("", len).map(Self)
    }
}

impl<T> Deref for Private<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

// SAFETY: a table owns its values, all access to which is atomic (`Zeroed`).
unsafe impl<T: Zeroed> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Zeroed> Sync for Shared<T> {}

impl<T: Zeroed> Shared<T> {
    /// As in `table.rs`.
    pub fn new(_name: &str, len: usize) -> Result<Self, Error> {
        // SAFETY: not of size zero.
        let at = unsafe { alloc_zeroed(Self::layout(len)) };
        let at = NonNull::new(at.cast()).ok_or(Error::NoMemory("a table"))?;
        Ok(Self { at, len, of: PhantomData })
    }

    /// As in `table.rs`.
    pub fn scratch(name: &str, len: usize) -> Result<Self, Error> {
        Self::new(name, len)
    }

    /// As in `table.rs`.
    ///
    /// # Panics
    /// Always.
    pub fn region(&self) -> Region<'_> {
        panic!("there are no workers under Miri")
    }

    /// Pages that are not all zeroes, which are fewer than those that are populated.
    pub fn populated(&self) -> Bytes {
        let pages = Self::layout(self.len).size() / PAGE_SIZE;
        let is_used = |page: &usize| {
            // SAFETY: inside the table, which nobody writes to meanwhile.
            (0..PAGE_SIZE)
                .any(|k| unsafe { self.at.as_ptr().cast::<u8>().add(page * PAGE_SIZE + k).read() } != 0)
        };
        Bytes((0..pages).filter(is_used).count() * PAGE_SIZE)
    }

    /// As in `table.rs`.
    pub fn release(&self, from: usize, to: usize) {
        let start = (from * size_of::<T>()).next_multiple_of(PAGE_SIZE);
        let end = to.min(self.len) * size_of::<T>() / PAGE_SIZE * PAGE_SIZE;
        if start < end {
            // SAFETY: inside the table; the caller does not need the contents.
            unsafe { self.at.as_ptr().cast::<u8>().add(start).write_bytes(0, end - start) };
        }
    }
}

impl<T> Shared<T> {
    fn layout(len: usize) -> Layout {
        let bytes = (len * size_of::<T>()).next_multiple_of(PAGE_SIZE).max(PAGE_SIZE);
        Layout::from_size_align(bytes, PAGE_SIZE).expect("a table of a size that there is")
    }
}

impl<T> Deref for Shared<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `len` values, valid since all-zero is (`Zeroed`), for as long as `self`.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: allocated so by `new`.
        unsafe { dealloc(self.at.as_ptr().cast(), Self::layout(self.len)) };
    }
}
