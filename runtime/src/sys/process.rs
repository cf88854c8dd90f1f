//! Forking a worker, and knowing what became of it.
//!
//! The worker is made by the `clone` system call itself, not by libc's `fork`: handlers registered with
//! `pthread_atfork` take locks and belong to the host. Its exit signal is none, so that the host gets no
//! `SIGCHLD` for it and the host's own `wait` never reaps it; it is watched and reaped through its pidfd.

use super::inherited::Listed;
use super::inject::{Call, check};
use super::{Errno, clear, memory};
use rustix::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// A child of this process, reaped when dropped.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    // Dropped before the descriptor is.
    _listed: Listed,
    pidfd: OwnedFd,
    /// Set once the child has been waited for.
    exit: Option<ChildExit>,
}

/// How a child ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ChildExit {
    /// It exited with this status.
    Status(i32),
    /// It was killed by this signal.
    Signal(i32),
    /// It is gone and somebody else took its status.
    Unknown,
}

/// Which side of a fork this is.
#[derive(Debug)]
pub enum Forked {
    /// The parent, with its child.
    Parent(Child),
    /// The child.
    Child,
}

/// Forks this process; only the calling thread exists in the child.
///
/// # Safety
/// The child may only do what is async-signal-safe, and leaves by [`exit_now`]: every lock may be held by a
/// thread that it does not have.
pub unsafe fn fork() -> Result<Forked, Errno> {
    check(Call::Fork)?;
    let mut pidfd: libc::c_int = -1;
    // The order of clone's last two arguments differs between architectures; both are null here.
    // SAFETY: without CLONE_VM and with a null stack this is a fork. The kernel writes the descriptor to `pidfd`.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            libc::CLONE_PIDFD as libc::c_long,
            0 as libc::c_long,
            &raw mut pidfd,
            0 as libc::c_long,
            0 as libc::c_long,
        )
    };
    match pid {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        0 => Ok(Forked::Child),
        _ => {
            let pid = Pid::from_raw(pid as i32).ok_or(Errno::SRCH)?;
            if pidfd < 0 {
                // A kernel before 5.2 takes no notice of CLONE_PIDFD.
                end_unwatched(pid);
                return Err(Errno::NOSYS);
            }
            // SAFETY: the kernel stored a new descriptor, which this value owns.
            let pidfd = clear::of_standard(unsafe { OwnedFd::from_raw_fd(pidfd) });
            let pidfd = pidfd.inspect_err(|_| end_unwatched(pid))?;
            Ok(Forked::Parent(Child { pid, _listed: Listed::descriptor(&pidfd), pidfd, exit: None }))
        }
    }
}

/// In a worker: forks a *sibling*, another child of this process's own parent. Whether this is the sibling.
///
/// The kernel stores the sibling's number into `number`, before the sibling runs. Like the worker, it has no exit signal.
///
/// # Safety
/// This process has one thread. Either side does only what is async-signal-safe, and leaves by [`exit_now`].
pub unsafe fn fork_sibling(number: &AtomicU32) -> Result<bool, Errno> {
    check(Call::ForkSibling)?;
    // CLONE_PARENT takes over this process's exit signal, which is none.
    let flags = libc::CLONE_PARENT | libc::CLONE_PARENT_SETTID;
    // SAFETY: as in `fork`. The kernel writes the number.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone,
            flags as libc::c_long,
            0 as libc::c_long,
            number.as_ptr(),
            0 as libc::c_long,
            0 as libc::c_long,
        )
    };
    match pid {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        pid => Ok(pid == 0),
    }
}

/// Kills this process, or stops it as a debugger might; for tests of what that costs. Async-signal-safe.
pub fn strike_self(signal: Strike) {
    let signal = if signal == Strike::Kill { Signal::KILL } else { Signal::STOP };
    let _ = rustix::process::kill_process(own_pid(), signal);
}

/// What befalls a process.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Strike {
    /// `SIGKILL`.
    Kill,
    /// `SIGSTOP`.
    Stop,
}

/// Has the C library call these around every `fork` that this process, and its children, make through it: the first before,
/// in the forking thread, the others after, in that thread of the parent and of the child. Such a fork is not one of the
/// worker's ([`fork`] goes past the C library), nor that of `vfork` and `posix_spawn`.
///
/// The child's may do only what is async-signal-safe.
pub fn at_fork(
    prepare: extern "C" fn(),
    parent: extern "C" fn(),
    child: extern "C" fn(),
) -> Result<(), Errno> {
    check(Call::AtFork)?;
    // SAFETY: three functions of the kind that is asked for, which stay as long as the library they are in.
    match unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) } {
        0 => Ok(()),
        errno => Err(Errno::from_raw_os_error(errno)),
    }
}

/// Ends the process with a report when a panic goes through it: for the threads for which all others wait. The panic's message
/// has been printed then.
#[derive(Debug)]
pub struct StopOnUnwind;

