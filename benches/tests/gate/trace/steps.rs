//! Counts instructions: steps through a program, one after the other, from its first mark until it says that it is over.
//!
//! Only its main thread is traced. A step sees no system call, so the mark names a word that the program sets at the end, and each
//! step looks at that.

use std::path::Path;

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;

use super::calls::{self, Call};
use super::{Failure, Traced, mark, wait};

/// Runs the program and counts. Also what it printed.
pub fn count_steps(program: &Path, arguments: &[&str]) -> Result<(u64, serde_json::Value), Failure> {
    let traced = Traced::start(program, arguments, ptrace::Options::PTRACE_O_TRACESYSGOOD)?;
    let pid = traced.pid;
    let word = loop {
        ptrace::syscall(pid, None)?;
        match wait(Some(pid))? {
            WaitStatus::PtraceSyscall(_) => {
                if let Call::Mark { mark: mark::BEGIN, word } = calls::entered(pid)? {
                    break word;
                }
            }
            WaitStatus::Exited(..) => {
                return traced.output().and(Err(Failure::Broken("it made no mark".into())));
            }
            other => return Err(Failure::Broken(format!("before the mark: {other:?}"))),
        }
    };
    // The end of the call that is the mark.
    ptrace::syscall(pid, None)?;
    wait(Some(pid))?;
    let mut steps = 0;
    while ptrace::read(pid, word as ptrace::AddressType)? == 0 {
        ptrace::step(pid, None)?;
        match wait(Some(pid))? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => steps += 1,
            other => return Err(Failure::Broken(format!("after {steps} steps: {other:?}"))),
        }
    }
    ptrace::cont(pid, None)?;
    match wait(Some(pid))? {
        WaitStatus::Exited(..) => Ok((steps, traced.output()?)),
        other => Err(Failure::Broken(format!("after the end: {other:?}"))),
    }
}
