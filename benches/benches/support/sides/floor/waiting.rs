//! The floor of a delivery for which the writer waits: a handler, or a thread, that does nothing but to unprotect the page, or
//! to copy it and unprotect it.
//!
//! The handlers take the place of the library's for as long as a turn lasts, so neither side runs through the other's.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::Relaxed};
use std::{io, ptr, thread};

use libc::siginfo_t;
use linux_raw_sys::general as raw;
use palimpsest_runtime::barrier::DeliveryKind;
use palimpsest_runtime::{PAGE_SIZE, PageRange};

use super::memory;
use super::uffd::{PROTECT, UNPROTECT, Uffd};
use crate::sides::{ARMED_AT_ONCE, PAGES, Side};

const LEN: usize = PAGES as usize * PAGE_SIZE;

/// The floor that the handler serves: the one whose turn it is.
static FLOOR: AtomicPtr<Floor> = AtomicPtr::new(ptr::null_mut());

/// Populated memory whose writes are noticed, and room for a copy of all of it.
pub(crate) struct Floor {
    means: Means,
    heap: *mut u8,
    pool: *mut u8,
    /// The pool's next slot, in pages.
    next: AtomicUsize,
    /// Whether pages are copied.
    saving: AtomicBool,
    /// The library's handler, while it is replaced.
    replaced: Mutex<Option<libc::sigaction>>,
}

// SAFETY: the memory that the pointers lead to lives as long as the process. The heap is written to by one thread; a slot of the
// pool is written to by the thread that took it.
unsafe impl Sync for Floor {}

/// How writes are noticed.
#[derive(Clone, Copy)]
enum Means {
    /// The writer gets `SIGBUS`.
    Signal(Uffd),
    /// A thread reads events.
    Monitor(Uffd),
    /// `mprotect`: the writer gets `SIGSEGV`.
    Protect,
}

impl Floor {
    /// A floor, which lives as long as the process.
    pub(crate) fn new(delivery: DeliveryKind) -> io::Result<&'static Self> {
        let (heap, pool) = (memory::shared(LEN)?, memory::shared(LEN)?);
        let features = raw::UFFD_FEATURE_PAGEFAULT_FLAG_WP | raw::UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
        let means = match delivery {
            DeliveryKind::Signal => {
                Means::Signal(Uffd::over(heap, LEN, features | raw::UFFD_FEATURE_SIGBUS)?)
            }
            DeliveryKind::Monitor => Means::Monitor(Uffd::over(heap, LEN, features)?),
            DeliveryKind::Protect => Means::Protect,
            DeliveryKind::Async => return Err(io::ErrorKind::Unsupported.into()),
        };
        let (next, saving) = (AtomicUsize::new(0), AtomicBool::new(false));
        let floor = Box::leak(Box::new(Self { means, heap, pool, next, saving, replaced: Mutex::new(None) }));
        let floor: &'static Self = floor;
        if let Means::Monitor(uffd) = means {
            thread::spawn(move || {
                loop {
                    match uffd.next_fault() {
                        Ok(address) => floor.resolve(address as usize),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(_) => std::process::abort(),
                    }
                }
            });
        }
        Ok(floor)
    }

    /// Lets the write to a page through. Async-signal-safe.
    #[inline]
    fn resolve(&self, address: usize) {
        let page = self.heap.wrapping_add((address - self.heap.addr()) / PAGE_SIZE * PAGE_SIZE);
        if self.saving.load(Relaxed) {
            self.copy(page);
        }
        if self.set(page, PAGE_SIZE, false).is_err() {
            // The writer would wait for ever, and a handler has nobody to tell.
            std::process::abort();
        }
    }

    /// Copies a page to the pool. Async-signal-safe.
    #[inline]
    fn copy(&self, page: *mut u8) {
        let slot = self.next.fetch_add(1, Relaxed);
        debug_assert!(slot < PAGES as usize, "each page is copied once a snapshot");
        // SAFETY: a page of the heap, and a slot of the pool that only this thread has.
        unsafe { ptr::copy_nonoverlapping(page, self.pool.add(slot * PAGE_SIZE), PAGE_SIZE) };
    }

    /// Protects or unprotects. Async-signal-safe.
    #[inline]
    fn set(&self, at: *mut u8, len: usize, protect: bool) -> io::Result<()> {
        match self.means {
            Means::Signal(uffd) | Means::Monitor(uffd) => {
                uffd.set_mode(at, len, if protect { PROTECT } else { UNPROTECT })
            }
            Means::Protect => {
                let access = if protect { libc::PROT_READ } else { libc::PROT_READ | libc::PROT_WRITE };
                // SAFETY: pages of this floor's, whose writers it serves.
                let result = unsafe { libc::mprotect(at.cast(), len, access) };
                if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
            }
        }
    }

    fn signal(&self) -> Option<c_int> {
        match self.means {
            Means::Signal(_) => Some(libc::SIGBUS),
            Means::Monitor(_) => None,
            Means::Protect => Some(libc::SIGSEGV),
        }
    }

    fn at(&self, page: u32) -> *mut u8 {
        self.heap.wrapping_add(page as usize * PAGE_SIZE)
    }
}

