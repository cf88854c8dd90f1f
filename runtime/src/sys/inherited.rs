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
//!
//! # Groups
//!
//! What belongs to a heap whose children are to have a copy is listed in a [`Group`] of its own. A child that has made the
//! copy keeps the group, and then none of this is done to it. See `host_fork::copy`.

use super::inject::{Call, check};
use super::lock::{HoldAcrossFork, Mutex};
use super::{Errno, event, memory};
use crate::unit::{Address, Bytes};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::cell::Cell;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// What an entry is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum What {
    /// The range of a heap; its file is mapped over the first half, if it has one.
    Heap = 2,
    /// A table in a file.
    Shared = 3,
    /// The same; what is in it counts during a cycle only.
    Scratch = 4,
    /// A table of the process's own.
    Private = 5,
    /// An eventfd.
    Event = 6,
    /// Another descriptor.
    Descriptor = 7,
}

const FREE: u32 = 0;
const CLAIMED: u32 = 1;
/// Added to what was an ancestor's.
const LOST: u32 = 16;

/// In the place of a descriptor where there is none.
const NO_FD: i32 = -1;

impl What {
    fn from_raw(raw: u32) -> Option<Self> {
        const ALL: [What; 6] =
            [What::Heap, What::Shared, What::Scratch, What::Private, What::Event, What::Descriptor];
        ALL.into_iter().find(|what| *what as u32 == raw)
    }
}

/// Entries of a chunk.
const CHUNK: usize = 128;

/// One thing on the list. Whoever sees its kind sees the rest.
pub(crate) struct Entry {
    kind: AtomicU32,
    group: AtomicU32,
    at: AtomicUsize,
    len: AtomicUsize,
    fd: AtomicI32,
    /// A copy of the file, for a child that is about to be made.
    pub(crate) copy: AtomicI32,
    /// Whether this child has it.
    kept: AtomicU32,
}

impl Entry {
    const fn new() -> Self {
        Self {
            kind: AtomicU32::new(FREE),
            group: AtomicU32::new(0),
            at: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            fd: AtomicI32::new(NO_FD),
            copy: AtomicI32::new(NO_FD),
            kept: AtomicU32::new(0),
        }
    }

    pub(crate) fn what(&self) -> Option<What> {
        What::from_raw(self.kind.load(Ordering::Acquire))
    }

    pub(crate) fn range(&self) -> (Address, Bytes) {
        (Address::new(self.at.load(Ordering::Relaxed)), Bytes(self.len.load(Ordering::Relaxed)))
    }

    /// The descriptor's number.
    pub(crate) fn fd(&self) -> Option<i32> {
        Some(self.fd.load(Ordering::Relaxed)).filter(|fd| *fd != NO_FD)
    }
}

struct Chunk {
    entries: [Entry; CHUNK],
    next: AtomicPtr<Chunk>,
}

