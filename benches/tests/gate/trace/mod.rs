//! A tracer: counts the system calls and the forks of a program between its marks, or steps through its instructions.
//!
//! Both work by `ptrace` and nothing else. A process is traced by the thread that started it and dies with it. One that takes too
//! long is killed, so that a test fails rather than hangs.

mod calls;
mod steps;

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

pub use calls::{Cycle, Party, count_calls};
pub use steps::count_steps;

/// A program that takes longer is killed.
const PATIENCE: Duration = Duration::from_secs(120);

/// What marks say, as in `counted`'s `mark.rs`.
mod mark {
    // Between the two comes a third, at which the mutator is done.
    pub(super) const BEGIN: u64 = 1;
    pub(super) const END: u64 = 3;
}

/// Why there are no figures.
#[derive(Debug)]
pub enum Failure {
    /// This machine does not let us trace: skipped.
    Denied(String),
    /// Nothing else may go wrong.
    Broken(String),
}

impl From<nix::Error> for Failure {
    fn from(error: nix::Error) -> Self {
        Self::Broken(format!("tracing: {error}"))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// A traced program, stopped before its first instruction.
struct Traced {
    child: Child,
    pid: Pid,
    ended: bool,
    /// Dropped when the program has ended, which calls its guard off.
    _guard: mpsc::Sender<()>,
}

impl Traced {
    fn start(program: &Path, arguments: &[&str], options: ptrace::Options) -> Result<Self, Failure> {
        let mut command = Command::new(program);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        for variable in ["PALIMPSEST_RUNG", "PALIMPSEST_OPTIONS"] {
            command.env_remove(variable);
        }
        // SAFETY: one system call, in the child.
        unsafe { command.pre_exec(|| ptrace::traceme().map_err(io::Error::from)) };
        let child = command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::Broken(format!("{}: {error}", program.display())),
            _ => Failure::Denied(format!("PTRACE_TRACEME: {error}")),
        })?;
        let pid = Pid::from_raw(child.id() as i32);
        let (guard, called_off) = mpsc::channel();
        thread::spawn(move || {
            if called_off.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                // Its tracer sees the end.
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            }
        });
        let traced = Self { child, pid, ended: false, _guard: guard };
        match wait(Some(pid))? {
            WaitStatus::Stopped(..) => {}
            other => return Err(Failure::Broken(format!("instead of starting: {other:?}"))),
        }
        ptrace::setoptions(pid, options | ptrace::Options::PTRACE_O_EXITKILL)?;
        Ok(traced)
    }

    /// After its end: what it printed. It prints less than a pipe holds.
    fn output(mut self) -> Result<serde_json::Value, Failure> {
        self.ended = true;
        let (mut output, mut errors) = (String::new(), String::new());
        self.child.stdout.take().expect("piped").read_to_string(&mut output)?;
        self.child.stderr.take().expect("piped").read_to_string(&mut errors)?;
        serde_json::from_str(&output)
            .map_err(|_| Failure::Broken(format!("no figures, but: {output}{errors}")))
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Something went wrong; it is still there, or has just gone, and then either call says so.
        let _ = nix::sys::signal::kill(self.pid, nix::sys::signal::Signal::SIGKILL);
        while let Ok(WaitStatus::Stopped(..) | WaitStatus::PtraceEvent(..) | WaitStatus::PtraceSyscall(..)) =
            wait(Some(self.pid))
        {}
    }
}

/// Waits for a traced thread: this one, or any that this thread traces.
fn wait(pid: Option<Pid>) -> nix::Result<WaitStatus> {
    loop {
        // Another test's thread has children of its own.
        let waited = waitpid(pid, Some(WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD));
        if waited != Err(nix::errno::Errno::EINTR) {
            return waited;
        }
    }
}
