//! A userfaultfd, one request a function (kernel document `admin-guide/mm/userfaultfd`).

use super::memory::Span;
use super::{Answer, Errno, check};
use libc::c_ulong;
use linux_raw_sys::general as raw;
use linux_raw_sys::ioctl as request;
use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// `UFFDIO_WRITEPROTECT_MODE_WP`, which `linux-raw-sys` has no name for.
const PROTECT: u64 = 1;
/// `_IO(USERFAULTFD_IOC, 0x00)`, which it has not either.
pub const NEW_FROM_DEVICE: c_ulong = 0xaa00;

/// One way of opening a userfaultfd.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Door {
    /// The system call, for faults of user mode only.
    SystemCallUserOnly,
    /// The system call, for all faults.
    SystemCall,
    /// The node `/dev/userfaultfd`, for all faults.
    Device,
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Door::SystemCallUserOnly => "userfaultfd(UFFD_USER_MODE_ONLY)",
            Door::SystemCall => "userfaultfd(0)",
            Door::Device => "/dev/userfaultfd",
        })
    }
}

/// A userfaultfd that has agreed on its features.
#[derive(Debug)]
pub struct Uffd {
    fd: OwnedFd,
    door: Door,
}

/// What a userfaultfd tells.
#[derive(Debug)]
pub enum Message {
    /// A thread waits for a page that does not exist.
    Missing {
        /// Where.
        at: usize,
    },
    /// A thread waits for a page that is write-protected.
    Protected {
        /// Where.
        at: usize,
    },
    /// The process forked; this is the child's.
    Fork(Uffd),
    /// Something that was not asked for.
    Other(u8),
}

