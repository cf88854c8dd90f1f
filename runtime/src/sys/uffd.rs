//! A userfaultfd for write-protection (kernel document `admin-guide/mm/userfaultfd`, "Write Protect Notifications").
//!
//! The `userfaultfd` crate registers, protects, unprotects and reads events. Opening is done here: the device node and
//! the system call are guarded by different rights (a node's permission; `vm.unprivileged_userfaultfd`, a
//! capability, or seccomp), either may be refused where the other is allowed, and the crate's builder gives up
//! where the node exists and may not be opened.

use super::inherited::{Listed, put_in_place};
use super::inject::{Call, check};
use super::{Errno, clear};
use crate::unit::{Address, Bytes};
use linux_raw_sys as raw;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::fd::{FromRawFd, IntoRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::mm::UserfaultfdFlags;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use userfaultfd::{FaultKind, IoctlFlags, RegisterMode};

/// One way of opening a userfaultfd.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Door {
    /// The system call, for faults of user mode only. Allowed to everyone by default.
    SystemCallUserOnly,
    /// The system call.
    SystemCall,
    /// The node `/dev/userfaultfd`.
    Device,
}

impl Door {
    /// All of them, the one with the least rights first.
    pub const ALL: [Self; 3] = [Self::SystemCallUserOnly, Self::SystemCall, Self::Device];

    /// The name, as it is written in options.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SystemCallUserOnly => "user-call",
            Self::SystemCall => "call",
            Self::Device => "device",
        }
    }

    /// Whether a descriptor that came through this door also tells of writes that the kernel makes, in a system call of the
    /// thread.
    pub const fn sees_kernel_writes(self) -> bool {
        !matches!(self, Self::SystemCallUserOnly)
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Door::SystemCallUserOnly => "userfaultfd(UFFD_USER_MODE_ONLY)",
            Door::SystemCall => "userfaultfd()",
            Door::Device => "/dev/userfaultfd",
        })
    }
}

impl std::str::FromStr for Door {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|door| door.name() == text)
            .ok_or_else(|| format!("{text:?} is no way to a userfaultfd: user-call, call or device"))
    }
}

/// A feature of the kernel's userfaultfd.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Feature {
    /// The kernel's name for it.
    pub name: &'static str,
    bit: u64,
    /// The first Linux that has it on this architecture.
    pub since: &'static str,
}

/// One version where both architectures have it since the same one.
const fn since(x86: &'static str, aarch64: &'static str) -> &'static str {
    if cfg!(target_arch = "aarch64") { aarch64 } else { x86 }
}

impl Feature {
    /// Write-protection of private anonymous memory.
    pub const WRITE_PROTECT: Self = Self {
        name: "UFFD_FEATURE_PAGEFAULT_FLAG_WP",
        bit: raw::general::UFFD_FEATURE_PAGEFAULT_FLAG_WP as u64,
        since: since("5.7", "6.10"),
    };
    /// The same for shared memory.
    pub const SHARED: Self = Self {
        name: "UFFD_FEATURE_WP_HUGETLBFS_SHMEM",
        bit: raw::general::UFFD_FEATURE_WP_HUGETLBFS_SHMEM as u64,
        since: since("5.19", "6.10"),
    };
    /// The faulting thread gets `SIGBUS` instead of waiting for somebody who reads events.
    pub const SIGBUS: Self =
        Self { name: "UFFD_FEATURE_SIGBUS", bit: raw::general::UFFD_FEATURE_SIGBUS as u64, since: "4.14" };
    /// Pages of private memory that were never touched can be protected. (Those of shared memory always can.)
    pub const UNPOPULATED: Self = Self {
        name: "UFFD_FEATURE_WP_UNPOPULATED",
        bit: raw::general::UFFD_FEATURE_WP_UNPOPULATED as u64,
        since: since("6.4", "6.10"),
    };
    /// The kernel resolves write faults itself and remembers the page as written.
    pub const ASYNC: Self = Self {
        name: "UFFD_FEATURE_WP_ASYNC",
        bit: raw::general::UFFD_FEATURE_WP_ASYNC as u64,
        since: since("6.7", "6.10"),
    };
}

/// A set of features.
#[derive(Copy, Clone, PartialEq, Eq, Default)]
pub struct Features(u64);

impl Features {
    /// These.
    pub fn of(features: &[Feature]) -> Self {
        Self(features.iter().map(|f| f.bit).sum())
    }

