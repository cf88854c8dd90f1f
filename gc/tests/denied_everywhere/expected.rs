//! What is to come of each error of each system call.

use palimpsest_runtime::sys::Errno;
use palimpsest_runtime::sys::inject::{Call, Role};
use std::fmt::Write as _;

/// What a program can meet, beside nothing.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Outcome {
    /// No heap, and an error.
    Refused,
    /// A lower rung of the ladder.
    Lower,
    /// A thread could not attach in one way.
    AttachRefused,
    /// A cycle marks in the stopped world.
    FallsBack,
    /// A cycle fails and reclaims nothing.
    Fails,
    /// Which pages were written is not known.
    Untracked,
    /// Fewer workers mark than wanted.
    FewerWorkers,
    /// The write barrier is given up.
    GivesUp,
    /// A figure is not known.
    Unknown,
    /// The child that the host forked has no copy of the heap.
    NoCopy,
    /// In that child a cycle fails, or marks in the stopped world.
    ChildFallsBack,
    /// That child ends with a message.
    ChildStops,
    /// A worker that has ended cannot be waited for.
    LeavesZombies,
    /// There is no room, though objects were dropped.
    OutOfMemory,
    /// The process ends itself with a message.
    Stops,
}

/// An outcome, what it is in words, and what its message has, in one of these forms: the program is told what failed.
type Meaning = (Outcome, &'static str, &'static [&'static str]);

const MEANINGS: &[Meaning] = &[
    (Outcome::Refused, "no heap: `Error`", &["(os error ", "lacks"]),
    (Outcome::Lower, "a lower rung: `Stats::degraded`", &["(os error ", "lacks"]),
    (Outcome::AttachRefused, "the thread cannot attach with its stack: `Error`", &["this thread's stack"]),
    (
        Outcome::FallsBack,
        "such cycles mark in the stopped world: `fallback`",
        &["(os error ", "given up", "cycles failed"],
    ),
    (Outcome::Fails, "the cycle fails and reclaims nothing: `failure`", &["worker"]),
    (Outcome::Untracked, "written pages are unknown, the cycle is full: `untracked`", &["(os error "]),
    (Outcome::FewerWorkers, "fewer workers mark: `fewer_workers`", &["(os error "]),
    (
        Outcome::GivesUp,
        "the barrier is given up for good, no write is lost: `Stats::degraded`",
        &["given up"],
    ),
    (Outcome::Unknown, "a figure is unknown: `Error`", &["(os error "]),
    (
        Outcome::NoCopy,
        "the child has no heap, and is told so when it uses it",
        &["could not be made for this child"],
    ),
    (Outcome::ChildFallsBack, "in the child a cycle fails, or marks in the stopped world", &[""]),
    (Outcome::ChildStops, "the child ends with a message", &["(os error ", "removing write protection"]),
    (Outcome::LeavesZombies, "what has ended stays a zombie until the program ends", &["Z"]),
    (Outcome::OutOfMemory, "`OutOfMemory`, while this lasts", &["no room", "an object"]),
    (Outcome::Stops, "the program ends with a message", &["removing write protection"]),
];

impl Outcome {
    fn meaning(self) -> &'static Meaning {
        MEANINGS.iter().find(|(outcome, ..)| *outcome == self).expect("an outcome's meaning")
    }

    /// What a message about it has one of.
    pub fn says(self) -> &'static [&'static str] {
        self.meaning().2
    }

    /// The one of this name, as `Debug` writes it.
    pub fn of_name(name: &str) -> Self {
        let found =
            MEANINGS.iter().map(|(outcome, ..)| *outcome).find(|outcome| format!("{outcome:?}") == name);
        found.expect("an outcome")
    }
}

/// A call that fails with these errors, and what may come of it.
pub struct Row {
    pub role: Role,
    pub call: Call,
    /// Calls that fail all the while.
    pub also: &'static [Call],
    pub errnos: &'static [Errno],
    /// Whether it fails from some time on too, and not only once.
    pub may_last: bool,
    /// What may come of it, beside nothing.
    pub may: &'static [Outcome],
}

impl Row {
    /// What is wrong with meeting this in a run in which the call failed so many times.
    pub fn objects(&self, outcome: Outcome, why: &str, times: u32) -> Option<&'static str> {
        let by_another_signal = why.contains("killed by signal") && !why.ends_with("killed by signal 9");
        if !self.may.contains(&outcome) {
            Some("not listed")
        } else if !outcome.says().iter().any(|word| why.contains(word)) {
            Some("does not say what failed")
        } else if times == 1 && outcome == Outcome::LeavesZombies {
            Some("of a call that failed once")
        } else if by_another_signal {
            Some("a crash")
        } else {
            None
        }
    }
}

