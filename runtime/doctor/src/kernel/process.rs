//! Child processes, and calls that a process makes on its own memory through the kernel.

use super::memory::Span;
use super::{Answer, Errno, check};
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// How a child ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// With this code.
    Exited(u8),
    /// By this signal.
    Killed(i32),
    /// Not in time, so it was killed.
    Hung,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Exited(code) => write!(f, "exit {code}"),
            Ended::Killed(signal) => f.write_str(&signal_name(*signal)),
            Ended::Hung => f.write_str("hung"),
        }
    }
}

/// A signal's name.
pub fn signal_name(signal: i32) -> String {
    match signal {
        libc::SIGBUS => "SIGBUS".into(),
        libc::SIGSEGV => "SIGSEGV".into(),
        libc::SIGABRT => "SIGABRT".into(),
        libc::SIGKILL => "SIGKILL".into(),
        libc::SIGXFSZ => "SIGXFSZ".into(),
        libc::SIGSYS => "SIGSYS".into(),
        other => format!("signal {other}"),
    }
}

/// A forked child.
#[derive(Debug)]
pub struct Child(libc::pid_t);

/// Forks a child that runs this and exits with its result. It dies with its parent.
///
/// Other threads may hold locks when the child is made (standard output's, for one), so it had better take none.
pub fn fork(child: impl FnOnce() -> u8) -> Answer<Child> {
    // SAFETY: the child only runs `child`, whose contract is above, and exits without unwinding or cleaning up.
    unsafe {
        match check(libc::fork())? {
            0 => {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::_exit(child().into())
            }
            pid => Ok(Child(pid as libc::pid_t)),
        }
    }
}

impl Child {
    /// Waits for its end, at most for so long.
    pub fn wait(self, limit: Duration) -> Answer<Ended> {
        let start = Instant::now();
        loop {
            let mut status = 0;
            // SAFETY: waits for our own child.
            match check(unsafe { libc::waitpid(self.0, &raw mut status, libc::WNOHANG) })? {
                0 if start.elapsed() > limit => {
                    // SAFETY: as above; it was not waited for yet, so the id is still its own.
                    unsafe {
                        libc::kill(self.0, libc::SIGKILL);
                        libc::waitpid(self.0, &raw mut status, 0);
                    }
                    return Ok(Ended::Hung);
                }
                0 => std::thread::sleep(Duration::from_micros(200)),
                _ if libc::WIFSIGNALED(status) => return Ok(Ended::Killed(libc::WTERMSIG(status))),
                _ => return Ok(Ended::Exited(libc::WEXITSTATUS(status) as u8)),
            }
        }
    }
}

/// `read(2)` of a file's beginning into memory.
pub fn read_into(file: &impl AsFd, span: Span) -> Answer<u64> {
    let at = std::ptr::with_exposed_provenance_mut(span.at);
    // SAFETY: the kernel writes to a mapping whose contents may change.
    check(unsafe { libc::pread(file.as_fd().as_raw_fd(), at, span.len, 0) } as i64)
}

/// Which way `process_vm_readv` and `process_vm_writev` copy.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Way {
    /// Out of the memory.
    Read,
    /// Into it.
    Write,
}

/// Copies between `buffer` and this process's own memory by way of the kernel, which looks the pages up and holds
/// them instead of faulting like a store.
pub fn copy_own(way: Way, span: Span, buffer: &mut [u8]) -> Answer<u64> {
    let len = span.len.min(buffer.len());
    let local = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: len };
    let remote = libc::iovec { iov_base: std::ptr::with_exposed_provenance_mut(span.at), iov_len: len };
    // SAFETY: both ranges are as long as they say and ours; their contents may change.
    check(unsafe {
        let me = libc::getpid();
        match way {
            Way::Read => libc::process_vm_readv(me, &raw const local, 1, &raw const remote, 1, 0),
            Way::Write => libc::process_vm_writev(me, &raw const local, 1, &raw const remote, 1, 0),
        }
    } as i64)
}

/// How many page faults this thread has taken that needed no disk.
pub fn faults() -> u64 {
    // SAFETY: all-zero is a valid `rusage`, and the call writes it.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage);
        usage.ru_minflt.cast_unsigned()
    }
}

/// A counter that makes a waiting `poll` return.
pub fn event() -> Answer<OwnedFd> {
    // SAFETY: a new descriptor, which gets its owner.
    unsafe { Ok(OwnedFd::from_raw_fd(check(libc::eventfd(0, libc::EFD_CLOEXEC))? as i32)) }
}

/// Raises an [`event`].
pub fn raise(event: &OwnedFd) -> Answer<()> {
    // SAFETY: writes the eight bytes that an eventfd takes.
    check(unsafe { libc::write(event.as_raw_fd(), (&raw const ONE).cast(), 8) } as i64).map(drop)
}

static ONE: u64 = 1;

/// Waits until one of the descriptors can be read, and says of each whether it can; negative ones never can. `None`:
/// not within the limit. Allocates nothing.
pub fn readable<const N: usize>(fds: [RawFd; N], limit: Duration) -> Option<[bool; N]> {
    let mut all = fds.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: as many structures as it says.
    let count = unsafe { libc::poll(all.as_mut_ptr(), N as libc::nfds_t, limit) };
    (count > 0).then(|| all.map(|p| p.revents & libc::POLLIN != 0))
}

/// Whether the effective user is root.
pub fn is_root() -> bool {
    // SAFETY: asks for an id.
    unsafe { libc::geteuid() == 0 }
}

/// Ends all processes of a group that was made for one question.
pub fn kill_group(leader: u32) {
    // SAFETY: the group's leader is our own child, which is not waited for before this, or just was.
    unsafe { libc::killpg(leader.cast_signed(), libc::SIGKILL) };
}

/// The reason a call on a file was refused for.
pub fn reason(error: &std::io::Error) -> Errno {
    Errno(error.raw_os_error().unwrap_or(libc::EIO))
}
