//! A process that is killed, at any of its accesses to shared memory: here, a thread that ends there.

use super::checker;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

checker::thread_local! {
    /// Accesses left to a thread that is to die; 0 for one that is not.
    static LEFT: Cell<u32> = Cell::new(0);
}

/// At which of its accesses a thread of the model that is explored dies.
static AT: AtomicU32 = AtomicU32::new(0);

/// Sets that, counted from 1.
pub fn set_moment(access: u32) {
    AT.store(access, Ordering::Relaxed);
}

/// That moment, for [`after`].
pub fn moment() -> u32 {
    AT.load(Ordering::Relaxed)
}

/// Whether any thread is to die: the others need not ask.
static ANYONE: AtomicBool = AtomicBool::new(false);

/// Whether one has died since that was asked last.
static STRUCK: AtomicBool = AtomicBool::new(false);

/// Asks that.
pub fn has_struck() -> bool {
    STRUCK.swap(false, Ordering::Relaxed)
}

struct Died;

/// Runs `life`, which ends before its access number `accesses`, counted from 1, or by itself. Whether it was ended.
pub fn after(accesses: u32, life: impl FnOnce()) -> bool {
    ANYONE.store(true, Ordering::Relaxed);
    LEFT.with(|left| left.set(accesses));
    let result = catch_unwind(AssertUnwindSafe(life));
    LEFT.with(|left| left.set(0));
    match result {
        Ok(()) => false,
        Err(why) if why.is::<Died>() => true,
        Err(why) => resume_unwind(why),
    }
}

/// An access: the last, perhaps.
pub(super) fn may_strike() {
    if !ANYONE.load(Ordering::Relaxed) {
        return;
    }
    let dies = LEFT.with(|left| match left.get() {
        0 => false,
        last => {
            left.set(last - 1);
            last == 1
        }
    });
    if dies {
        STRUCK.store(true, Ordering::Relaxed);
        resume_unwind(Box::new(Died));
    }
}
