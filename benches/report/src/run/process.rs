//! One run of a program: in a process group of its own, with a time limit, and with an end whatever it does.
//!
//! The program's output goes to memory files and not to pipes. Nothing has to read while it runs, which would disturb it, and nothing
//! can wait for a writer that a forked worker has kept open. When the program has ended, or has to, everything in its group is
//! killed while the program is still a zombie, so that the group's number cannot be somebody else's by then.

use super::sample::Sampler;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, kill_process_group, pidfd_open,
    set_child_subreaper, set_parent_process_death_signal, waitid,
};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::mem::MaybeUninit;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What its environment has beside ours.
    pub environment: Vec<(String, String)>,
}

/// How a run ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// By itself, or by a signal that was not ours.
    Itself(ExitStatus),
    /// It was killed after the time limit.
    OverLimit,
    /// It was killed because the report is to end.
    Interrupted,
}

/// What is known of a run that has ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// From its start to its end.
    pub wall: Duration,
    /// Processor seconds of everything in its group.
    ///
    /// Of children that it has not waited for only where [`adopt_orphans`] was called before.
    pub cpu_s: f64,
    /// The most memory that it, or a child that it has waited for, had resident, in MiB.
    pub rss_mib: f64,
    /// The largest proportional set that was seen of its group, in MiB, where that was looked at.
    pub pss_mib: Option<f64>,
}

/// How often a run is looked at that is not sampled: for an end of the report.
const GLANCE: Duration = Duration::from_millis(100);
/// The same where the kernel cannot wait for an end.
const WITHOUT_PIDFD: Duration = Duration::from_millis(2);
/// How long what was killed may take to end.
const DYING: Duration = Duration::from_secs(10);

/// Variables that change how one of the programs allocates or collects. A shell's must not get into a comparison.
const PREFIXES: [&str; 8] =
    ["PALIMPSEST_", "GC_", "MALLOC_", "MIMALLOC_", "LD_PRELOAD", "GLIBC_TUNABLES", "PEER", "RUST_BACKTRACE"];

/// Makes this process the parent of what its children leave behind, so that their processor time is counted: a worker that still marks
/// when its program ends has worked for it too.
///
/// # Errors
/// Where the kernel refuses.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

impl Program {
    /// Runs it to its end. Once `stop` is set, it is killed; where `limit` is over, too. With `sample` its memory is looked at.
    ///
    /// # Errors
    /// Where it cannot be started, waited for or read. A program that fails is no error but an [`Outcome`].
    pub fn run(&self, limit: Duration, sample: bool, stop: &AtomicBool) -> io::Result<Outcome> {
        let memory = |name| memfd_create(name, MemfdFlags::CLOEXEC).map(File::from);
        let (mut stdout, mut stderr) = (memory("stdout")?, memory("stderr")?);
        let mut command = Command::new(&self.path);
        let foreign = |name: &OsString| {
            let name = name.to_string_lossy();
            PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        };
        for name in std::env::vars_os().map(|(name, _)| name).filter(foreign) {
            command.env_remove(name);
        }
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(stdout.try_clone()?)
            .stderr(stderr.try_clone()?)
            .process_group(0);
        // SAFETY: one system call, which allocates nothing and takes no lock.
        unsafe {
            // A report that is killed leaves nothing running, since nobody would end what hangs then.
            command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
        }
        let start = Instant::now();
        let child = command.spawn()?;
        let group = Group(Pid::from_child(&child));
        let mut sampler = sample.then(|| Sampler::new(group.0));
        let killed = group.watch(start + limit, sampler.as_mut(), stop)?;
        let wall = start.elapsed();
        group.kill()?;
        let (status, cpu_s, rss_mib) = group.reap()?;
        Ok(Outcome {
            end: killed.unwrap_or(End::Itself(status)),
            stdout: text(&mut stdout)?,
            stderr: text(&mut stderr)?,
            wall,
            cpu_s,
            rss_mib,
            pss_mib: sampler.and_then(|sampler| sampler.most_mib()),
        })
    }
}

