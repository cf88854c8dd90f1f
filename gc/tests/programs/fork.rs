//! The host forks in the middle of a program, whatever its cycles are at. The child has a copy of the heap, in which it finds what the
//! model says and goes on for a while; or it has none, and can tell. The parent goes on with the program afterwards.

use super::language::Language;
use super::ops::Op;
use super::world::World;
use palimpsest::{HostFork, Mutator};
use std::io::{Error, Read, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitStatus;

/// Seconds until a child that hangs is ended.
const PATIENCE: u32 = 20;

/// What a child does with its copy.
const IN_CHILD: [Op; 8] = [
    Op::Check {},
    Op::Churn { amount: 5 },
    Op::Adopt { from: 3, slot: 7, shape: 1 },
    Op::Young {},
    Op::Hide { from: 1, slot: 0 },
    Op::Collect {},
    Op::Alloc { shape: 3, size: 40 },
    Op::Collect {},
];

impl World {
    /// Forks, and waits for the child. What it found wrong.
    pub(super) fn fork(&mut self, m: &mut Mutator<Language>) -> Result<(), String> {
        let (mut hear, mut tell) = UnixStream::pair().map_err(|why| why.to_string())?;
        // SAFETY: the child uses its copies of the heap and of this, and memory of the allocator, which is made for that; and
        // it leaves by `_exit`.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: ends this process if it hangs.
            unsafe {
                libc::signal(libc::SIGALRM, libc::SIG_DFL);
                libc::alarm(PATIENCE);
            }
            let done = catch_unwind(AssertUnwindSafe(|| self.go_on_in_child(m)));
            let done = done.unwrap_or_else(|_| Err("a panic".into()));
            // SAFETY: nothing of the parent's is to be ended here.
            unsafe {
                libc::_exit(done.map_or_else(|why| tell.write_all(why.as_bytes()).map_or(2, |()| 1), |()| 0))
            };
        }
        if pid < 0 {
            return Err(format!("no child: {}", Error::last_os_error()));
        }
        drop(tell);
        self.children += 1;
        let (mut said, mut status) = (String::new(), 0);
        m.blocking(|| {
            hear.read_to_string(&mut said).map_err(|why| format!("what the child said: {why}"))?;
            // SAFETY: waits for this child.
            while unsafe { libc::waitpid(pid, &mut status, 0) } != pid {
                let why = Error::last_os_error();
                if why.raw_os_error() != Some(libc::EINTR) {
                    return Err(format!("waiting for the child: {why}"));
                }
            }
            let end = ExitStatus::from_raw(status);
            if end.success() { Ok(()) } else { Err(format!("in a child, {end}: {said}")) }
        })
    }

    fn go_on_in_child(&mut self, m: &mut Mutator<Language>) -> Result<(), String> {
        if self.copies == HostFork::NoHeap {
            return if self.heap.is_here() { Err("it has the heap".into()) } else { Ok(()) };
        }
        if !self.heap.is_here() {
            return Err("it has no copy of the heap".into());
        }
        // A cycle that was at work has ended before the fork, and its thread is not here.
        self.background.runs = false;
        IN_CHILD.into_iter().try_for_each(|op| self.step(m, op).map_err(|why| format!("`{op}`: {why}")))
    }
}