impl Drop for StopOnUnwind {
    fn drop(&mut self) {
        if std::thread::panicking() {
            crate::crash::violated(
                None,
                format_args!("a thread of the collector panicked; its message is above"),
            );
        }
    }
}

/// Writes a message to the standard error and ends the process with `SIGABRT`. Async-signal-safe.
pub fn stop(message: &str) -> ! {
    say(message);
    abort_now()
}

/// Ends the process with `SIGABRT`. Async-signal-safe.
pub fn abort_now() -> ! {
    // SAFETY: `abort` may be called at any time, from a handler too.
    unsafe { libc::abort() }
}

/// Writes a message to the standard error. Async-signal-safe.
pub fn say(message: &str) {
    let mut rest = message.as_bytes();
    while !rest.is_empty() {
        match rustix::io::write(rustix::stdio::stderr(), rest) {
            Ok(written @ 1..) => rest = &rest[written..],
            Err(Errno::INTR) => {}
            // Where the standard error is closed, nobody wants to know.
            _ => return,
        }
    }
}

/// A calling thread in a hurry: at the highest ordinary priority until this is dropped, where the process may ask for that
/// (`CAP_SYS_NICE`, `RLIMIT_NICE`); elsewhere nothing changes.
#[derive(Debug)]
pub struct Hurry {
    /// What the priority was, as for `nice`.
    before: i32,
    raised: bool,
}

impl Hurry {
    /// Raises the calling thread's priority if that is allowed.
    pub fn new() -> Self {
        let before = rustix::process::getpriority_process(None).unwrap_or(0);
        Self { before, raised: set_priority(-20).is_ok() }
    }

    /// What the thread's priority is otherwise.
    pub fn before(&self) -> i32 {
        self.before
    }
}

impl Default for Hurry {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Hurry {
    fn drop(&mut self) {
        if self.raised {
            // Lowering a priority is always allowed.
            let _ = set_priority(self.before);
        }
    }
}

/// Gives the calling thread a priority. Async-signal-safe.
fn set_priority(nice: i32) -> Result<(), Errno> {
    check(Call::Priority)?;
    rustix::process::setpriority_process(None, nice)
}

/// In a new child: have the kernel kill it when its parent's forking thread ends, and run at this priority. `false` if the
/// parent is gone already. Async-signal-safe.
pub fn become_worker(parent: Pid, nice: i32) -> bool {
    // A worker that cannot ask for its death signal still ends with its work; a priority is a wish.
    let _ = check(Call::DeathSignal)
        .and_then(|()| rustix::process::set_parent_process_death_signal(Some(Signal::KILL)));
    let _ = set_priority(nice);
    has_parent(parent)
}

/// In a worker: closes all descriptors but the standard ones, so that it keeps no file, pipe or lock of the host's open, and has
/// no userfaultfd of its parent's. Nothing comes of it where the kernel cannot (before 5.9) or may not. Async-signal-safe.
pub fn close_descriptors() {
    let first = libc::c_long::from(clear::FIRST);
    let all = libc::c_long::from(u32::MAX);
    // SAFETY: nobody in this process uses one of them from here on; it leaves by `exit_now`, without destructors.
    let _ = check(Call::CloseRange)
        .map(|()| unsafe { libc::syscall(libc::SYS_close_range, first, all, 0 as libc::c_long) });
}

/// In a child: whether its parent is still there. Async-signal-safe.
pub fn has_parent(parent: Pid) -> bool {
    rustix::process::getppid() == Some(parent)
}

/// The kernel's release and version, as `uname -r` and `uname -v` print them.
pub fn kernel() -> (String, String) {
    let uname = rustix::system::uname();
    (uname.release().to_string_lossy().into_owned(), uname.version().to_string_lossy().into_owned())
}

/// The kernel's release, as `uname -r` prints it. Async-signal-safe.
pub fn kernel_release() -> impl std::fmt::Display {
    struct Release(rustix::system::Uname);
    impl std::fmt::Display for Release {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str(self.0.release().to_str().unwrap_or("of an unknown release"))
        }
    }
    Release(rustix::system::uname())
}

/// This process.
pub fn own_pid() -> Pid {
    rustix::process::getpid()
}

/// Ends this process at once: no destructors, no exit handlers. Async-signal-safe.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: `_exit` has no precondition.
    unsafe { libc::_exit(status) }
}