impl Outcome {
    /// The last line of standard error that has anything in it, for a message.
    pub fn last_words(&self) -> &str {
        self.stderr.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no message")
    }
}

/// A child that leads a process group of its own.
struct Group(Pid);

impl Group {
    /// Returns when the leader has ended (it is not reaped), and why it was killed if it was.
    fn watch(
        &self,
        deadline: Instant,
        mut sampler: Option<&mut Sampler>,
        stop: &AtomicBool,
    ) -> io::Result<Option<End>> {
        let handle = pidfd_open(self.0, PidfdFlags::empty()).ok();
        let mut killed: Option<(End, Instant)> = None;
        while !self.has_ended()? {
            let now = Instant::now();
            match killed {
                None if stop.load(Ordering::Relaxed) => killed = Some((End::Interrupted, now)),
                None if now >= deadline => killed = Some((End::OverLimit, now)),
                None => {}
                Some((_, when)) if now - when > DYING => {
                    return Err(io::Error::other(format!("process {} was killed and does not end", self.0)));
                }
                Some(_) => {}
            }
            if killed.is_some() {
                self.kill()?;
            }
            let wait = match &mut sampler {
                Some(sampler) => sampler.look(),
                None => GLANCE,
            };
            match &handle {
                Some(handle) => {
                    wait_for(handle, wait.min(deadline.saturating_duration_since(now).max(WITHOUT_PIDFD)))?
                }
                None => std::thread::sleep(WITHOUT_PIDFD),
            }
        }
        Ok(killed.map(|(end, _)| end))
    }

    fn has_ended(&self) -> io::Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        match waitid(WaitId::Pid(self.0), options) {
            Ok(status) => Ok(status.is_some()),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Kills what is in the group. The leader must not have been reaped.
    fn kill(&self) -> io::Result<()> {
        match kill_process_group(self.0, Signal::KILL) {
            // Nobody is left, or zombies only.
            Ok(()) | Err(Errno::SRCH | Errno::PERM) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the leader, which has ended, and what it has left to us: its status, the processor seconds of all, its memory in MiB.
    fn reap(self) -> io::Result<(ExitStatus, f64, f64)> {
        let leader = self.0.as_raw_pid();
        let Some((status, usage)) = wait4(leader, 0)? else {
            return Err(io::Error::other(format!("process {leader} has ended and cannot be waited for")));
        };
        let mut cpu_s = cpu_seconds(&usage);
        let deadline = Instant::now() + DYING;
        while Instant::now() < deadline {
            match wait4(-leader, libc::WNOHANG) {
                Ok(Some((_, usage))) => cpu_s += cpu_seconds(&usage),
                // It was killed and is on its way.
                Ok(None) => std::thread::sleep(WITHOUT_PIDFD),
                Err(error) if error.raw_os_error() == Some(libc::ECHILD) => break,
                Err(error) => return Err(error),
            }
        }
        Ok((ExitStatus::from_raw(status), cpu_s, usage.ru_maxrss as f64 / 1024.0))
    }
}

/// Reaps a child, or one of a group; nothing where none has ended.
fn wait4(who: i32, options: i32) -> io::Result<Option<(i32, libc::rusage)>> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    loop {
        // SAFETY: waits for children of ours that nobody else waits for; both results have room.
        match unsafe { libc::wait4(who, &mut status, options, usage.as_mut_ptr()) } {
            // SAFETY: zeroed, and filled in where there is a child; every bit pattern is valid.
            1.. => return Ok(Some((status, unsafe { usage.assume_init() }))),
            0 => return Ok(None),
            _ => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

fn cpu_seconds(usage: &libc::rusage) -> f64 {
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// Returns after `wait`, or earlier if the process has ended or a signal has come.
fn wait_for(handle: &rustix::fd::OwnedFd, wait: Duration) -> io::Result<()> {
    let timeout = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
    match poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn text(file: &mut File) -> io::Result<String> {
    // The child wrote through the same description, so the position is at the end.
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
