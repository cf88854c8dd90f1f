//! The signals of faults, shared with whoever was there before.
//!
//! One handler serves all heaps of the process. It asks a hook whether the fault is one of the barrier's; what
//! is not goes to the handler that was installed before (Rust's own for stack overflows among them), with the
//! arguments and the signal mask that one would have seen.
//!
//! While the handler runs, all other signals are held back except those of faults: a host's signal handler
//! that touched the heap in the middle of a save could wait for the very page that its own thread is saving.

use super::Errno;
use super::inject::{Call, check};
use super::lock::{HoldAcrossFork, Mutex};
use libc::{c_int, c_void, siginfo_t};
use std::cell::UnsafeCell;
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicPtr, Ordering};

/// A signal by which the kernel tells a thread of its fault.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// `SIGBUS`: a userfaultfd with the `SIGBUS` feature.
    Bus,
    /// `SIGSEGV`: memory that `mprotect` protects.
    Segv,
}

impl Fault {
    const ALL: [Self; 2] = [Self::Bus, Self::Segv];

    const fn number(self) -> c_int {
        match self {
            Fault::Bus => libc::SIGBUS,
            Fault::Segv => libc::SIGSEGV,
        }
    }

    fn of(number: c_int) -> Self {
        if number == libc::SIGBUS { Fault::Bus } else { Fault::Segv }
    }

    fn chain(self) -> &'static Chain {
        static CHAINS: [Chain; Fault::ALL.len()] = [const { Chain::new() }; Fault::ALL.len()];
        &CHAINS[self as usize]
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Bus => "SIGBUS",
            Fault::Segv => "SIGSEGV",
        })
    }
}

/// Told the faulting address; answers whether the fault was the barrier's and is resolved. Runs in the signal
/// handler, so it has to be async-signal-safe.
pub type Hook = fn(fault: usize) -> bool;

/// Who is asked about a signal, and who was there before.
struct Chain {
    /// Hooks, in the order in which they are asked: that of [`install_in_child`], that of [`install`].
    hooks: [AtomicPtr<()>; 2],
    /// Who was there before; null until the handler was installed.
    previous: AtomicPtr<libc::sigaction>,
    /// Where `previous` points to. Written once, before the handler is installed.
    place: Place,
}

struct Place(UnsafeCell<MaybeUninit<libc::sigaction>>);

// SAFETY: written by the one thread that installs the handler, before it publishes where it is.
unsafe impl Sync for Place {}

/// Held while a handler is installed.
static INSTALLING: Mutex<()> = Mutex::new(());

impl Chain {
    const fn new() -> Self {
        Self {
            hooks: [const { AtomicPtr::new(std::ptr::null_mut()) }; 2],
            previous: AtomicPtr::new(std::ptr::null_mut()),
            place: Place(UnsafeCell::new(MaybeUninit::uninit())),
        }
    }
}

