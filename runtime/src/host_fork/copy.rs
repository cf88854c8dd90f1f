//! A child gets a copy of a heap.
//!
//! Whose heap it is takes part in forks by way of [`Copied`]. Before the fork, in the parent, with ordinary code: the forking
//! thread stops that heap between two cycles ([`Copied::rest`], [`Copied::stop`]), and what is shared memory is copied to new files
//! ([`copy_group`]); what is private memory may be inherited for once. After it the parent takes that back and goes on. The
//! child puts the copies where the originals were, at the same addresses and under the same numbers of descriptors, so that
//! every value in it stays as it is.
//!
//! So the parent's threads wait for the copy, and the child waits for nobody. That is the simpler way round: a child that
//! copied for itself would have to be waited for, and may be stopped or killed in the middle.

use crate::error::Error;
use crate::mutator::Registry;
use crate::sys::inherited::{Entry, Group, What, put_in_place};
use crate::sys::memory::{self, Advise};
use crate::sys::{Errno, event};
use crate::unit::{Address, Bytes};
use rustix::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A heap whose children have a copy of it.
pub trait Copied: Send + Sync {
    /// In the parent, before the fork: brings the heap to rest between two cycles. `false`: the heap is going away; or a cycle waits for
    /// threads that do not stop, or a listener does not return, for so long.
    fn rest(&self, patience: Duration) -> bool;

    /// After that: stops its world. The calling thread counts as blocked. `false`: not in this time, and the world goes on.
    fn stop(&self, limit: Duration) -> bool;

    /// After that: makes the copies. `false`: they cannot be made, and there are none.
    fn copy(&self) -> bool;

    /// Undoes [`Copied::stop`].
    ///
    /// # Safety
    /// Stopped by this thread.
    unsafe fn start(&self);

    /// Undoes [`Copied::rest`].
    fn work(&self);

    /// After all of these: takes the locks that any thread may have for a moment, so that nothing is half done in the child.
    fn hold_locks(&self);

    /// After that, with no table of any heap coming or going: has the child inherit what is private memory.
    fn inherit(&self);

    /// In the parent, after the fork: undoes that, before tables come and go again.
    fn disinherit(&self);

    /// In the parent, after that: undoes the rest.
    ///
    /// # Safety
    /// Held by this thread.
    unsafe fn go_on(&self);

    /// In the child: makes the heap this process's. `false`: it cannot be, and the child has none. Async-signal-safe.
    ///
    /// # Safety
    /// Held by the thread that this one is the image of.
    unsafe fn begin_anew(&self) -> bool;

    /// The threads of the heap.
    fn registry(&self) -> &Registry;
}

/// In the parent, before the fork: has the child inherit what is private memory of the group.
///
/// # Errors
/// Where the kernel refuses; the child cannot have a copy then.
pub fn inherit_group(group: Group) -> Result<(), Error> {
    group.entries().flat_map(private_ranges).flatten().try_for_each(|(at, len)| {
        // SAFETY: memory of the group's heap; the advice changes no contents.
        unsafe { memory::advise(at, len, Advise::DoFork) }
    })
}

/// In the parent, before the fork: copies what is shared memory of the group.
///
/// # Errors
/// Where memory or descriptors for the copies cannot be had. There are none then.
pub fn copy_group(group: Group) -> Result<(), Error> {
    let result = group.entries().try_for_each(|entry| {
        let what = entry.what();
        if let (Some(fd), Some((at, len))) = (file_of(entry), file_range(entry)) {
            let copy = memory::memfd("palimpsest-copy", len)?;
            if what != Some(What::Scratch) {
                // SAFETY: the heap's world is stopped, so the file, which is mapped here, does not change.
                unsafe { memory::copy_to(fd, at, len, copy.as_fd()) }?;
            }
            entry.copy.store(copy.into_raw_fd(), Relaxed);
        }
        Ok(())
    });
    if result.is_err() {
        forget_group(group);
    }
    result
}

/// In the parent, after the fork: the child has what it needs.
pub fn forget_group(group: Group) {
    for entry in group.entries() {
        drop(take_copy(entry));
        keep_from_children(entry);
    }
}

/// In the child: puts the copies in the place of the originals. Async-signal-safe.
///
/// # Safety
/// The group was copied for this child, and nobody uses what is in it.
pub unsafe fn adopt_group(group: Group) -> Result<(), Errno> {
    for entry in group.entries() {
        if let (Some(copy), Some((at, len)), Some(fd)) = (take_copy(entry), file_range(entry), entry.fd()) {
            // SAFETY: the place of the original, which this process has not (MADV_DONTFORK).
            unsafe { memory::put_file(at, len, copy.as_fd()) }?;
            put_in_place(copy.as_fd(), fd)?;
        }
        if let (Some(What::Event), Some(fd)) = (entry.what(), entry.fd()) {
            put_in_place(event::unlisted()?.as_fd(), fd)?;
        }
        keep_from_children(entry);
    }
    Ok(())
}

/// In the child: it has all that is in the group. Async-signal-safe.
pub fn keep_group(group: Group) {
    group.keep();
}

fn take_copy(entry: &Entry) -> Option<OwnedFd> {
    let copy = entry.copy.swap(-1, Relaxed);
    // SAFETY: stored by `copy_group`, which gave up the ownership; taken once.
    (copy >= 0).then(|| unsafe { OwnedFd::from_raw_fd(copy) })
}

/// No child inherits what this process has, until that is asked for again.
fn keep_from_children(entry: &Entry) {
    let file = file_range(entry);
    for (at, len) in private_ranges(entry).into_iter().chain([file]).flatten() {
        // SAFETY: memory of the group's heap; the advice changes no contents. If the kernel refuses, children have a copy
        // that they do not use.
        let _ = unsafe { memory::advise_raw(at, len, Advise::DontFork) };
    }
}

fn file_of(entry: &Entry) -> Option<BorrowedFd<'_>> {
    // SAFETY: while it is listed, the descriptor is open.
    file_range(entry).and(entry.fd()).map(|fd| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Where an entry's file is mapped.
fn file_range(entry: &Entry) -> Option<(Address, Bytes)> {
    let (at, len) = entry.range();
    match entry.what()? {
        What::Shared | What::Scratch => Some((at, len)),
        What::Heap if entry.fd().is_some() => Some((at, Bytes(len.0 / 2))),
        _ => None,
    }
}

/// Where an entry has private memory: up to two halves.
fn private_ranges(entry: &Entry) -> [Option<(Address, Bytes)>; 2] {
    let (at, len) = entry.range();
    let half = Bytes(len.0 / 2);
    match entry.what() {
        Some(What::Private) => [Some((at, len)), None],
        // Advised one by one when the heap was made: two mappings, or one file and one mapping.
        Some(What::Heap) => [entry.fd().is_none().then_some((at, half)), Some((at.add(half.0), half))],
        _ => [None, None],
    }
}
