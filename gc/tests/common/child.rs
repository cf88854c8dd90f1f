//! Children made as a host makes them.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitStatus};

/// Seconds that a child may take: one that hangs is killed by `SIGALRM`.
const PATIENCE: u32 = 60;

/// Runs `f` on `value` in a child, made by the C library's `fork`, that exits with what `f` returns. Returns the value, which
/// the parent still has, how the child ended, and what it said on its standard error.
pub fn in_child<T>(value: T, f: impl FnOnce(T) -> i32) -> (T, ExitStatus, String) {
    let mut ends = [0; 2];
    // SAFETY: two new descriptors, of which each has one owner.
    let [from, to] = unsafe {
        assert_eq!(libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC), 0);
        ends.map(|fd| OwnedFd::from_raw_fd(fd))
    };
    // SAFETY: the child runs `f` and exits. What it needs of the C library works in a child.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: calls that are allowed in a child.
        unsafe {
            libc::alarm(PATIENCE);
            libc::dup2(to.as_raw_fd(), 2);
            let status = catch_unwind(AssertUnwindSafe(|| f(value))).unwrap_or_else(|panic| {
                // The test harness keeps what goes the ordinary way.
                let why = panic.downcast_ref::<String>().map_or("a panic", String::as_str);
                libc::write(2, why.as_ptr().cast(), why.len());
                101
            });
            libc::_exit(status);
        }
    }
    assert!(pid > 0, "{}", std::io::Error::last_os_error());
    drop(to);
    let mut said = String::new();
    File::from(from).read_to_string(&mut said).expect("what the child said");
    let mut status = 0;
    // SAFETY: waits for this child.
    while unsafe { libc::waitpid(pid, &mut status, 0) } != pid {
        assert_eq!(std::io::Error::last_os_error().raw_os_error(), Some(libc::EINTR));
    }
    (value, ExitStatus::from_raw(status), said)
}

/// Whether a child was stopped for using a heap that it has not, with a message.
pub fn is_stopped_by(end: ExitStatus, said: &str) -> bool {
    matches!(end.signal(), Some(libc::SIGSEGV | libc::SIGABRT)) && said.contains("A child has no heap")
}

/// Has a test run in a process of its own, where no other makes heaps meanwhile. Whether this is that process.
pub fn alone(name: &str) -> bool {
    if std::env::args().any(|arg| arg == "--exact") {
        return true;
    }
    let this = std::env::current_exe().expect("this test's program");
    let status = Command::new(this).args(["--exact", name, "--nocapture"]).status().expect("this test again");
    assert!(status.success());
    false
}