impl Side for Floor {
    fn base(&self) -> *mut u8 {
        self.heap
    }

    fn arm(&self, step: u32) {
        if step == 1 {
            return self.arm_first(PAGES);
        }
        for page in (0..PAGES).step_by(step as usize) {
            self.set(self.at(page), PAGE_SIZE, true).expect("protecting pages");
        }
    }

    fn arm_first(&self, pages: u32) {
        for page in (0..pages).step_by(ARMED_AT_ONCE as usize) {
            let len = ARMED_AT_ONCE.min(pages - page);
            self.set(self.at(page), len as usize * PAGE_SIZE, true).expect("protecting pages");
        }
    }

    fn open(&self, pages: PageRange) {
        self.set(self.at(pages.start.0), pages.len() as usize * PAGE_SIZE, false).expect("opening pages");
    }

    fn save(&self, pages: PageRange) {
        for page in pages.iter() {
            self.copy(self.at(page.0));
        }
        self.open(pages);
    }

    fn begin_snapshot(&self) {
        self.next.store(0, Relaxed);
        self.saving.store(true, Relaxed);
    }

    fn end_snapshot(&self, copied: u32) {
        self.saving.store(false, Relaxed);
        assert_eq!(self.next.load(Relaxed), copied as usize, "each page was saved once");
    }

    fn begin_turn(&self) {
        FLOOR.store(ptr::from_ref(self).cast_mut(), Relaxed);
        if let Some(signal) = self.signal() {
            *self.replaced.lock().expect("nobody panics with it") = Some(swap_handler(signal, &action()));
        }
    }

    fn end_turn(&self) {
        if let (Some(signal), Some(replaced)) =
            (self.signal(), self.replaced.lock().expect("nobody panics with it").take())
        {
            swap_handler(signal, &replaced);
        }
    }
}

extern "C" fn on_fault(_: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: installed after `FLOOR` was set, to what lives as long as the process; the kernel passes a fault's siginfo_t.
    unsafe { (*FLOOR.load(Relaxed)).resolve((*info).si_addr().addr()) };
}

fn action() -> libc::sigaction {
    // SAFETY: all-zero is a valid sigaction, with an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_fault as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
    action
}

/// Makes this the process's action on a signal, and returns the one before.
fn swap_handler(signal: c_int, action: &libc::sigaction) -> libc::sigaction {
    let mut before = MaybeUninit::uninit();
    // SAFETY: both point to an action; the handlers keep to what a handler may do.
    let result = unsafe { libc::sigaction(signal, action, before.as_mut_ptr()) };
    assert_eq!(result, 0, "the signal can be handled");
    // SAFETY: the call succeeded and wrote the action.
    unsafe { before.assume_init() }
}
