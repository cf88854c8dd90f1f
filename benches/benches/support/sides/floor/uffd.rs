//! A userfaultfd by bare requests.

use std::ffi::{c_int, c_ulong};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use linux_raw_sys::general as raw;
use linux_raw_sys::ioctl::{UFFDIO_API, UFFDIO_REGISTER, UFFDIO_WRITEPROTECT};

/// Modes of `UFFDIO_WRITEPROTECT`, which linux-raw-sys has no names for: `UFFDIO_WRITEPROTECT_MODE_WP`, and none, which also
/// wakes who waits for an answer.
pub(super) const PROTECT: u64 = 1;
pub(super) const UNPROTECT: u64 = 0;

/// An open userfaultfd, never closed.
#[derive(Clone, Copy)]
pub(super) struct Uffd(c_int);

impl Uffd {
    /// One that has agreed to these features and that tracks this memory.
    pub(super) fn over(at: *mut u8, len: usize, features: u32) -> io::Result<Self> {
        let call = |flags: c_int| {
            // SAFETY: makes a new descriptor of these flags.
            let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | flags) };
            if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(fd as c_int) }
        };
        let uffd = Self(call(raw::UFFD_USER_MODE_ONLY as c_int).or_else(|_| call(0))?);
        let mut api = raw::uffdio_api { api: raw::UFFD_API.into(), features: features.into(), ioctls: 0 };
        uffd.request(UFFDIO_API, &mut api)?;
        let range = raw::uffdio_range { start: at as u64, len: len as u64 };
        let mode = raw::UFFDIO_REGISTER_MODE_WP.into();
        uffd.request(UFFDIO_REGISTER, &mut raw::uffdio_register { range, mode, ioctls: 0 })?;
        Ok(uffd)
    }

    /// Protects or unprotects. Async-signal-safe.
    pub(super) fn set_mode(self, at: *mut u8, len: usize, mode: u64) -> io::Result<()> {
        let range = raw::uffdio_range { start: at as u64, len: len as u64 };
        self.request(UFFDIO_WRITEPROTECT, &mut raw::uffdio_writeprotect { range, mode })
    }

    /// Waits for the next fault and returns its address.
    pub(super) fn next_fault(self) -> io::Result<u64> {
        let mut message = MaybeUninit::<raw::uffd_msg>::uninit();
        let size = size_of::<raw::uffd_msg>();
        // SAFETY: there is room for a message; a complete one is of a page fault, since no other event was asked for.
        unsafe {
            if libc::read(self.0, message.as_mut_ptr().cast(), size) != size as isize {
                return Err(io::Error::last_os_error());
            }
            Ok((&raw const (*message.as_ptr()).arg.pagefault.address).read_unaligned())
        }
    }

    /// One request. Async-signal-safe.
    fn request<T>(self, code: u32, argument: &mut T) -> io::Result<()> {
        // SAFETY: this module passes each request the structure that it reads and writes.
        let result = unsafe { libc::ioctl(self.0, c_ulong::from(code), ptr::from_mut(argument)) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
