//! Makes system calls fail on purpose.
//!
//! A test arms a [`Call`] with an error and a number of calls to let through first; the next call after those
//! fails with that error, once or always. The switches are process-wide, so such a test needs a process of its
//! own. Without the `fault-injection` feature [`check`] is empty.

/// The kinds of system call that can be made to fail.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Call {
    /// Creating, sizing or sealing a memfd.
    Memfd,
    /// Mapping memory.
    Map,
    /// `madvise` and hole punching.
    Advise,
    /// Opening a userfaultfd.
    UffdOpen,
    /// Registering a range with it.
    UffdRegister,
    /// Ending that.
    UffdUnregister,
    /// Write-protecting pages.
    UffdArm,
    /// Removing the protection.
    UffdOpenPages,
    /// Reading an event.
    UffdRead,
    /// Waking a thread that waits for an event's answer.
    UffdWake,
    /// Taking away the permission to write with `mprotect`.
    Protect,
    /// Giving it back.
    ProtectOpen,
    /// `PAGEMAP_SCAN`.
    Scan,
    /// Making an eventfd.
    Event,
    /// Installing a signal handler.
    Handler,
    /// Starting a thread.
    Thread,
    /// Waiting for a worker that has ended.
    Wait,
    /// Forking the worker.
    Fork,
    /// A worker's forking of a sibling.
    ForkSibling,
    /// Opening a descriptor of a sibling.
    Adopt,
    /// Mapping the heap in the worker.
    WorkerMap,
}

/// How many kinds there are.
pub const CALLS: usize = Call::WorkerMap as usize + 1;

#[cfg(feature = "fault-injection")]
mod switches {
    use super::{CALLS, Call};
    use crate::sys::Errno;
    use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, Ordering::Relaxed};

    static LET_THROUGH: [AtomicI64; CALLS] = [const { AtomicI64::new(0) }; CALLS];
    static FAILURES: [AtomicI64; CALLS] = [const { AtomicI64::new(0) }; CALLS];
    static DEALT: [AtomicU64; CALLS] = [const { AtomicU64::new(0) }; CALLS];
    static ERRNO: [AtomicI32; CALLS] = [const { AtomicI32::new(0) }; CALLS];

    /// Lets `after` calls of this kind through, then makes `times` of them fail with `errno`.
    pub fn arm(call: Call, after: u32, times: u32, errno: Errno) {
        FAILURES[call as usize].store(0, Relaxed);
        DEALT[call as usize].store(0, Relaxed);
        ERRNO[call as usize].store(errno.raw_os_error(), Relaxed);
        LET_THROUGH[call as usize].store(after.into(), Relaxed);
        FAILURES[call as usize].store(times.into(), Relaxed);
    }

    /// How many calls of this kind have been made to fail since it was armed.
    pub fn failed(call: Call) -> u64 {
        DEALT[call as usize].load(Relaxed)
    }

    /// Ends all failures.
    pub fn disarm() {
        for failures in &FAILURES {
            failures.store(0, Relaxed);
        }
    }

    /// Whether this call is to fail. Async-signal-safe.
    #[inline]
    pub fn check(call: Call) -> Result<(), Errno> {
        let k = call as usize;
        if FAILURES[k].load(Relaxed) <= 0
            || LET_THROUGH[k].fetch_sub(1, Relaxed) > 0
            || FAILURES[k].fetch_sub(1, Relaxed) <= 0
        {
            return Ok(());
        }
        DEALT[k].fetch_add(1, Relaxed);
        Err(Errno::from_raw_os_error(ERRNO[k].load(Relaxed)))
    }
}

#[cfg(feature = "fault-injection")]
pub use switches::{arm, check, disarm, failed};

/// Whether this call is to fail: never, in this build. Async-signal-safe.
#[cfg(not(feature = "fault-injection"))]
#[inline(always)]
pub fn check(_: Call) -> Result<(), super::Errno> {
    Ok(())
}
