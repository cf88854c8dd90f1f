//! When faults on a page that looks resolved are too many to be races between writers.

use crate::sys::{clock, futex};
use crate::unit::{Address, PAGE_SIZE};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Faults on a page that looks resolved, by one thread, since pages were armed the last time, before they are taken for
/// something else. What is really a race between writers is over after one or two: the page cannot trap again before it is
/// armed again.
const RETRIES: u32 = 64;

/// Counts this thread's faults on a page that is not armed; `false` when there were too many, too quickly. `arming` differs
/// after every arming.
///
/// The counts are in a small table by thread and page rather than in thread-local storage, which may allocate on first use.
/// Two threads that share an entry reset each other's count, which costs some retries.
#[cold]
pub(super) fn retries_left(page: Address, arming: u32) -> bool {
    struct Entry {
        /// Thread and page.
        who: AtomicU64,
        /// Which arming was the last when the count began.
        arming: AtomicU32,
        faults: AtomicU32,
        /// Time of the last fault.
        last_ns: AtomicU64,
    }
    static TABLE: [Entry; 1024] = [const {
        Entry {
            who: AtomicU64::new(0),
            arming: AtomicU32::new(0),
            faults: AtomicU32::new(0),
            last_ns: AtomicU64::new(0),
        }
    }; 1024];
    const QUICKLY_NS: u64 = 1_000_000_000;

    let thread = u64::from(clock::thread_id());
    let who = (page.as_usize() / PAGE_SIZE) as u64 ^ thread << 40;
    let entry = &TABLE[(who.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54) as usize];
    let now = clock::monotonic_ns();
    let same = (entry.who.swap(who, Ordering::Relaxed) == who)
        & (entry.arming.swap(arming, Ordering::Relaxed) == arming)
        & (now.saturating_sub(entry.last_ns.swap(now, Ordering::Relaxed)) < QUICKLY_NS);
    let faults = if same { entry.faults.load(Ordering::Relaxed) + 1 } else { 0 };
    entry.faults.store(faults, Ordering::Relaxed);
    if faults < RETRIES {
        futex::yield_now();
        return true;
    }
    false
}