const fn row(role: Role, call: Call, errnos: &'static [Errno], may: &'static [Outcome]) -> Row {
    Row { role, call, also: &[], errnos, may_last: true, may }
}

/// Errors that no call meets again and again.
const fn once(role: Role, call: Call, errnos: &'static [Errno], may: &'static [Outcome]) -> Row {
    Row { may_last: false, ..row(role, call, errnos, may) }
}

const fn also(
    role: Role,
    call: Call,
    also: &'static [Call],
    errnos: &'static [Errno],
    may: &'static [Outcome],
) -> Row {
    Row { also, ..row(role, call, errnos, may) }
}

pub const ROWS: &[Row] = &{
    use Outcome::*;
    use Role::*;
    [
        row(
            Program,
            Call::Memfd,
            &[Errno::PERM, Errno::NOSYS, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::INVAL],
            &[Refused, NoCopy],
        ),
        row(Program, Call::MemfdSize, &[Errno::NOMEM, Errno::FBIG], &[Refused, NoCopy]),
        once(Program, Call::MemfdSize, &[Errno::INTR], &[]),
        row(Program, Call::MemfdSeal, &[Errno::PERM, Errno::INVAL], &[Refused, NoCopy]),
        row(Program, Call::KeepClear, &[Errno::MFILE], &[Refused, Lower, FallsBack, FewerWorkers, NoCopy]),
        row(Program, Call::Map, &[Errno::NOMEM, Errno::AGAIN, Errno::PERM], &[Refused, OutOfMemory]),
        row(Program, Call::DontFork, &[Errno::NOMEM, Errno::INVAL, Errno::AGAIN], &[Refused, OutOfMemory]),
        row(Program, Call::DoFork, &[Errno::NOMEM, Errno::INVAL, Errno::AGAIN], &[NoCopy, FallsBack]),
        row(Program, Call::Discard, &[Errno::INVAL, Errno::AGAIN], &[]),
        row(Program, Call::PunchHole, &[Errno::NOSYS, Errno::OPNOTSUPP, Errno::PERM], &[]),
        row(Program, Call::Populate, &[Errno::INVAL, Errno::NOMEM, Errno::AGAIN], &[]),
        row(Program, Call::HugePages, &[Errno::INVAL], &[]),
        row(Program, Call::Resident, &[Errno::NOSYS, Errno::AGAIN], &[]),
        row(Program, Call::FileStatus, &[Errno::NOMEM, Errno::PERM], &[]),
        row(Program, Call::ReadFile, &[Errno::NOENT, Errno::ACCESS, Errno::MFILE], &[Unknown]),
        row(
            Program,
            Call::UffdOpen,
            &[Errno::PERM, Errno::NOSYS, Errno::MFILE, Errno::NOMEM],
            &[Refused, Lower],
        ),
        row(Program, Call::UffdHandshake, &[Errno::INVAL, Errno::PERM], &[Refused, Lower]),
        row(Program, Call::UffdRegister, &[Errno::BUSY, Errno::INVAL, Errno::NOMEM], &[Refused, Lower]),
        row(Program, Call::UffdUnregister, &[Errno::INVAL, Errno::PERM, Errno::NOMEM], &[]),
        row(Program, Call::UffdArm, &[Errno::NOMEM, Errno::PERM, Errno::NOENT], &[FallsBack]),
        once(Program, Call::UffdArm, &[Errno::AGAIN], &[]),
        row(
            Program,
            Call::UffdOpenPages,
            &[Errno::NOMEM, Errno::PERM, Errno::NOENT],
            &[GivesUp, FallsBack, Fails, ChildFallsBack],
        ),
        once(Program, Call::UffdOpenPages, &[Errno::AGAIN], &[]),
        row(
            Program,
            Call::UffdRead,
            &[Errno::IO, Errno::INVAL, Errno::PERM],
            &[GivesUp, FallsBack, Fails, ChildFallsBack],
        ),
        once(Program, Call::UffdRead, &[Errno::AGAIN, Errno::INTR], &[]),
        row(
            Program,
            Call::UffdWake,
            &[Errno::INVAL, Errno::PERM],
            &[GivesUp, FallsBack, Fails, ChildFallsBack],
        ),
        once(Program, Call::UffdWake, &[Errno::AGAIN], &[]),
        row(Program, Call::Protect, &[Errno::NOMEM, Errno::ACCESS], &[FallsBack]),
        row(
            Program,
            Call::ProtectOpen,
            &[Errno::NOMEM, Errno::ACCESS],
            &[GivesUp, FallsBack, Fails, ChildFallsBack, Stops],
        ),
        row(Program, Call::PagemapOpen, &[Errno::NOENT, Errno::ACCESS, Errno::MFILE], &[Refused]),
        row(Program, Call::Scan, &[Errno::NOTTY, Errno::NOMEM, Errno::PERM], &[Refused, Untracked]),
        once(Program, Call::Scan, &[Errno::INTR], &[]),
        row(Program, Call::Event, &[Errno::MFILE, Errno::NFILE, Errno::NOMEM], &[Refused]),
        row(Program, Call::EventRaise, &[Errno::AGAIN, Errno::PERM], &[]),
        row(Program, Call::EventTake, &[Errno::AGAIN], &[]),
        row(Program, Call::Poll, &[Errno::NOMEM, Errno::PERM], &[]),
        once(Program, Call::Poll, &[Errno::INTR], &[]),
        row(Program, Call::FutexWait, &[Errno::AGAIN, Errno::INTR, Errno::TIMEDOUT], &[]),
        row(Program, Call::HandlerLook, &[Errno::INVAL, Errno::PERM], &[Refused, Lower]),
        row(Program, Call::Handler, &[Errno::INVAL, Errno::PERM], &[Refused, Lower]),
        row(Program, Call::AtFork, &[Errno::NOMEM], &[Refused]),
        row(Program, Call::Thread, &[Errno::AGAIN, Errno::NOMEM, Errno::PERM], &[Refused]),
        row(Program, Call::ThreadExists, &[Errno::PERM, Errno::NOSYS], &[]),
        row(Program, Call::StackBounds, &[Errno::NOMEM], &[AttachRefused]),
        row(Program, Call::Processor, &[Errno::NOSYS], &[]),
        row(Program, Call::Priority, &[Errno::PERM, Errno::ACCESS], &[]),
        row(
            Program,
            Call::Fork,
            &[Errno::AGAIN, Errno::NOMEM, Errno::PERM, Errno::NOSYS],
            &[Refused, Lower, FallsBack],
        ),
        row(
            Program,
            Call::Wait,
            &[Errno::PERM, Errno::CHILD],
            &[Refused, Lower, FallsBack, Fails, LeavesZombies],
        ),
        once(Program, Call::Wait, &[Errno::INTR], &[]),
        row(Program, Call::Kill, &[Errno::PERM, Errno::NOSYS], &[]),
        row(Program, Call::AdoptLook, &[Errno::PERM, Errno::NOSYS], &[FewerWorkers]),
        row(Program, Call::Adopt, &[Errno::MFILE, Errno::NOMEM, Errno::PERM], &[FewerWorkers]),
        row(Program, Call::CopyFile, &[Errno::NOSPC, Errno::INVAL], &[NoCopy]),
        once(Program, Call::CopyFile, &[Errno::INTR], &[]),
        also(
            Program,
            Call::UffdOpenPages,
            &[Call::UffdUnregister],
            &[Errno::PERM],
            &[GivesUp, FallsBack, Fails, ChildFallsBack],
        ),
        also(
            Program,
            Call::UffdOpenPages,
            &[Call::UffdUnregister, Call::UffdAbandon],
            &[Errno::PERM],
            &[Stops],
        ),
        row(Leader, Call::Priority, &[Errno::PERM], &[]),
        row(Leader, Call::ForkSibling, &[Errno::AGAIN, Errno::NOMEM, Errno::PERM], &[FewerWorkers]),
        row(Leader, Call::DeathSignal, &[Errno::PERM], &[]),
        row(Leader, Call::CloseRange, &[Errno::NOSYS, Errno::PERM], &[]),
        row(
            Leader,
            Call::WorkerMap,
            &[Errno::NOMEM, Errno::EXIST, Errno::PERM],
            &[FallsBack, Fails, ChildFallsBack],
        ),
        row(Sibling, Call::FutexWait, &[Errno::AGAIN, Errno::INTR], &[]),
        row(Sibling, Call::Priority, &[Errno::PERM], &[]),
        row(Sibling, Call::DeathSignal, &[Errno::PERM], &[]),
        row(Child, Call::DontFork, &[Errno::NOMEM], &[ChildFallsBack]),
        row(Child, Call::DoFork, &[Errno::NOMEM], &[ChildFallsBack]),
        row(Child, Call::Discard, &[Errno::INVAL], &[]),
        row(Child, Call::PunchHole, &[Errno::NOSYS], &[]),
        row(Child, Call::Resident, &[Errno::NOSYS], &[]),
        row(Child, Call::FileStatus, &[Errno::NOMEM], &[]),
        row(Child, Call::UffdOpen, &[Errno::PERM, Errno::MFILE], &[NoCopy]),
        row(Child, Call::UffdHandshake, &[Errno::INVAL], &[NoCopy]),
        row(Child, Call::UffdRegister, &[Errno::NOMEM], &[NoCopy]),
        row(Child, Call::UffdArm, &[Errno::NOMEM], &[ChildFallsBack]),
        row(Child, Call::UffdOpenPages, &[Errno::NOMEM], &[ChildFallsBack]),
        row(Child, Call::Protect, &[Errno::NOMEM], &[ChildFallsBack]),
        row(Child, Call::ProtectOpen, &[Errno::NOMEM], &[ChildFallsBack, ChildStops]),
        row(Child, Call::PagemapOpen, &[Errno::NOENT], &[NoCopy]),
        row(Child, Call::Scan, &[Errno::NOMEM], &[]),
        row(Child, Call::Event, &[Errno::MFILE], &[NoCopy]),
        row(Child, Call::Poll, &[Errno::PERM], &[]),
        row(Child, Call::FutexWait, &[Errno::INTR], &[]),
        row(Child, Call::HandlerLook, &[Errno::INVAL], &[]),
        row(Child, Call::Handler, &[Errno::INVAL], &[]),
        row(Child, Call::Thread, &[Errno::AGAIN], &[ChildStops]),
        row(Child, Call::Processor, &[Errno::NOSYS], &[]),
        row(Child, Call::Priority, &[Errno::PERM], &[]),
        row(Child, Call::Fork, &[Errno::AGAIN], &[ChildFallsBack]),
        row(Child, Call::Wait, &[Errno::PERM], &[ChildFallsBack]),
        row(Child, Call::Kill, &[Errno::PERM], &[]),
        row(Child, Call::AdoptLook, &[Errno::PERM], &[]),
        row(Child, Call::Adopt, &[Errno::MFILE], &[]),
        row(Child, Call::PutCopy, &[Errno::NOMEM], &[NoCopy]),
        row(Child, Call::PutInPlace, &[Errno::BADF], &[NoCopy]),
        row(Child, Call::Reserve, &[Errno::NOMEM], &[]),
    ]
};