impl Child {
    /// Its number. It is the child's until that has been waited for.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get() as u32
    }

    /// Takes charge of a child of this process that [`fork_sibling`] made. On an error it is gone, or was no child.
    pub fn adopt(number: u32) -> Result<Self, Errno> {
        let pid = i32::try_from(number).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
        // A number is a child's until that has been waited for, and nobody else waits for this one.
        let look = any_exit() | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let looked = check(Call::AdoptLook).and_then(|()| rustix::process::waitid(WaitId::Pid(pid), look));
        match looked {
            Ok(_) => {}
            // It is no child: its number may be somebody else's.
            Err(Errno::CHILD) => return Err(Errno::CHILD),
            Err(errno) => {
                // Who may not wait may still read. If not, it goes by itself: nobody admits it.
                if parent_of(pid).is_some_and(|parent| parent == own_pid()) {
                    end_unwatched(pid);
                }
                return Err(errno);
            }
        }
        let opened = check(Call::Adopt)
            .and_then(|()| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()))
            .and_then(clear::of_standard);
        let pidfd = opened.inspect_err(|_| end_unwatched(pid))?;
        Ok(Self { pid, _listed: Listed::descriptor(&pidfd), pidfd, exit: None })
    }

    /// Kills the child. It is reaped by [`Child::wait`] or on drop.
    pub fn kill(&self) {
        let killed =
            check(Call::Kill).and_then(|()| rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL));
        if killed.is_err() {
            // Dead already, or that call is denied here. Its number is its own until it has been waited for.
            let _ = rustix::process::kill_process(self.pid, Signal::KILL);
        }
    }

    /// Stops the child (`SIGSTOP`), as a debugger might; for tests of the deadline.
    pub fn stop(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::STOP);
    }

    /// Whether the child has ended; asked without a wait. It is reaped later.
    pub fn has_ended(&self) -> bool {
        let look = WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = check(Call::Wait)
            .and_then(|()| rustix::process::waitid(WaitId::Pid(self.pid), look | any_exit()));
        // Where there is no answer it counts as alive, until its patience is over and it is killed: an image of the heap that
        // still marks must not meet the next cycle.
        self.exit.is_some() || matches!(ended, Ok(Some(_)) | Err(Errno::CHILD))
    }

    /// Waits for the child to end and reaps it; if that is denied, still waits until it has ended, for a second.
    pub fn wait(&mut self) -> ChildExit {
        if let Some(exit) = self.exit {
            return exit;
        }
        let exit = self.reap().or_else(|_| {
            // Denied: still waits until it has ended. It may have been denied once only.
            super::event::wait_readable([self.pidfd.as_fd()], Duration::from_secs(1));
            self.reap()
        });
        let exit = exit.unwrap_or(ChildExit::Unknown);
        self.exit = Some(exit);
        exit
    }

    fn reap(&self) -> Result<ChildExit, Errno> {
        match wait_for(WaitId::PidFd(self.pidfd.as_fd())) {
            // A sandbox may not know how to wait for a descriptor. The number is the child's until it has been waited for.
            Err(Errno::INVAL) => wait_for(WaitId::Pid(self.pid)),
            result => result,
        }
    }
}

/// Ends a child of which there is no descriptor.
fn end_unwatched(pid: Pid) {
    let _ = rustix::process::kill_process(pid, Signal::KILL);
    let _ = wait_for(WaitId::Pid(pid));
}

/// Whose child a process is, where `/proc` says so.
fn parent_of(pid: Pid) -> Option<Pid> {
    let status = memory::read_text(format!("/proc/{pid}/status")).ok()?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    Pid::from_raw(parent.trim().parse().ok()?)
}

/// The end of a child, also of one without an exit signal: that is waited for only when asked for with `__WALL`.
fn any_exit() -> WaitIdOptions {
    WaitIdOptions::EXITED | WaitIdOptions::from_bits_retain(libc::__WALL as u32)
}

/// Waits for a child to end, and reaps it.
fn wait_for(child: WaitId<'_>) -> Result<ChildExit, Errno> {
    loop {
        match check(Call::Wait).and_then(|()| rustix::process::waitid(child.clone(), any_exit())) {
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
            Ok(None) => return Ok(ChildExit::Unknown),
            Ok(Some(status)) => {
                let code = status.exit_status().map(ChildExit::Status);
                let signal = status.terminating_signal().map(ChildExit::Signal);
                return Ok(code.or(signal).unwrap_or(ChildExit::Unknown));
            }
        }
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.exit.is_none() {
            self.kill();
            self.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_reports_how_it_ended() {
        for status in [0, 3] {
            // SAFETY: the child does nothing but exit.
            match unsafe { fork() }.unwrap() {
                Forked::Child => exit_now(status),
                Forked::Parent(mut child) => assert_eq!(child.wait(), ChildExit::Status(status)),
            }
        }
    }

    #[test]
    fn a_killed_child_is_reported_and_the_host_sees_no_child() {
        // SAFETY: the child only sleeps.
        match unsafe { fork() }.unwrap() {
            Forked::Child => loop {
                super::super::futex::pause_briefly(100);
            },
            Forked::Parent(mut child) => {
                child.kill();
                assert_eq!(child.wait(), ChildExit::Signal(9));
            }
        }
    }
}
