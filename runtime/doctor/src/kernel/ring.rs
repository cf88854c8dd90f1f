//! The least of io_uring: registered buffers, which pin memory for as long as the ring lives, and a read through
//! them. The kernel then writes to pages without looking at the page table, as a device does.

use super::memory::Span;
use super::{Answer, Errno, check};
use linux_raw_sys::io_uring as raw;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

/// What is read carries no name of its own, so an entry is told by what it holds: see [`Ring::read`].
type Entry = [u64; 8];

/// A ring for one request at a time.
#[derive(Debug)]
pub struct Ring {
    fd: OwnedFd,
    params: raw::io_uring_params,
    /// Both queues' indices, and the completions.
    queues: *mut u8,
    submissions: *mut Entry,
}

impl Ring {
    /// A new ring.
    pub fn new() -> Answer<Self> {
        // SAFETY: all-zero is a valid io_uring_params, and the call writes it; the descriptor gets its owner.
        let (fd, params) = unsafe {
            let mut params: raw::io_uring_params = std::mem::zeroed();
            let fd = check(libc::syscall(libc::SYS_io_uring_setup, 1, &raw mut params))?;
            (OwnedFd::from_raw_fd(fd as i32), params)
        };
        if params.features & raw::IORING_FEAT_SINGLE_MMAP == 0 {
            return Err(Errno(libc::ENOSYS));
        }
        let completions = params.cq_off.cqes as usize + params.cq_entries as usize * 16;
        let indices = params.sq_off.array as usize + params.sq_entries as usize * 4;
        let queues = map(&fd, completions.max(indices), raw::IORING_OFF_SQ_RING)?;
        let submissions = map(&fd, params.sq_entries as usize * size_of::<Entry>(), raw::IORING_OFF_SQES)?;
        Ok(Self { fd, params, queues, submissions: submissions.cast() })
    }

    /// Pins this memory until the ring is dropped.
    pub fn pin(&self, span: Span) -> Answer<()> {
        let buffer = libc::iovec { iov_base: ptr::with_exposed_provenance_mut(span.at), iov_len: span.len };
        // SAFETY: registers one buffer, described by one iovec.
        check(unsafe {
            let code = raw::io_uring_register_op::IORING_REGISTER_BUFFERS as u32;
            libc::syscall(libc::SYS_io_uring_register, self.fd.as_raw_fd(), code, &raw const buffer, 1)
        })
        .map(drop)
    }

    /// Reads from a file's beginning into the pinned memory at `span`, and waits for it.
    pub fn read(&self, file: &impl AsFd, span: Span) -> Answer<u64> {
        let code = raw::io_uring_op::IORING_OP_READ_FIXED as u64;
        let fd = u64::from(file.as_fd().as_raw_fd().cast_unsigned());
        // Code and descriptor, offset, address, length; then user data and the index of the buffer, all 0.
        let entry: Entry = [code | fd << 32, 0, span.at as u64, span.len as u64, 0, 0, 0, 0];
        let (submitted, completed) = (self.params.sq_off, self.params.cq_off);
        // SAFETY: the ring has one entry and no request under way, so entry 0 is ours until the tail is published;
        // the completion is the kernel's only until its tail is.
        unsafe {
            let tail = self.index(submitted.tail);
            let slot = tail.load(Ordering::Relaxed) & self.index(submitted.ring_mask).load(Ordering::Relaxed);
            self.submissions.add(slot as usize).write(entry);
            self.index(submitted.array + slot * 4).store(slot, Ordering::Relaxed);
            // Release: the kernel reads the entry after it has seen the tail.
            tail.fetch_add(1, Ordering::Release);
            let wait = raw::IORING_ENTER_GETEVENTS;
            check(libc::syscall(
                libc::SYS_io_uring_enter,
                self.fd.as_raw_fd(),
                1,
                1,
                wait,
                ptr::null::<u8>(),
                0,
            ))?;
            let head = self.index(completed.head);
            let slot = head.load(Ordering::Relaxed);
            // Acquire: pairs with the kernel's store of the tail, after the completion's.
            if self.index(completed.tail).load(Ordering::Acquire) == slot {
                return Err(Errno(libc::EIO));
            }
            let slot = slot & self.index(completed.ring_mask).load(Ordering::Relaxed);
            let entry = self.queues.add(completed.cqes as usize + slot as usize * 16);
            let result = entry.add(8).cast::<i32>().read();
            head.fetch_add(1, Ordering::Release);
            if result < 0 { Err(Errno(-result)) } else { Ok(result as u64) }
        }
    }

    fn index(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the kernel gave the offset of a u32 within the mapping, which is shared with it.
        unsafe { AtomicU32::from_ptr(self.queues.add(offset as usize).cast()) }
    }
}

fn map(fd: &OwnedFd, len: usize, at: u32) -> Answer<*mut u8> {
    let access = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
    // SAFETY: a new mapping of the ring's own memory.
    let got =
        unsafe { libc::mmap(ptr::null_mut(), len, access, flags, fd.as_raw_fd(), libc::off_t::from(at)) };
    if got == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(got.cast()) }
}
