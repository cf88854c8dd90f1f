//! Clocks, and who is asking. All of it is async-signal-safe where nothing else is said.

use super::Errno;
use super::inject::{Call, check};
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;

/// Nanoseconds of a clock that never goes back.
#[inline]
pub fn monotonic_ns() -> u64 {
    let t = clock_gettime(ClockId::Monotonic);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// CPU time this process has used, in nanoseconds.
pub fn process_cpu_ns() -> u64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// The calling thread's number in the kernel.
pub fn thread_id() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get() as u32
}

/// A number that no other thread has which lives: for telling who does something, without a system call. Async-signal-safe.
pub fn thread_mark() -> u64 {
    thread_local!(static MARK: Cell<u8> = const { Cell::new(0) });
    MARK.with(|mark| std::ptr::from_ref(mark).addr() as u64)
}

/// The processor the calling thread runs on at this moment; -1 where that cannot be told.
pub fn processor() -> i32 {
    // SAFETY: `sched_getcpu` has no precondition.
    check(Call::Processor).map_or(-1, |()| unsafe { libc::sched_getcpu() })
}

/// Whether this process still has a thread of this number. Where that cannot be told, it has. Not async-signal-safe.
pub fn thread_exists(id: u32) -> bool {
    let look = check(Call::ThreadExists).and_then(|()| {
        // SAFETY: signal 0 is sent to nobody: the call only looks whether it could be.
        match unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), id as libc::pid_t, 0) } {
            0 => Ok(()),
            _ => Err(super::memory::io_errno(&std::io::Error::last_os_error())),
        }
    });
    match look {
        Ok(()) => true,
        Err(Errno::SRCH) => false,
        // A sandbox may deny the question.
        Err(_) => is_listed(id),
    }
}

/// The same, asked of `/proc`. It may show the numbers of another name space, or not be there: then the caller is not in it.
fn is_listed(id: u32) -> bool {
    let lists = |id: u32| {
        check(Call::ReadFile).is_ok() && std::fs::exists(format!("/proc/self/task/{id}")).unwrap_or(true)
    };
    lists(id) || !lists(thread_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_exists_until_it_has_ended() {
        let (id, exist) =
            std::thread::spawn(|| (thread_id(), [thread_exists(thread_id()), is_listed(thread_id())]))
                .join()
                .expect("no panic");
        assert_eq!(exist, [true; 2]);
        // It may be joined a moment before the kernel forgets its number.
        while thread_exists(id) {
            std::thread::yield_now();
        }
        assert!(!is_listed(id) && is_listed(thread_id()));
    }
}
