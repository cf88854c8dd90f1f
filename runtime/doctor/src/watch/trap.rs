//! What happens in the faulting thread: the page is noted down and opened, and the store is tried again.
//!
//! Everything here runs in a signal handler: atomics and one system call, no lock, no allocation.

use super::log::{Notice, record};
use crate::kernel::Errno;
use crate::kernel::memory::{self, Mapping, Span};
use crate::kernel::uffd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering::Relaxed};

/// What the handler serves. Set by the thread that asks, before anything is protected; a fault is ordered after that
/// by the system calls that protect.
struct Target {
    at: AtomicUsize,
    len: AtomicUsize,
    unit: AtomicUsize,
    uffd: AtomicI32,
    /// A fault may be of a page that does not exist, which `SIGBUS` does not tell apart.
    fills: AtomicBool,
}

static TARGET: Target = Target {
    at: AtomicUsize::new(0),
    len: AtomicUsize::new(0),
    unit: AtomicUsize::new(1),
    uffd: AtomicI32::new(-1),
    fills: AtomicBool::new(false),
};

/// Makes these pages the handler's.
pub fn aim(memory: &Mapping) {
    let all = memory.all();
    TARGET.at.store(all.at, Relaxed);
    TARGET.len.store(all.len, Relaxed);
    TARGET.unit.store(memory.unit(), Relaxed);
}

/// Makes the handler open pages through this descriptor, and fill those that do not exist.
pub fn open_through(uffd: i32, fills: bool) {
    TARGET.uffd.store(uffd, Relaxed);
    TARGET.fills.store(fills, Relaxed);
}

/// The page's number and addresses, if it is one of ours.
pub fn page_of(at: usize) -> Option<(usize, Span)> {
    let (base, len, unit) = (TARGET.at.load(Relaxed), TARGET.len.load(Relaxed), TARGET.unit.load(Relaxed));
    let offset = at.checked_sub(base).filter(|offset| *offset < len)?;
    let page = offset / unit;
    Some((page, Span { at: base + page * unit, len: unit }))
}

/// The hook of `signals::catch_faults`.
pub fn on_fault(signal: i32, at: usize) -> bool {
    let Some((page, span)) = page_of(at) else { return false };
    if signal == libc::SIGSEGV {
        record(Notice::Segv, page);
        return memory::allow(span, libc::PROT_READ | libc::PROT_WRITE).is_ok();
    }
    let fd = TARGET.uffd.load(Relaxed);
    if TARGET.fills.load(Relaxed) {
        match uffd::fill_protected(fd, span) {
            Ok(()) => {
                record(Notice::Missing, page);
                return true;
            }
            Err(Errno(libc::EEXIST)) => {}
            Err(_) => return false,
        }
    }
    record(Notice::Bus, page);
    uffd::unprotect(fd, span).is_ok()
}