fn open_by(door: Door) -> Answer<OwnedFd> {
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: each call makes a new descriptor, which gets its owner.
    unsafe {
        let fd = match door {
            Door::SystemCall => check(libc::syscall(libc::SYS_userfaultfd, flags))?,
            Door::SystemCallUserOnly => {
                check(libc::syscall(libc::SYS_userfaultfd, flags | raw::UFFD_USER_MODE_ONLY as i32))?
            }
            Door::Device => {
                let node = check(libc::open(c"/dev/userfaultfd".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC))?;
                let node = OwnedFd::from_raw_fd(node as i32);
                check(libc::ioctl(node.as_raw_fd(), NEW_FROM_DEVICE, flags))?
            }
        };
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

/// Makes a request that reads and writes one structure. Async-signal-safe but for `errno`.
fn ask<T>(fd: RawFd, code: u32, argument: &mut T) -> Answer<()> {
    // SAFETY: this module passes each request the structure that belongs to it.
    check(unsafe { libc::ioctl(fd, c_ulong::from(code), std::ptr::from_mut(argument)) }).map(drop)
}

fn range(span: Span) -> raw::uffdio_range {
    raw::uffdio_range { start: span.at as u64, len: span.len as u64 }
}

/// Opens by the first of these doors that opens, with all the features the kernel has there; or what each said.
pub fn open_first(doors: &[Door]) -> Result<(OwnedFd, Door, u64), Vec<(Door, Errno)>> {
    let mut closed = Vec::new();
    for &door in doors {
        // The handshake can be made once a descriptor, so the features are asked of another one.
        match open_by(door).and_then(|fd| Ok((handshake(&fd, 0)?, open_by(door)?))) {
            Ok((features, fd)) => return Ok((fd, door, features)),
            Err(errno) => closed.push((door, errno)),
        }
    }
    Err(closed)
}

/// Agrees on features; the answer is all that the kernel has.
pub fn handshake(fd: &OwnedFd, features: u64) -> Answer<u64> {
    let mut api = raw::uffdio_api { api: raw::UFFD_API.into(), features, ioctls: 0 };
    ask(fd.as_raw_fd(), request::UFFDIO_API, &mut api)?;
    Ok(api.features)
}

impl Uffd {
    /// Takes a descriptor after its handshake.
    pub fn new(fd: OwnedFd, door: Door) -> Self {
        Self { fd, door }
    }

    /// How it was opened.
    pub fn door(&self) -> Door {
        self.door
    }

    /// Registers addresses for these kinds of fault: `UFFDIO_REGISTER_MODE_*`.
    pub fn register(&self, span: Span, mode: u32) -> Answer<()> {
        let mut all = raw::uffdio_register { range: range(span), mode: mode.into(), ioctls: 0 };
        ask(self.fd.as_raw_fd(), request::UFFDIO_REGISTER, &mut all)
    }

    /// Removes the registration, and the protection with it.
    pub fn unregister(&self, span: Span) -> Answer<()> {
        ask(self.fd.as_raw_fd(), request::UFFDIO_UNREGISTER, &mut range(span))
    }

    /// Write-protects addresses.
    pub fn protect(&self, span: Span) -> Answer<()> {
        write_protect(self.fd.as_raw_fd(), span, PROTECT)
    }

    /// Removes write-protection, and wakes who waits for it.
    pub fn unprotect(&self, span: Span) -> Answer<()> {
        unprotect(self.fd.as_raw_fd(), span)
    }

    /// Populates a missing page with zeroes, write-protected.
    pub fn fill_protected(&self, span: Span) -> Answer<()> {
        fill_protected(self.fd.as_raw_fd(), span)
    }

    /// The next message, if there is one.
    pub fn message(&self) -> Answer<Option<Message>> {
        let mut message = MaybeUninit::<raw::uffd_msg>::zeroed();
        let size = size_of::<raw::uffd_msg>();
        // SAFETY: the kernel writes whole messages, for one of which there is room.
        let got = check(unsafe { libc::read(self.fd.as_raw_fd(), message.as_mut_ptr().cast(), size) } as i64);
        match got {
            Err(Errno(libc::EAGAIN)) => return Ok(None),
            Err(errno) => return Err(errno),
            Ok(_) => {}
        }
        // SAFETY: zeroed or written by the kernel, and valid either way; each variant is read for its event only.
        unsafe {
            let message = message.assume_init();
            Ok(Some(match u32::from(message.event) {
                raw::UFFD_EVENT_PAGEFAULT => {
                    let fault = message.arg.pagefault;
                    let at = fault.address as usize;
                    if fault.flags & u64::from(raw::UFFD_PAGEFAULT_FLAG_WP) != 0 {
                        Message::Protected { at }
                    } else {
                        Message::Missing { at }
                    }
                }
                raw::UFFD_EVENT_FORK => {
                    let fd = OwnedFd::from_raw_fd(message.arg.fork.ufd as i32);
                    Message::Fork(Uffd { fd, door: self.door })
                }
                _ => Message::Other(message.event),
            }))
        }
    }

    /// Another descriptor of the same userfaultfd.
    pub fn duplicate(&self) -> Answer<OwnedFd> {
        self.fd.try_clone().map_err(|e| Errno(e.raw_os_error().unwrap_or(libc::EIO)))
    }
}

impl AsRawFd for Uffd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// The kernel answers `EAGAIN` while the address space is being changed under it. Async-signal-safe.
fn write_protect(fd: RawFd, span: Span, mode: u64) -> Answer<()> {
    loop {
        match ask(
            fd,
            request::UFFDIO_WRITEPROTECT,
            &mut raw::uffdio_writeprotect { range: range(span), mode },
        ) {
            Err(Errno(libc::EAGAIN)) => {}
            result => return result,
        }
    }
}

/// Removes write-protection and wakes who waits for it. Async-signal-safe but for `errno`.
pub fn unprotect(fd: RawFd, span: Span) -> Answer<()> {
    write_protect(fd, span, 0)
}

/// Populates a missing small page with zeroes, write-protected. `EEXIST`: it exists. Async-signal-safe but for `errno`.
pub fn fill_protected(fd: RawFd, span: Span) -> Answer<()> {
    #[repr(align(65536))]
    struct Zeroes([u8; 65536]);
    static ZEROES: Zeroes = Zeroes([0; 65536]);
    let mut copy = raw::uffdio_copy {
        dst: span.at as u64,
        src: ZEROES.0.as_ptr().addr() as u64,
        len: span.len as u64,
        mode: raw::UFFDIO_COPY_MODE_WP.into(),
        copy: 0,
    };
    ask(fd, request::UFFDIO_COPY, &mut copy)
}
