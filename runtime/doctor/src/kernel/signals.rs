//! Signal handlers, a timer that raises signals, and what a handler may know of its fault.

use super::{Answer, check};
use libc::{c_int, c_void, siginfo_t};
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::time::Duration;

/// Told the address of a fault; answers whether the faulting instruction may be tried again. Runs in a signal handler,
/// so it has to be async-signal-safe.
pub type OnFault = fn(signal: i32, at: usize) -> bool;

static mut ON_FAULT: Option<OnFault> = None;

/// Handles `SIGBUS` and `SIGSEGV`, on the alternate stack if the thread has one. A fault that the hook does not know
/// ends the process by its signal.
///
/// Called once, before other threads are made.
pub fn catch_faults(hook: OnFault) -> Answer<()> {
    // SAFETY: no handler is installed yet and there is no other thread, so nobody reads it meanwhile.
    unsafe { ON_FAULT = Some(hook) };
    for signal in [libc::SIGBUS, libc::SIGSEGV] {
        install(signal, handle as *const () as usize, libc::SA_ONSTACK | libc::SA_SIGINFO)?;
    }
    Ok(())
}

fn install(signal: c_int, handler: usize, flags: c_int) -> Answer<()> {
    // SAFETY: all-zero is a valid sigaction with an empty mask; the handlers of this module keep to what one may do.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        check(libc::sigaction(signal, &raw const action, ptr::null_mut())).map(drop)
    }
}

extern "C" fn handle(signal: c_int, info: *mut siginfo_t, _: *mut c_void) {
    // SAFETY: the kernel passes a fault's siginfo_t; the hook was set before the handler was installed and is never
    // changed; errno is this thread's, and is put back so that the interrupted code does not see it change.
    unsafe {
        let errno = *libc::__errno_location();
        let known = ON_FAULT.is_some_and(|hook| hook(signal, (*info).si_addr().addr()));
        if !known {
            libc::signal(signal, libc::SIG_DFL);
        }
        *libc::__errno_location() = errno;
    }
}

/// Calls `f` while a timer raises `SIGALRM` in this process so often; with how many signals arrived.
pub fn under_alarms<R>(every: Duration, f: impl FnOnce() -> R) -> Answer<(R, u64)> {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    static ARRIVED: AtomicU64 = AtomicU64::new(0);
    extern "C" fn count(_: c_int) {
        ARRIVED.fetch_add(1, Relaxed);
    }
    let before = ARRIVED.load(Relaxed);
    install(libc::SIGALRM, count as *const () as usize, libc::SA_RESTART)?;
    set_timer(every)?;
    let result = f();
    set_timer(Duration::ZERO)?;
    Ok((result, ARRIVED.load(Relaxed) - before))
}

fn set_timer(every: Duration) -> Answer<()> {
    let every =
        libc::timeval { tv_sec: 0, tv_usec: libc::suseconds_t::from(every.subsec_micros().cast_signed()) };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: reads one itimerval.
    check(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) }).map(drop)
}

/// Holds all signals back from this thread but those of faults: for threads that are not under question.
pub fn hold_in_this_thread() {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is filled before it is used.
    unsafe {
        libc::sigfillset(mask.as_mut_ptr());
        libc::sigdelset(mask.as_mut_ptr(), libc::SIGBUS);
        libc::sigdelset(mask.as_mut_ptr(), libc::SIGSEGV);
        libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), ptr::null_mut());
    }
}

/// Blocks all signals of this thread, those of faults as well.
pub fn block_all() {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is filled before it is used.
    unsafe {
        libc::sigfillset(mask.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), ptr::null_mut());
    }
}
