//! Every system call goes through one room, `runtime/src/sys`, and there through `inject::check`.
//!
//! The sources are read: outside of that room nothing may make a system call, and in it a function that makes one asks
//! `check` first, or is listed here with the reason why nothing comes of its failing. An entry that is not needed any more is an
//! error too.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What makes a system call, as it is written in the sources.
const CALLS: &[&str] = &[
    "libc::",
    "rustix::",
    "std::fs::",
    "std::io::",
    "std::net::",
    "std::process::",
    "std::thread::available_parallelism",
    "std::thread::park",
    "std::thread::sleep",
    "std::thread::Builder",
    "std::thread::spawn",
    "File::open",
    "MmapOptions",
];

/// The same, by names that were imported: into the room, since an import is a path.
const IMPORTED: &[&str] = &[
    "ioctl::ioctl(",
    "eventfd(",
    "poll(",
    "getrlimit(",
    "clock_gettime(",
    "futex::wait(",
    "futex::wake(",
    ".spawn(",
    "self.uffd.",
];

/// What looks like one and is a type, a constant, or arithmetic.
const HARMLESS: &[&str] = &[
    "rustix::fd::",
    "rustix::ioctl::{",
    "rustix::ioctl;",
    "rustix::io::Errno",
    "rustix::io::DupFlags",
    "rustix::io::Result",
    "rustix::io::retry_on_intr",
    "rustix::process::Pid",
    "rustix::fs::Timespec",
    "rustix::fs::SeekFrom",
    "rustix::stdio::stderr",
    "std::io::Error",
    "std::fs::File,",
    "self.uffd.as_raw_fd()",
];

/// Functions of the room that make a call which does not pass the seam: file, function, why.
const EXEMPT: &[(&str, &str, &str)] = &[
    ("clock.rs", "monotonic_ns", "a clock that is there is read without a failure"),
    ("clock.rs", "process_cpu_ns", "as above"),
    ("clock.rs", "thread_id", "`gettid` has no error"),
    ("futex.rs", "wake_all", "waking fails only for an address that is none"),
    ("futex.rs", "wake_one", "as above"),
    ("futex.rs", "wake_all_shared", "as above"),
    ("futex.rs", "wake_one_shared", "as above"),
    ("futex.rs", "yield_now", "`sched_yield` has no error"),
    ("futex.rs", "nap", "an interrupted sleep is a shorter one"),
    ("inherited.rs", "replace", "closing: the number is free whatever the kernel answers"),
    ("limits.rs", "physical_memory", "`sysinfo` fails only for an address that is none"),
    ("limits.rs", "processors", "the standard library's own, which falls back to one"),
    ("memory.rs", "page_size", "asked of the C library's own memory"),
    ("process.rs", "strike_self", "made in tests only"),
    ("process.rs", "stop", "`abort` does not return; stopping a worker is for tests"),
    ("process.rs", "abort_now", "`abort` does not return"),
    ("process.rs", "say", "where the standard error is closed, nobody wants to know"),
    ("process.rs", "new", "a thread may always read its priority"),
    ("process.rs", "any_exit", "flags"),
    ("process.rs", "kernel_release", "`uname` fails only for an address that is none"),
    ("process.rs", "fmt", "as above"),
    ("process.rs", "has_parent", "`getppid` has no error"),
    ("process.rs", "kernel", "`uname` fails only for an address that is none"),
    ("process.rs", "own_pid", "`getpid` has no error"),
    ("process.rs", "exit_now", "`_exit` does not return"),
    (
        "process.rs",
        "end_unwatched",
        "the last resort, which nothing is behind: a process may kill its own child",
    ),
    ("signal.rs", "number", "numbers of signals"),
    ("signal.rs", "of", "as above"),
    ("signal.rs", "fmt", "names of signals"),
    ("signal.rs", "our_action", "constants, and a set of signals in memory"),
    ("signal.rs", "on_fault", "the place of `errno`, which is the thread's own"),
    ("signal.rs", "chain", "handlers and masks of valid numbers, in a handler that has nobody to tell"),
    ("signal.rs", "is_blocked", "a mask is read without a failure"),
    ("signal.rs", "with_signals_held", "a mask of valid numbers is set without a failure"),
    ("signal.rs", "fill_but_faults", "a set of signals in memory"),
    ("signal.rs", "with_all_blocked", "as `with_signals_held`"),
    ("signal.rs", "block_all", "as `with_signals_held`"),
    ("uffd.rs", "new", "a request of the device, behind the check of `open`"),
    ("uffd.rs", "handshake", "the request itself, behind the check of the function of the same name"),
];

/// Lines outside of the room that may stand: the end of the file's name, what stands there, why.
const OUTSIDE: &[(&str, &str, &str)] = &[
    ("runtime/src/sync.rs", "available_parallelism", "as `processors` of the room; a model has its own"),
    ("gc/src/core.rs", "std::process::id()", "`getpid` has no error"),
    ("gc/src/host_fork.rs", "std::process::id()", "as above"),
    ("gc/safe/src/context.rs", "std::process::id()", "`getpid` has no error"),
];

