//! Clocks, and who is asking. All of it is async-signal-safe.

use rustix::time::{ClockId, clock_gettime};

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

/// The processor the calling thread runs on at this moment.
pub fn processor() -> i32 {
    // SAFETY: `sched_getcpu` has no precondition.
    unsafe { libc::sched_getcpu() }
}

/// Whether this process still has a thread of this number. Where that cannot be told, it has.
pub fn thread_exists(id: u32) -> bool {
    // SAFETY: signal 0 is sent to nobody: the call only looks whether it could be.
    let answer = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), id as libc::pid_t, 0) };
    answer == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH)
}