/// Errors, as the manual pages write them.
const NAMES: &[(Errno, &str)] = &[
    (Errno::ACCESS, "EACCES"),
    (Errno::AGAIN, "EAGAIN"),
    (Errno::BADF, "EBADF"),
    (Errno::BUSY, "EBUSY"),
    (Errno::CHILD, "ECHILD"),
    (Errno::EXIST, "EEXIST"),
    (Errno::FBIG, "EFBIG"),
    (Errno::INTR, "EINTR"),
    (Errno::INVAL, "EINVAL"),
    (Errno::IO, "EIO"),
    (Errno::MFILE, "EMFILE"),
    (Errno::NFILE, "ENFILE"),
    (Errno::NOENT, "ENOENT"),
    (Errno::NOMEM, "ENOMEM"),
    (Errno::NOSPC, "ENOSPC"),
    (Errno::NOSYS, "ENOSYS"),
    (Errno::NOTTY, "ENOTTY"),
    (Errno::OPNOTSUPP, "EOPNOTSUPP"),
    (Errno::PERM, "EPERM"),
    (Errno::TIMEDOUT, "ETIMEDOUT"),
];

/// The rows, for the documentation.
pub fn table() -> String {
    let mut table = String::from("| in | call | errors | what may come of it |\n| --- | --- | --- | --- |\n");
    let name = |errno: &Errno| NAMES.iter().find(|(known, _)| known == errno).expect("the error's name").1;
    let words = |call: &Call| call.words().trim().trim_end_matches('.').to_owned();
    for row in ROWS {
        let place = match row.role {
            Role::Program => "the program",
            Role::Leader => "a worker",
            Role::Sibling => "a further worker",
            Role::Child => "a child",
        };
        let calls: Vec<String> = std::iter::once(&row.call).chain(row.also).map(words).collect();
        let errnos: Vec<&str> = row.errnos.iter().map(name).collect();
        let times = if row.may_last { "" } else { ", once" };
        let mut may: Vec<&str> = row.may.iter().map(|outcome| outcome.meaning().1).collect();
        if may.is_empty() {
            may.push("nothing");
        }
        let (calls, errnos, may) = (calls.join("; "), errnos.join(", "), may.join("; or "));
        writeln!(table, "| {place} | {calls} | {errnos}{times} | {may} |").expect("a string");
    }
    table
}