impl Chunk {
    const fn new() -> Self {
        Self { entries: [const { Entry::new() }; CHUNK], next: AtomicPtr::new(std::ptr::null_mut()) }
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

/// Held while a table that comes and goes with the use of a heap is mapped and listed, or taken off the list and unmapped; and
/// across a fork. So a fork finds no table half done, and what it asks of the kernel for a table is not done to what was
/// mapped there afterwards.
static CHANGES: Mutex<()> = Mutex::new(());

thread_local! {
    /// Whether the calling thread holds it for its fork: handlers of the host's may use a heap meanwhile.
    static FORKS: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`, which lists a table or takes one off the list, at a time at which no other thread forks.
pub(crate) fn between_forks<R>(f: impl FnOnce() -> R) -> R {
    let _changes = (!FORKS.get()).then(|| CHANGES.lock());
    f()
}

/// Before a fork: from here on no table comes or goes.
pub(crate) fn hold_changes() {
    CHANGES.hold();
    FORKS.set(true);
}

/// After it, on either side. Async-signal-safe.
///
/// # Safety
/// The calling thread has called [`hold_changes`]; in a child, the thread that is this one's image did.
pub(crate) unsafe fn let_changes_go() {
    FORKS.set(false);
    // SAFETY: passed on to the caller.
    unsafe { CHANGES.let_go() };
}

/// What belongs to one heap.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Group(u32);

thread_local! {
    /// What the calling thread lists goes here.
    static CURRENT: Cell<u32> = const { Cell::new(0) };
}

impl Group {
    /// A group that nothing is in.
    pub fn new() -> Self {
        static GROUPS: AtomicU32 = AtomicU32::new(0);
        Self(GROUPS.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The group of all that is in none: no child has it.
    pub const NONE: Self = Self(0);

    /// Puts into this group what the calling thread lists in `f`.
    pub fn with<R>(self, f: impl FnOnce() -> R) -> R {
        struct Return(u32);
        impl Drop for Return {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }
        let _return = Return(CURRENT.replace(self.0));
        f()
    }

    /// What is in it.
    pub(crate) fn entries(self) -> impl Iterator<Item = &'static Entry> {
        entries().filter(move |entry| entry.what().is_some() && entry.group.load(Ordering::Relaxed) == self.0)
    }

    /// In a new child, which has a copy of all that is in the group. Async-signal-safe.
    pub(crate) fn keep(self) {
        self.entries().for_each(|entry| entry.kept.store(1, Ordering::Relaxed));
    }
}

/// That something is on the list, until this drops. It drops *before* what is listed goes away: what is on the list is there.
#[must_use]
pub struct Listed(&'static Entry);

impl Listed {
    fn new(what: What, at: Address, len: Bytes, fd: Option<BorrowedFd<'_>>) -> Self {
        let entry = claim();
        entry.at.store(at.as_usize(), Ordering::Relaxed);
        entry.len.store(len.0, Ordering::Relaxed);
        entry.fd.store(fd.map_or(NO_FD, |fd| fd.as_raw_fd()), Ordering::Relaxed);
        entry.group.store(CURRENT.get(), Ordering::Relaxed);
        entry.kept.store(0, Ordering::Relaxed);
        // Release: whoever sees the kind sees the rest.
        entry.kind.store(what as u32, Ordering::Release);
        Self(entry)
    }

    /// Lists the two halves of a heap, with the file behind the first.
    pub(crate) fn heap(at: Address, len: Bytes, file: Option<BorrowedFd<'_>>) -> Self {
        Self::new(What::Heap, at, len, file)
    }

    /// Lists a table in a file.
    pub(crate) fn shared(at: Address, len: Bytes, file: BorrowedFd<'_>, is_scratch: bool) -> Self {
        Self::new(if is_scratch { What::Scratch } else { What::Shared }, at, len, Some(file))
    }

    /// Lists a table of this process's own.
    pub(crate) fn private(at: Address, len: Bytes) -> Self {
        Self::new(What::Private, at, len, None)
    }

    /// Lists an eventfd.
    pub(crate) fn event(fd: impl AsFd) -> Self {
        Self::new(What::Event, Address::new(0), Bytes(0), Some(fd.as_fd()))
    }

    /// Lists another descriptor that a child must not use.
    pub(crate) fn descriptor(fd: impl AsFd) -> Self {
        Self::new(What::Descriptor, Address::new(0), Bytes(0), Some(fd.as_fd()))
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

/// In a new child: reserves the place of every range and takes every descriptor away, but for groups that were kept. Whether
/// a heap was lost. Async-signal-safe.
pub(crate) fn disown() -> bool {
    let mut found = false;
    let nothing = event::unlisted().ok();
    let mut has_a_place = false;
    for entry in entries() {
        let Some(what) = entry.what() else { continue };
        let copy = entry.copy.swap(NO_FD, Ordering::Relaxed);
        if copy != NO_FD {
            // Of a copy that could not be made whole.
            // SAFETY: the descriptor is the entry's, which has given it up.
            drop(unsafe { OwnedFd::from_raw_fd(copy) });
        }
        if entry.kept.swap(0, Ordering::Relaxed) != 0 {
            continue;
        }
        if let Some(fd) = entry.fd() {
            has_a_place |= replace(fd, nothing.as_ref().map(AsFd::as_fd));
        }
        if matches!(what, What::Event | What::Descriptor) {
            // Its number is an eventfd of this process's, or not in use.
            entry.kind.store(CLAIMED, Ordering::Relaxed);
            continue;
        }
        found |= what == What::Heap;
        let (at, len) = entry.range();
        // SAFETY: while a range is listed it is a heap's, and in this process nobody has that heap. Where the kernel refuses,
        // nothing is mapped there, and a fault there is recognised all the same.
        let _ = unsafe { memory::reserve_over(at, len) };
        entry.kind.store(what as u32 + LOST, Ordering::Release);
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
        Some(nothing) if put_in_place(nothing, fd).is_ok() => {}
        // Better a number that is free than a parent whose memory this process can still change.
        // SAFETY: the value that owns the number belongs to a heap that nobody has here; nobody uses it.
        _ => unsafe { rustix::io::close(fd) },
    }
    false
}

/// In a new child: has the number `fd`, whose owner is there, mean the open file that `new` is. Async-signal-safe.
///
/// # Errors
/// Where the number is beyond what `RLIMIT_NOFILE` allows by now, for one. It means what it meant then.
pub(crate) fn put_in_place(new: BorrowedFd<'_>, fd: i32) -> Result<(), Errno> {
    check(Call::PutInPlace)?;
    // SAFETY: whoever owns the number keeps it, and it stays an open descriptor.
    let mut old = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(fd) });
    rustix::io::dup3(new, &mut old, rustix::io::DupFlags::CLOEXEC)
}

/// What was a heap's at this address, in a process that this is a fork of: whether it is the heap itself, and the first and
/// last byte. Async-signal-safe.
pub(crate) fn lost(address: usize) -> Option<(bool, usize, usize)> {
    entries().find_map(|entry| {
        let what = What::from_raw(entry.kind.load(Ordering::Acquire).checked_sub(LOST)?)?;
        let (at, len) = entry.range();
        let at = at.as_usize();
        (address.wrapping_sub(at) < len.0).then(|| (what == What::Heap, at, at + len.0 - 1))
    })
}

/// What an address lies in.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Near {
    /// The range of a heap.
    Heap,
    /// A table.
    Table,
    /// The guard beside either.
    Guard,
}

/// What of this process's heaps there is at an address: what, and the first and last byte of it, or of what the guard is of.
/// Async-signal-safe.
pub(crate) fn near(address: usize) -> Option<(Near, usize, usize)> {
    let find = |guard: usize| {
        entries().find_map(|entry| {
            let what = entry.what().filter(|what| !matches!(what, What::Event | What::Descriptor))?;
            let (at, len) = entry.range();
            let first = at.as_usize();
            let place = if what == What::Heap { Near::Heap } else { Near::Table };
            let inside = address.wrapping_sub(first - guard) < len.0 + 2 * guard;
            inside.then(|| (if guard > 0 { Near::Guard } else { place }, first, first + len.0 - 1))
        })
    };
    // One table's guard is beside another's.
    find(0).or_else(|| find(super::guarded::GUARD.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_a_chunk_can_be_listed_and_places_are_used_again() {
        let list = || {
            let all: Vec<_> =
                (0..3 * CHUNK).map(|k| Listed::private(Address::new(k * 4096), Bytes(4096))).collect();
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