fn current(fault: Fault) -> Result<libc::sigaction, Errno> {
    check(Call::HandlerLook)?;
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: with no new action this only writes the present one.
    match unsafe { libc::sigaction(fault.number(), std::ptr::null(), action.as_mut_ptr()) } {
        // SAFETY: the call succeeded and wrote the action.
        0 => Ok(unsafe { action.assume_init() }),
        _ => Err(last_errno()),
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Installs the handler for a signal, unless that was done before. One hook serves the process.
///
/// The handler stays for the life of the process: taking it away could take away somebody else's, installed
/// later. For the same reason it is installed only once: a handler that the host puts in front of it passes on what it
/// does not know, and would get it back if it came to stand behind as well.
pub fn install(fault: Fault, hook: Hook) -> Result<(), Errno> {
    let _guard = INSTALLING.lock();
    put_handler(fault, &fault.chain().hooks[1], hook)
}

/// The same in a new child, for a hook that is asked before the other. There the handler is put in front of what stands there
/// at the fork, unless it has a place already. Async-signal-safe.
pub fn install_in_child(fault: Fault, hook: Hook) -> Result<(), Errno> {
    put_handler(fault, &fault.chain().hooks[0], hook)
}

/// Before the host forks: nobody is in the middle of an installation.
pub(crate) fn before_fork() {
    INSTALLING.hold();
}

/// After it, on either side. Async-signal-safe.
pub(crate) fn after_fork() {
    // SAFETY: held by `before_fork`.
    unsafe { INSTALLING.let_go() };
}

/// One caller at a time.
fn put_handler(fault: Fault, place: &AtomicPtr<()>, hook: Hook) -> Result<(), Errno> {
    place.store(hook as *mut (), Ordering::Release);
    let chain = fault.chain();
    if !chain.previous.load(Ordering::Acquire).is_null() {
        return Ok(());
    }
    let before = current(fault)?;
    // SAFETY: nobody reads this before `previous` says where it is, and it is written by one thread, once; or again by a
    // later one if the kernel refused the handler, which then never ran.
    let previous = unsafe { (*chain.place.0.get()).write(before) };
    chain.previous.store(previous, Ordering::Release);
    let put = check(Call::Handler).and_then(|()| {
        // SAFETY: the handler keeps to what a handler may do.
        match unsafe { libc::sigaction(fault.number(), &our_action(), std::ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(last_errno()),
        }
    });
    put.inspect_err(|_| chain.previous.store(std::ptr::null_mut(), Ordering::Release))
}

/// What is done about a fault's signal. Async-signal-safe.
fn our_action() -> libc::sigaction {
    // SAFETY: all-zero is a valid sigaction; every field that counts is set below.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_fault as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER | libc::SA_RESTART;
    // SAFETY: the set is a local's.
    unsafe { fill_but_faults(&mut action.sa_mask) };
    action
}

extern "C" fn on_fault(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: errno is a thread's own; it is put back as the interrupted code left it.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: the kernel passes a siginfo_t. A fault's si_code is positive, and then si_addr is set.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    let resolved = code > 0
        && Fault::of(signal).chain().hooks.iter().any(|hook| {
            let hook = hook.load(Ordering::Acquire);
            // SAFETY: only `put_handler` stores here, and it stores a `Hook`.
            !hook.is_null() && unsafe { std::mem::transmute::<*mut (), Hook>(hook) }(address)
        });
    if !resolved {
        chain(signal, info, context, code);
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Hands a signal that is not the barrier's to the handler that was there before.
#[cold]
fn chain(signal: c_int, info: *mut siginfo_t, context: *mut c_void, code: c_int) {
    let previous = Fault::of(signal).chain().previous.load(Ordering::Acquire);
    // SAFETY: `put_handler` stores where a static, never changed action is before it installs the handler.
    let previous = unsafe { &*previous };
    let sent_by_someone = code <= 0;
    match previous.sa_sigaction {
        libc::SIG_IGN if sent_by_someone => {}
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: restores the default action: a fault repeats on return and ends the process as it would
            // have without us; a signal that was sent is sent once more.
            unsafe {
                libc::signal(signal, libc::SIG_DFL);
                if sent_by_someone {
                    libc::raise(signal);
                }
            }
        }
        handler => {
            // SAFETY: masks as the previous handler asked for; the kernel restores the mask on return. The
            // address was installed as a handler of the kind that its flags say.
            unsafe {
                let mut mask = previous.sa_mask;
                if previous.sa_flags & libc::SA_NODEFER == 0 {
                    libc::sigaddset(&mut mask, signal);
                }
                libc::pthread_sigmask(libc::SIG_BLOCK, &mask, std::ptr::null_mut());
                if previous.sa_flags & libc::SA_SIGINFO != 0 {
                    let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                        std::mem::transmute(handler);
                    handler(signal, info, context);
                } else {
                    let handler: extern "C" fn(c_int) = std::mem::transmute(handler);
                    handler(signal);
                }
                if sent_by_someone {
                    // Some handlers (Rust's own among them) answer what is not theirs by taking all handlers away, so that the
                    // fault repeats and ends the process. A signal that was sent does not repeat: the process goes on, and is
                    // to take its next trap.
                    libc::sigaction(signal, &our_action(), std::ptr::null_mut());
                }
            }
        }
    }
}

/// Whether the calling thread blocks this signal: then its first trap would kill the process.
pub fn is_blocked(fault: Fault) -> bool {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: with no new set this only writes the present mask, which is then read.
    unsafe {
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), mask.as_mut_ptr()) == 0
            && libc::sigismember(mask.as_ptr(), fault.number()) == 1
    }
}

/// Calls `f` with all signals but those of faults held back from the calling thread.
pub fn with_signals_held<R>(f: impl FnOnce() -> R) -> R {
    let (mut held, mut before) = (MaybeUninit::<libc::sigset_t>::uninit(), MaybeUninit::uninit());
    // SAFETY: the set is filled before it is used; the previous mask is written before it is restored.
    unsafe {
        fill_but_faults(held.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, held.as_ptr(), before.as_mut_ptr());
        let result = f();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        result
    }
}

/// Fills a set with all signals but those that faults raise.
///
/// # Safety
/// `set` may be written to.
unsafe fn fill_but_faults(set: *mut libc::sigset_t) {
    // SAFETY: passed on to the caller; the signal numbers are valid.
    unsafe {
        libc::sigfillset(set);
        for fault in [libc::SIGBUS, libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP] {
            libc::sigdelset(set, fault);
        }
    }
}

/// Calls `f` with all signals blocked in the calling thread.
pub fn with_all_blocked<R>(f: impl FnOnce() -> R) -> R {
    let (mut all, mut before) = (MaybeUninit::<libc::sigset_t>::uninit(), MaybeUninit::uninit());
    // SAFETY: the set is filled before it is used; the previous mask is written before it is restored.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let result = f();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        result
    }
}

/// Blocks all signals in the calling thread, for the collector's own thread and the workers forked from it:
/// the host's handlers have no business there. A fault in such a thread still kills the process.
pub fn block_all() {
    let mut mask = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is filled before it is used.
    unsafe {
        libc::sigfillset(mask.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ptr(), std::ptr::null_mut());
    }
}