fn sources(of: &str) -> Vec<PathBuf> {
    fn walk(at: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(at).expect("a folder of sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(of), &mut found);
    found.sort();
    found
}

/// The lines of a file that are code and no test, with their numbers.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(path).expect("a source");
    let lines = text.lines().enumerate().map(|(k, line)| (k + 1, line));
    lines
        .take_while(|(_, line)| !line.contains("#[cfg(test)]"))
        .map(|(k, line)| (k, line.split("//").next().unwrap_or_default().to_owned()))
        .collect()
}

/// Whether the line makes a system call.
fn makes_call(line: &str, names: &[&str]) -> bool {
    let line = HARMLESS.iter().fold(line.to_owned(), |line, harmless| line.replace(harmless, ""));
    names.iter().any(|call| line.contains(call))
}

fn is_import(line: &str) -> bool {
    line.trim_start().starts_with("use ") || line.trim_start().starts_with("pub use ")
}

/// The name of the function that begins in this line.
fn function(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("fn ")?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    (end > 0).then_some(&rest[..end])
}

/// Functions of a file that make calls, and whether they check.
fn callers(path: &Path) -> Vec<(String, bool)> {
    let mut callers: Vec<(String, bool, bool)> = Vec::new();
    let is_lock = path.ends_with("lock.rs");
    for (_, line) in code(path) {
        if let Some(name) = function(&line) {
            callers.push((name.to_owned(), false, false));
        }
        if let Some((_, calls, checks)) = callers.last_mut() {
            // The lock's waiting is on `super::futex`, which checks. Types in a signature make no call.
            let makes = makes_call(&line, CALLS) || (!is_lock && makes_call(&line, IMPORTED));
            *calls |= makes && !is_import(&line) && function(&line).is_none() && !line.contains("->");
            *checks |= line.contains("check(") || line.contains("retry(Call::");
        }
    }
    callers.into_iter().filter(|(_, calls, _)| *calls).map(|(name, _, checks)| (name, checks)).collect()
}

#[test]
fn every_call_in_the_room_passes_the_seam() {
    let (mut wrong, mut used) = (String::new(), BTreeSet::new());
    let mut checked = 0;
    for path in sources("src/sys") {
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        for (name, checks) in callers(&path) {
            let exempt = EXEMPT.iter().find(|(f, n, _)| *f == file && *n == name);
            match exempt {
                _ if checks => checked += 1,
                Some(entry) => _ = used.insert((entry.0, entry.1)),
                None => writeln!(wrong, "{file}: {name} makes a system call and does not check")
                    .expect("a string"),
            }
        }
    }
    for (file, name, _) in EXEMPT {
        if !used.contains(&(*file, *name)) {
            writeln!(wrong, "{file}: {name} is listed and needs no exemption").expect("a string");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(checked > 35, "{checked} functions: the sources are not read as they should be");
}

#[test]
fn no_call_is_made_outside_of_the_room() {
    let (mut wrong, mut used) = (String::new(), BTreeSet::new());
    for folder in ["src", "../gc/src", "../gc/safe/src", "../gc/capi/src"] {
        for path in sources(folder) {
            let name = path.to_string_lossy().replace("runtime/../", "");
            if name.contains("runtime/src/sys/") {
                continue;
            }
            for (k, line) in code(&path).into_iter().filter(|(_, line)| makes_call(line, CALLS)) {
                match OUTSIDE.iter().find(|(file, what, _)| name.ends_with(file) && line.contains(what)) {
                    Some((file, ..)) => _ = used.insert(*file),
                    None => writeln!(wrong, "{name}:{k}: {}", line.trim()).expect("a string"),
                }
            }
        }
    }
    for (file, what, _) in OUTSIDE {
        if !used.contains(file) {
            writeln!(wrong, "{file}: {what} is listed and not there").expect("a string");
        }
    }
    assert!(wrong.is_empty(), "system calls that nobody can make fail:\n{wrong}");
}

/// What the scan takes for a call, and what not.
#[test]
fn the_scan_knows_a_call_when_it_sees_one() {
    for line in
        ["let x = unsafe { libc::mlock(p, n) };", "std::fs::write(a, b)", "rustix::mm::munmap(p, n)?;"]
    {
        assert!(makes_call(line, CALLS), "{line}");
    }
    assert!(makes_call("use rustix::mm::mmap;", CALLS), "an import outside of the room");
    for line in ["use rustix::fd::OwnedFd;", "parent: rustix::process::Pid,", "let x = 1;"] {
        assert!(!makes_call(line, CALLS), "{line}");
    }
    assert_eq!(function("pub(crate) unsafe fn a_name(x: u8)"), Some("a_name"));
    assert_eq!(function("let f: fn(usize) = g;"), None);
}
