//! Counts system calls and forks, of every thread and every worker, from mark to mark.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use syscalls::Sysno;

use super::{Failure, Traced, mark, wait};
use crate::figures::Counted;

/// Who makes a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Party {
    /// The thread that asks for the cycle.
    Mutator,
    /// The collector's thread.
    Collector,
    /// The thread that resolves faults.
    Monitor,
    /// A forked process.
    Worker,
}

/// What one cycle took.
#[derive(Default, Debug)]
pub struct Cycle {
    /// System calls by name.
    pub calls: BTreeMap<Party, Counted>,
    /// Processes that were forked.
    pub forks: u64,
    /// Of the last of them, what nobody shared with it when it ended, in bytes.
    pub private: u64,
}

/// The name of the monitor's thread.
const MONITOR: &str = "palimpsest-uffd";

/// A system call, as it is entered or left.
pub(super) enum Call {
    Mark { mark: u64, word: u64 },
    Other(u64),
    Left,
}

/// The call at which a thread is stopped.
pub(super) fn entered(pid: Pid) -> nix::Result<Call> {
    let info = ptrace::syscall_info(pid)?;
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return Ok(Call::Left);
    }
    // SAFETY: `op` says that this is the part in use.
    let entry = unsafe { info.u.entry };
    if entry.nr == libc::SYS_fadvise64 as u64 && entry.args[0] as i32 == -1 {
        return Ok(Call::Mark { mark: entry.args[2], word: entry.args[1] });
    }
    Ok(Call::Other(entry.nr))
}

/// Runs the program and counts each stretch from `Begin` to `End`. Also what it printed.
pub fn count_calls(program: &Path, arguments: &[&str]) -> Result<(Vec<Cycle>, serde_json::Value), Failure> {
    use ptrace::Options;
    let options = Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXIT;
    let traced = Traced::start(program, arguments, options)?;
    let mut tracing = Tracing::new(traced.pid);
    ptrace::syscall(traced.pid, None)?;
    while let Some(stopped) = tracing.next()? {
        // A thread that is killed in the middle is gone without having been stopped again.
        match ptrace::syscall(stopped.pid, stopped.signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok((tracing.cycles, traced.output()?))
}

/// A thread that waits to go on, with a signal that it is to get.
struct Stopped {
    pid: Pid,
    signal: Option<Signal>,
}

struct Tracing {
    main: Pid,
    parties: HashMap<Pid, Party>,
    /// Whether it is counted.
    counting: bool,
    /// Whether the mutator is.
    asking: bool,
    cycles: Vec<Cycle>,
}

impl Tracing {
    fn new(main: Pid) -> Self {
        let parties = HashMap::from([(main, Party::Mutator)]);
        Self { main, parties, counting: false, asking: false, cycles: Vec::new() }
    }

    /// Waits for the next thread that stops, and counts what it stopped for. Nothing when the program has ended.
    fn next(&mut self) -> Result<Option<Stopped>, Failure> {
        loop {
            let (pid, signal) = match wait(None)? {
                WaitStatus::PtraceSyscall(pid) => {
                    self.note_call(pid)?;
                    (pid, None)
                }
                WaitStatus::PtraceEvent(pid, _, event) => {
                    if event == libc::PTRACE_EVENT_EXIT && self.parties.get(&pid) == Some(&Party::Worker) {
                        self.note_end(pid)?;
                    }
                    (pid, None)
                }
                // What a new thread begins with is not the program's.
                WaitStatus::Stopped(pid, Signal::SIGSTOP) if !self.parties.contains_key(&pid) => {
                    self.note_birth(pid)?;
                    (pid, None)
                }
                WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
                WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, ..) if pid == self.main => {
                    return Ok(None);
                }
                _ => continue,
            };
            return Ok(Some(Stopped { pid, signal }));
        }
    }

    fn note_call(&mut self, pid: Pid) -> Result<(), Failure> {
        let number = match entered(pid)? {
            Call::Left => return Ok(()),
            Call::Mark { mark, .. } => {
                if mark == mark::BEGIN {
                    self.cycles.push(Cycle::default());
                    self.look_at_names();
                }
                self.counting = mark != mark::END;
                self.asking = mark == mark::BEGIN;
                return Ok(());
            }
            Call::Other(number) => number,
        };
        let party = self.parties.get(&pid).copied();
        let (Some(party), Some(cycle)) = (party, self.cycles.last_mut()) else { return Ok(()) };
        if self.counting && (party != Party::Mutator || self.asking) {
            let name =
                Sysno::new(number as usize).map_or(format!("call {number}"), |call| call.name().into());
            *cycle.calls.entry(party).or_default().entry(name).or_default() += 1.0;
        }
        Ok(())
    }

    /// A thread of the program's process, or a worker.
    fn note_birth(&mut self, pid: Pid) -> Result<(), Failure> {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim).unwrap_or_default()
        };
        let party = if field("Tgid:") != self.main.to_string() {
            if let Some(cycle) = self.cycles.last_mut().filter(|_| self.counting) {
                cycle.forks += 1;
            }
            Party::Worker
        } else {
            Party::Collector
        };
        self.parties.insert(pid, party);
        Ok(())
    }

    /// A thread takes its name some time after its birth.
    fn look_at_names(&mut self) {
        for (pid, party) in &mut self.parties {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            if *party == Party::Collector && name.is_ok_and(|name| name.trim() == MONITOR) {
                *party = Party::Monitor;
            }
        }
    }

    fn note_end(&mut self, pid: Pid) -> Result<(), Failure> {
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let private = rollup.lines().filter(|line| line.starts_with("Private_"));
        let kib = private.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum::<u64>();
        if let Some(cycle) = self.cycles.last_mut().filter(|_| self.counting) {
            cycle.private = kib << 10;
        }
        Ok(())
    }
}
