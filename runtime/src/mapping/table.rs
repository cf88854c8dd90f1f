//! Fixed-size tables of atomics in memory of their own, sparse until touched.
//!
//! No child inherits one: a child that the host forks must not write to what its parent uses. A worker, which is to share
//! the tables, maps their files itself ([`Region`]).

use super::Zeroed;
use crate::error::Error;
use crate::sys::guarded::Guarded;
use crate::sys::inherited::{Listed, between_forks};
use crate::sys::memory::{self, Advise};
use crate::unit::{Address, Bytes, PAGE_SIZE};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::mem::ManuallyDrop;
use std::ops::Deref;

fn bytes_for<T>(len: usize) -> Bytes {
    Bytes((len * size_of::<T>()).next_multiple_of(PAGE_SIZE).max(PAGE_SIZE))
}

/// Where a shared table is, for workers.
#[derive(Copy, Clone, Debug)]
pub struct Region<'a> {
    pub(crate) at: Address,
    pub(crate) len: Bytes,
    pub(crate) file: BorrowedFd<'a>,
    /// How much of it values occupy.
    used: Bytes,
}

impl Region<'_> {
    /// Reports a table that something has written past: what is left of its last page has to be zero. Only of those of a single
    /// page, the heads of lists and the like, which are populated in any case; past the page there is a guard.
    pub fn check_slack(&self) {
        if self.len.0 != PAGE_SIZE {
            return;
        }
        let mut offset = self.used.0.next_multiple_of(8);
        while offset < self.len.0 {
            let at = self.at.add(offset);
            // SAFETY: an aligned word of the table's own page, mapped readable while it is borrowed; no value is there.
            let found = unsafe { at.as_ptr::<u64>().read_volatile() };
            if found != 0 {
                let first = self.at;
                crate::crash::violated(
                    None,
                    format_args!(
                        "{found:#x} at {at}, behind the last value of the table at {first}: something wrote past it"
                    ),
                );
            }
            offset += 8;
        }
    }
}

/// A table that parent and workers share.
#[derive(Debug)]
pub struct Shared<T> {
    // Dropped before what it lists.
    _listed: Listed,
    map: Guarded,
    fd: OwnedFd,
    /// `len` values of `T` fit into `map`.
    len: usize,
    of: std::marker::PhantomData<T>,
}

impl<T: Zeroed> Shared<T> {
    /// A table of `len` zeroes, under a name that `/proc/PID/maps` shows.
    pub fn new(name: &str, len: usize) -> Result<Self, Error> {
        Self::make(name, len, false)
    }

    /// The same, for what means nothing between cycles: a child that the host forks begins with zeroes, also where it has a
    /// copy of the heap.
    pub fn scratch(name: &str, len: usize) -> Result<Self, Error> {
        Self::make(name, len, true)
    }

    fn make(name: &str, len: usize, is_scratch: bool) -> Result<Self, Error> {
        let bytes = bytes_for::<T>(len);
        let fd = memory::memfd(name, bytes)?;
        let map = Guarded::file(fd.as_fd(), bytes)?;
        // SAFETY: the whole of a mapping made here.
        unsafe { memory::advise(map.at(), bytes, Advise::DontFork) }?;
        let listed = Listed::shared(map.at(), bytes, fd.as_fd(), is_scratch);
        Ok(Self { _listed: listed, map, fd, len, of: std::marker::PhantomData })
    }

    /// Where the table is.
    pub fn region(&self) -> Region<'_> {
        let used = Bytes(self.len * size_of::<T>());
        Region { at: self.map.at(), len: self.map.len(), file: self.fd.as_fd(), used }
    }

    /// Bytes of this table that are populated, wherever they were touched.
    pub fn populated(&self) -> Bytes {
        memory::populated(&self.fd)
    }

    /// Gives the memory of whole pages within `from .. to` (indices) back to the system; they read as zero
    /// again. The caller has no use for their contents, nor has any worker.
    pub fn release(&self, from: usize, to: usize) {
        let start = (from * size_of::<T>()).next_multiple_of(PAGE_SIZE);
        let end = to.min(self.len) * size_of::<T>() / PAGE_SIZE * PAGE_SIZE;
        if start < end {
            let at = self.map.at().add(start);
            // SAFETY: page-aligned, inside this mapping; the caller does not need the contents. Memory that
            // could not be given back is merely kept.
            let _ = unsafe { memory::advise(at, Bytes(end - start), Advise::PunchHole) };
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping holds `len` values, valid since all-zero is (`Zeroed`), for as long as `self`.
        unsafe { std::slice::from_raw_parts(self.map.at().as_ptr(), self.len) }
    }
}

/// A table of the parent's alone. Tables of this kind come and go while a heap is used.
#[derive(Debug)]
pub struct Private<T> {
    place: ManuallyDrop<Place>,
    /// `len` values of `T` fit into it.
    len: usize,
    of: std::marker::PhantomData<T>,
}

#[derive(Debug)]
struct Place {
    // Dropped before what it lists.
    _listed: Listed,
    map: Guarded,
}

impl<T: Zeroed> Private<T> {
    /// A table of `len` zeroes that no child inherits.
    pub fn new(len: usize) -> Result<Self, Error> {
        let bytes = bytes_for::<T>(len);
        let place = between_forks(|| {
            let map = Guarded::private(bytes)?;
            // SAFETY: the whole of a mapping made here.
            unsafe { memory::advise(map.at(), bytes, Advise::DontFork) }?;
            Ok::<_, Error>(Place { _listed: Listed::private(map.at(), bytes), map })
        })?;
        Ok(Self { place: ManuallyDrop::new(place), len, of: std::marker::PhantomData })
    }
}

impl<T> Drop for Private<T> {
    fn drop(&mut self) {
        // SAFETY: not used again.
        between_forks(|| unsafe { ManuallyDrop::drop(&mut self.place) });
    }
}

impl<T> Deref for Private<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: as for `Shared`.
        unsafe { std::slice::from_raw_parts(self.place.map.at().as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

    #[test]
    fn tables_start_at_zero_and_release_to_zero() {
        let table = Shared::<AtomicU32>::new("test", 10_000).unwrap();
        assert!(table.iter().all(|w| w.load(Relaxed) == 0));
        table[9_000].store(1, Relaxed);
        table[0].store(1, Relaxed);
        table.release(1, 10_000);
        // The pages at both ends are not wholly inside the range.
        assert_eq!((table[0].load(Relaxed), table[5_000].load(Relaxed)), (1, 0));
        assert_eq!(Private::<AtomicU8>::new(3).unwrap().len(), 3);
    }
}
