//! The floor: the least a program can do about a first write, as what the barrier's cost is compared with.
//!
//! A memory file of its own, a userfaultfd of its own, and a handler that does nothing but to unprotect the page, or to
//! copy it and unprotect it. No state of pages, no dirty map, no heap to look for, no thread that could come in between:
//! what is left is the kernel's part. [`Floor::armed`] and [`Floor::saved`] put their handler in place of the library's
//! for as long as they write, so neither program runs through the other's handler.

use std::ffi::{c_int, c_ulong, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use libc::siginfo_t;
use linux_raw_sys::general as raw;
use linux_raw_sys::ioctl::{UFFDIO_API, UFFDIO_REGISTER, UFFDIO_WRITEPROTECT};
use palimpsest_runtime::PAGE_SIZE;

use crate::armed::{PAGES, write_pages};

const LEN: usize = PAGES as usize * PAGE_SIZE;

/// Page tables cover 2 MiB each: alignment leaves none half used.
const ALIGN: usize = 2 << 20;

/// Modes of `UFFDIO_WRITEPROTECT`, which linux-raw-sys has no names for: `UFFDIO_WRITEPROTECT_MODE_WP`, and none.
const PROTECT: u64 = 1;
const UNPROTECT: u64 = 0;

/// The floor that the handlers serve.
static FLOOR: AtomicPtr<Floor> = AtomicPtr::new(ptr::null_mut());

/// Populated memory under a userfaultfd, and room for a copy of all of it.
pub struct Floor {
    uffd: c_int,
    heap: *mut u8,
    pool: *mut u8,
    /// The pool's next slot, in pages.
    next: AtomicUsize,
}

impl Floor {
    /// The process's floor, which lives as long as that. Call it once.
    pub fn new() -> io::Result<&'static Self> {
        let (heap, pool) = (populated()?, populated()?);
        let floor = Box::leak(Box::new(Self { uffd: open()?, heap, pool, next: AtomicUsize::new(0) }));
        let mut all = raw::uffdio_register {
            range: raw::uffdio_range { start: heap as u64, len: LEN as u64 },
            mode: raw::UFFDIO_REGISTER_MODE_WP.into(),
            ioctls: 0,
        };
        request(floor.uffd, UFFDIO_REGISTER, &mut all)?;
        FLOOR.store(floor, Relaxed);
        Ok(floor)
    }

    /// Time to write to every page when all are armed.
    pub fn armed(&self) -> Duration {
        self.round(unprotect_page)
    }

    /// The same, where each page is copied first.
    pub fn saved(&self) -> Duration {
        self.next.store(0, Relaxed);
        self.round(save_page)
    }

    fn round(&self, handler: Handler) -> Duration {
        self.set_mode(self.heap, LEN, PROTECT).expect("protecting pages");
        let before = swap_handler(&action(handler));
        let start = Instant::now();
        // SAFETY: `LEN` bytes that only this thread uses.
        unsafe { write_pages(self.heap) };
        let spent = start.elapsed();
        swap_handler(&before);
        spent
    }

    /// Async-signal-safe.
    fn set_mode(&self, at: *mut u8, len: usize, mode: u64) -> io::Result<()> {
        let range = raw::uffdio_range { start: at as u64, len: len as u64 };
        request(self.uffd, UFFDIO_WRITEPROTECT, &mut raw::uffdio_writeprotect { range, mode })
    }
}

type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// What a first write costs between snapshots.
extern "C" fn unprotect_page(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: `Floor::round` installs this, after `FLOOR` was set; the kernel passes a fault's siginfo_t.
    unsafe { unprotect(&*FLOOR.load(Relaxed), page_of(info)) };
}

/// What a first write costs in a snapshot.
extern "C" fn save_page(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: as above; each page traps once a round, so the pool has a slot for it.
    unsafe {
        let (floor, page) = (&*FLOOR.load(Relaxed), page_of(info));
        let slot = floor.next.fetch_add(1, Relaxed);
        ptr::copy_nonoverlapping(page, floor.pool.add(slot * PAGE_SIZE), PAGE_SIZE);
        unprotect(floor, page);
    }
}

/// # Safety
/// `info` is a fault's.
unsafe fn page_of(info: *mut siginfo_t) -> *mut u8 {
    // SAFETY: passed on to the caller.
    let at = unsafe { (*info).si_addr() }.cast::<u8>();
    at.wrapping_sub(at.addr() % PAGE_SIZE)
}

fn unprotect(floor: &Floor, page: *mut u8) {
    if floor.set_mode(page, PAGE_SIZE, UNPROTECT).is_err() {
        // The write would trap for ever, and a handler has nobody to tell.
        std::process::abort();
    }
}

fn action(handler: Handler) -> libc::sigaction {
    // SAFETY: all-zero is a valid sigaction, with an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
    action
}

/// Makes this the process's action on `SIGBUS`, and returns the one before.
fn swap_handler(action: &libc::sigaction) -> libc::sigaction {
    let mut before = MaybeUninit::uninit();
    // SAFETY: both point to an action; the handlers keep to what a handler may do.
    let result = unsafe { libc::sigaction(libc::SIGBUS, action, before.as_mut_ptr()) };
    assert_eq!(result, 0, "SIGBUS can be handled");
    // SAFETY: the call succeeded and wrote the action.
    unsafe { before.assume_init() }
}

/// A userfaultfd that has agreed to what this needs.
fn open() -> io::Result<c_int> {
    let call = |flags: c_int| {
        // SAFETY: makes a new descriptor of these flags.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK | flags) };
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(fd as c_int) }
    };
    let uffd = call(raw::UFFD_USER_MODE_ONLY as c_int).or_else(|_| call(0))?;
    let features =
        raw::UFFD_FEATURE_PAGEFAULT_FLAG_WP | raw::UFFD_FEATURE_WP_HUGETLBFS_SHMEM | raw::UFFD_FEATURE_SIGBUS;
    let mut api = raw::uffdio_api { api: raw::UFFD_API.into(), features: features.into(), ioctls: 0 };
    request(uffd, UFFDIO_API, &mut api)?;
    Ok(uffd)
}

/// One request to a userfaultfd. Async-signal-safe.
fn request<T>(uffd: c_int, code: u32, argument: &mut T) -> io::Result<()> {
    // SAFETY: this module passes each request the structure that it reads and writes.
    let result = unsafe { libc::ioctl(uffd, c_ulong::from(code), ptr::from_mut(argument)) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `LEN` bytes of a new memory file, mapped shared and written to.
fn populated() -> io::Result<*mut u8> {
    let check =
        |at: *mut c_void| if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(at) };
    // SAFETY: new mappings, the second over a part of the first, which nobody else knows; then a write to the second.
    unsafe {
        let file = libc::memfd_create(c"floor".as_ptr(), libc::MFD_CLOEXEC);
        if file < 0 || libc::ftruncate(file, LEN as libc::off_t) != 0 {
            return Err(io::Error::last_os_error());
        }
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let room = check(libc::mmap(ptr::null_mut(), LEN + ALIGN, libc::PROT_NONE, flags, -1, 0))?;
        let at = room.wrapping_add(room.align_offset(ALIGN));
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_FIXED);
        let at = check(libc::mmap(at, LEN, access, flags, file, 0))?.cast::<u8>();
        at.write_bytes(1, LEN);
        Ok(at)
    }
}