    /// Whether this one is among them.
    pub fn has(self, feature: Feature) -> bool {
        self.0 & feature.bit != 0
    }

    /// The set as the kernel's bits.
    pub fn bits(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Features({:#x})", self.0)
    }
}

/// A userfaultfd whose features are agreed on.
#[derive(Debug)]
pub struct Uffd {
    // Dropped before the descriptor is.
    _listed: Listed,
    uffd: userfaultfd::Uffd,
    /// Something else stands in the descriptor's place.
    abandoned: AtomicBool,
}

/// Opens a descriptor by one door, without agreeing on features yet.
fn open(door: Door) -> Result<OwnedFd, Errno> {
    check(Call::UffdOpen)?;
    let flags = UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::NONBLOCK;
    // SAFETY: a new descriptor, which is used according to the kernel's documentation.
    let by_call = |flags| unsafe { rustix::mm::userfaultfd(flags) };
    match door {
        Door::SystemCall => by_call(flags),
        Door::SystemCallUserOnly => {
            by_call(flags | UserfaultfdFlags::from_bits_retain(linux_raw_sys::general::UFFD_USER_MODE_ONLY))
        }
        Door::Device => {
            let node = rustix::fs::open("/dev/userfaultfd", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
            request::new(&node, flags.bits())
        }
    }
}

/// Agrees on the API's version and features; the answer is all that the kernel has.
fn handshake(fd: &OwnedFd, features: u64) -> Result<u64, Errno> {
    check(Call::UffdHandshake)?;
    request::handshake(fd, features)
}

/// The features the kernel has, asked through a descriptor of its own (the handshake ends a descriptor's
/// negotiation, so it cannot be the one that is used).
pub fn features(door: Door) -> Result<Features, Errno> {
    handshake(&open(door)?, 0).map(Features)
}

impl Uffd {
    /// Opens by this door and agrees on these features.
    pub fn open(door: Door, features: Features) -> Result<Self, Errno> {
        let fd = clear::of_standard(open(door)?)?;
        handshake(&fd, features.0)?;
        let listed = Listed::descriptor(&fd);
        // SAFETY: the descriptor is a userfaultfd after its handshake, and ownership moves.
        let uffd = unsafe { userfaultfd::Uffd::from_raw_fd(fd.into_raw_fd()) };
        Ok(Self { _listed: listed, uffd, abandoned: AtomicBool::new(false) })
    }

    /// In a child: has the descriptor be a new one, of this process's memory, opened in the same way. Async-signal-safe.
    pub(crate) fn reopen(&self, door: Door, features: Features) -> Result<(), Errno> {
        let fd = open(door)?;
        handshake(&fd, features.0)?;
        put_in_place(fd.as_fd(), self.uffd.as_raw_fd())?;
        self.abandoned.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Registers a range for write-protection. It is armed page by page afterwards.
    ///
    /// `EBUSY`: another userfaultfd tracks some of it already.
    pub fn register(&self, at: Address, len: Bytes) -> Result<(), Errno> {
        check(Call::UffdRegister)?;
        let got = self
            .uffd
            .register_with_mode(at.as_ptr(), len.0, RegisterMode::WRITE_PROTECT)
            .map_err(|e| errno_of(&e))?;
        if got.contains(IoctlFlags::WRITE_PROTECT) { Ok(()) } else { Err(Errno::OPNOTSUPP) }
    }

    /// Removes the range's registration, and with it all its protection. Async-signal-safe but for `errno`.
    pub fn unregister(&self, at: Address, len: Bytes) -> Result<(), Errno> {
        check(Call::UffdUnregister)?;
        self.uffd.unregister(at.as_ptr(), len.0).map_err(|e| errno_of(&e))
    }

    /// Gives the userfaultfd up without asking it: something else is put in the place of its descriptor. The kernel removes all
    /// protection when the last descriptor is closed, and wakes who waits. A worker may still hold one until it is killed.
    /// Async-signal-safe but for `errno`.
    ///
    /// For a process that is not allowed `ioctl` any more.
    pub fn abandon(&self) -> Result<(), Errno> {
        if self.abandoned.load(Ordering::SeqCst) {
            // Asked for again by each thread that traps meanwhile, when there may be no more descriptors.
            return Ok(());
        }
        check(Call::UffdAbandon)?;
        let nothing = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        // SAFETY: both are descriptors of this process. From here on this value owns an eventfd, to which every request of a
        // userfaultfd is an error.
        match unsafe { libc::dup3(nothing.as_raw_fd(), self.uffd.as_raw_fd(), libc::O_CLOEXEC) } {
            -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::BADF)),
            _ => {
                self.abandoned.store(true, Ordering::SeqCst);
                Ok(())
            }
        }
    }

    /// Write-protects a range: the next write to each of its pages traps.
    pub fn arm(&self, at: Address, len: Bytes) -> Result<(), Errno> {
        retry(Call::UffdArm, || self.uffd.write_protect(at.as_ptr(), len.0))
    }

    /// Removes a range's protection. Async-signal-safe but for `errno`.
    #[inline]
    pub fn open_pages(&self, at: Address, len: Bytes) -> Result<(), Errno> {
        retry(Call::UffdOpenPages, || self.uffd.remove_write_protection(at.as_ptr(), len.0, true))
    }

    /// Lets threads go on that wait for the answer to an event in this range.
    pub fn wake(&self, at: Address, len: Bytes) -> Result<(), Errno> {
        retry(Call::UffdWake, || self.uffd.wake(at.as_ptr(), len.0))
    }

    /// The address of the next write fault that somebody waits for; none where nobody does.
    pub fn next_fault(&self) -> Result<Option<Address>, Errno> {
        let read = || self.uffd.read_event().map_err(|error| errno_of(&error));
        match check(Call::UffdRead).and_then(|()| read()) {
            Ok(Some(userfaultfd::Event::Pagefault { kind: FaultKind::WriteProtected, addr, .. })) => {
                Ok(Some(Address::new(addr.addr())))
            }
            // No other event was asked for.
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for Uffd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is open as long as `self` is.
        unsafe { BorrowedFd::borrow_raw(self.uffd.as_raw_fd()) }
    }
}

/// The kernel answers `EAGAIN` while the address space is being changed under it.
#[inline]
fn retry(kind: Call, mut call: impl FnMut() -> userfaultfd::Result<()>) -> Result<(), Errno> {
    loop {
        match check(kind).and_then(|()| call().map_err(|e| errno_of(&e))) {
            Err(Errno::AGAIN | Errno::INTR) => rustix::thread::sched_yield(),
            result => return result,
        }
    }
}

fn errno_of(error: &userfaultfd::Error) -> Errno {
    match error {
        userfaultfd::Error::SystemError(errno) => Errno::from_raw_os_error(*errno as i32),
        _ => Errno::IO,
    }
}

/// The two requests the `userfaultfd` crate has no call for on a descriptor that it did not open.
mod request {
    use super::Errno;
    use linux_raw_sys::general::{UFFD_API, uffdio_api};
    use rustix::fd::{FromRawFd, OwnedFd};
    use rustix::ioctl::{self, IoctlOutput, Opcode};
    use std::ffi::c_void;

    struct New(u32);

    // SAFETY: USERFAULTFD_IOC_NEW takes its flags as the argument itself and returns a new descriptor.
    unsafe impl ioctl::Ioctl for New {
        type Output = OwnedFd;
        const IS_MUTATING: bool = false;
        fn opcode(&self) -> Opcode {
            // _IO(USERFAULTFD_IOC, 0x00), which linux-raw-sys has not.
            ioctl::opcode::none(0xaa, 0)
        }
        fn as_ptr(&mut self) -> *mut c_void {
            std::ptr::without_provenance_mut(self.0 as usize)
        }
        unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> rustix::io::Result<OwnedFd> {
            // SAFETY: the request succeeded, so `out` is a descriptor that nobody owns yet.
            Ok(unsafe { OwnedFd::from_raw_fd(out) })
        }
    }

    pub(super) fn new(node: &OwnedFd, flags: u32) -> Result<OwnedFd, Errno> {
        // SAFETY: `New` describes the request; `node` is the device.
        unsafe { ioctl::ioctl(node, New(flags)) }
    }

    pub(super) fn handshake(fd: &OwnedFd, features: u64) -> Result<u64, Errno> {
        let mut api = uffdio_api { api: UFFD_API.into(), features, ioctls: 0 };
        // SAFETY: UFFDIO_API reads and writes one `uffdio_api`.
        unsafe {
            let request =
                ioctl::Updater::<{ linux_raw_sys::ioctl::UFFDIO_API as Opcode }, uffdio_api>::new(&mut api);
            ioctl::ioctl(fd, request)?;
        }
        Ok(api.features)
    }
}
