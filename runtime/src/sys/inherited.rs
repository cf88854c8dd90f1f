//! What a child that the host forks would get, or miss, of a heap: address ranges that are not inherited, and descriptors
//! that are.
//!
//! Both need something done in the child, by code that may use system calls only:
//!
//! * An address range of a heap is a hole in the child (`MADV_DONTFORK`), where stale pointers lead. The kernel could put
//!   anything there, and a store through such a pointer would then change it. So the place is reserved, without access.
//! * A descriptor is the *same* open file as the parent's. A userfaultfd of the parent's acts on the **parent's** memory, an
//!   eventfd raised in the child wakes the parent's collector, and a memory file keeps the parent's heap in memory after the
//!   parent has dropped it. So an eventfd of nobody's takes its number, which keeps the Rust value that owns the number valid.
//!
//! The list grows in chunks that are never given back, and is read without a lock: in the child's side of a fork, and in a
//! handler for faults.

use super::memory;
use crate::unit::{Address, Bytes};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// A place that is or was a heap's.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Place {
    /// The range of a heap.
    Heap = 2,
    /// A table beside one.
    Table = 3,
}

const FREE: u32 = 0;
const CLAIMED: u32 = 1;
const DESCRIPTOR: u32 = 4;
/// Added to a [`Place`] that was an ancestor's.
const LOST: u32 = 16;

/// Entries of a chunk.
const CHUNK: usize = 128;

/// A range: kind, address, length. A descriptor: kind, number.
struct Entry {
    kind: AtomicU32,
    at: AtomicUsize,
    len: AtomicUsize,
}

struct Chunk {
    entries: [Entry; CHUNK],
    next: AtomicPtr<Chunk>,
}

impl Chunk {
    const fn new() -> Self {
        let entries = [const {
            Entry { kind: AtomicU32::new(FREE), at: AtomicUsize::new(0), len: AtomicUsize::new(0) }
        }; CHUNK];
        Self { entries, next: AtomicPtr::new(std::ptr::null_mut()) }
    }

    fn next(&self) -> Option<&'static Self> {
        // SAFETY: null, or a chunk that was leaked by `claim`. Acquire: it is seen as it was made.
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }
}

static FIRST: Chunk = Chunk::new();

fn entries() -> impl Iterator<Item = &'static Entry> {
    std::iter::successors(Some(&FIRST), |chunk| chunk.next()).flat_map(|chunk| &chunk.entries)
}

fn claim() -> &'static Entry {
    loop {
        let free = |entry: &&Entry| {
            entry.kind.load(Ordering::Relaxed) == FREE
                && entry.kind.compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        if let Some(entry) = entries().find(free) {
            return entry;
        }
        let last = std::iter::successors(Some(&FIRST), |chunk| chunk.next()).last().unwrap_or(&FIRST);
        let more = Box::into_raw(Box::new(Chunk::new()));
        let put = last.next.compare_exchange(std::ptr::null_mut(), more, Ordering::AcqRel, Ordering::Acquire);
        if put.is_err() {
            // SAFETY: another thread was first, and nobody has seen this chunk.
            drop(unsafe { Box::from_raw(more) });
        }
    }
}

/// That something is on the list, until this drops. It drops *before* what is listed goes away: what is on the list is there.
#[must_use]
pub struct Listed(&'static Entry);

impl Listed {
    fn new(kind: u32, at: usize, len: usize) -> Self {
        let entry = claim();
        entry.at.store(at, Ordering::Relaxed);
        entry.len.store(len, Ordering::Relaxed);
        // Release: whoever sees the kind sees the rest.
        entry.kind.store(kind, Ordering::Release);
        Self(entry)
    }

    /// Lists memory that no child inherits.
    pub fn range(place: Place, at: Address, len: Bytes) -> Self {
        Self::new(place as u32, at.as_usize(), len.0)
    }

    /// Lists a descriptor that a child must not use.
    pub fn descriptor(fd: impl AsFd) -> Self {
        Self::new(DESCRIPTOR, fd.as_fd().as_raw_fd() as usize, 0)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.0.kind.store(FREE, Ordering::Release);
    }
}

impl std::fmt::Debug for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listed")
    }
}

/// In a new child: reserves the place of every range and takes every descriptor away. Whether there was a heap.
/// Async-signal-safe.
pub(crate) fn disown() -> bool {
    let mut found = false;
    let nothing = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok();
    let mut has_a_place = false;
    for entry in entries() {
        match entry.kind.load(Ordering::Acquire) {
            DESCRIPTOR => {
                let fd = entry.at.load(Ordering::Relaxed) as i32;
                has_a_place |= replace(fd, nothing.as_ref().map(AsFd::as_fd));
                // Its number is an eventfd of this process's, or not in use.
                entry.kind.store(CLAIMED, Ordering::Relaxed);
            }
            kind if kind == Place::Heap as u32 || kind == Place::Table as u32 => {
                found |= kind == Place::Heap as u32;
                let at = Address::new(entry.at.load(Ordering::Relaxed));
                // SAFETY: while a range is listed it is a heap's, and in this process nobody has that heap. Where the kernel
                // refuses, nothing is mapped there, and a fault there is recognised all the same.
                let _ = unsafe { memory::reserve_over(at, Bytes(entry.len.load(Ordering::Relaxed))) };
                entry.kind.store(kind + LOST, Ordering::Release);
            }
            _ => {}
        }
    }
    if has_a_place {
        std::mem::forget(nothing);
    }
    found
}

/// Puts `nothing` in the place of a descriptor; without it, closes that. Whether it had that very number.
///
/// It can have: `fork` copies the descriptors first and memory later. One that another thread opened and listed in between
/// is listed here, and not open.
fn replace(fd: i32, nothing: Option<BorrowedFd<'_>>) -> bool {
    match nothing {
        Some(nothing) if nothing.as_raw_fd() == fd => return true,
        Some(nothing) => {
            // SAFETY: the value that owns the number belongs to a heap that nobody has here; it stays an open descriptor.
            let mut old = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(fd) });
            // In a process with one thread this cannot fail.
            let _ = rustix::io::dup3(nothing, &mut old, rustix::io::DupFlags::CLOEXEC);
        }
        // Better a number that is free than a parent whose memory this process can still change.
        // SAFETY: as above; nobody uses the number.
        None => unsafe { rustix::io::close(fd) },
    }
    false
}

/// What was a heap's at this address, in a process that this is a fork of: the place and its first and last byte.
/// Async-signal-safe.
pub(crate) fn lost(address: usize) -> Option<(Place, usize, usize)> {
    entries().find_map(|entry| {
        let place = match entry.kind.load(Ordering::Acquire).checked_sub(LOST)? {
            kind if kind == Place::Heap as u32 => Place::Heap,
            _ => Place::Table,
        };
        let (at, len) = (entry.at.load(Ordering::Relaxed), entry.len.load(Ordering::Relaxed));
        (address.wrapping_sub(at) < len).then(|| (place, at, at + len - 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_chunk_can_be_listed_and_places_are_used_again() {
        let list = || {
            let all: Vec<_> = (0..3 * CHUNK)
                .map(|k| Listed::range(Place::Table, Address::new(k * 4096), Bytes(4096)))
                .collect();
            let chunks = std::iter::successors(Some(&FIRST), |chunk| chunk.next()).count();
            drop(all);
            chunks
        };
        let chunks = list();
        assert!(chunks >= 3);
        assert!(list() <= chunks + 1);
        assert_eq!(lost(4096), None, "nothing is lost where nobody forked");
    }
}
