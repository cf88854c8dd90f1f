//! Every system call goes through one room, `runtime/src/sys`, and there through `inject::check`.
//!
//! The sources are read: outside of that room nothing may make a system call, and in it a function asks `check` once for each
//! that it makes, or is listed here with how many it does not ask for, and why nothing comes of their failing. An entry that is not
//! right to the number is an error.
//!
//! What makes a call is told by its path, whatever was imported of it, and under what name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Crates and modules whose functions make system calls. A new dependency that makes some has to be entered; reading the clock by
/// `std::time` is none.
const CALLING: &[&str] = &[
    "libc",
    "memmap2",
    "nix",
    "rustix",
    "sc",
    "syscalls",
    "userfaultfd",
    "std::fs",
    "std::io",
    "std::net",
    "std::os::unix::net",
    "std::process",
    "std::thread",
];

/// Functions and modules among them that make none: arithmetic, types, and what is in memory.
const HARMLESS: &[&str] = &[
    "rustix::fd",
    "rustix::io::Errno",
    "rustix::io::retry_on_intr",
    "rustix::ioctl::opcode",
    "rustix::stdio::stderr",
    "std::thread::current",
    "std::thread::panicking",
    "libc::__errno_location",
    "libc::pthread_attr_destroy",
    "libc::pthread_attr_getstack",
    "libc::pthread_attr_init",
    "libc::pthread_attr_setstacksize",
    "libc::pthread_equal",
    "libc::pthread_self",
    "libc::sigaddset",
    "libc::sigdelset",
    "libc::sigfillset",
    "libc::sigismember",
];

/// Types among them of which to make a value is to make a call, or to be about to. Of others it is not.
const CALLING_TYPES: &[&str] = &[
    "memmap2",
    "std::fs",
    "std::net",
    "std::os::unix::net",
    "std::process::Command",
    "std::thread::Builder",
    "userfaultfd::UffdBuilder",
];

/// Names of a function and of a type.
const BOTH: &[&str] = &["libc::sigaction"];

/// Calls by a method, in the room: of a value that is there.
const METHODS: &[&str] = &[
    ".read_event(",
    ".read_exact(",
    ".read_to_end(",
    ".register_with_mode(",
    ".remove_write_protection(",
    ".unregister(",
    ".wake(",
    ".write_all(",
    ".write_protect(",
];

/// Calls without a name to tell them by: their text.
const NAMELESS: &[&str] = &["asm!(", "extern \"C\" {", "println!(", "print!(", "dbg!("];

/// Functions of the room with calls that do not pass the seam: file, function, how many, why.
const EXEMPT: &[(&str, &str, usize, &str)] = &[
    ("clock.rs", "monotonic_ns", 1, "a clock that is there is read without a failure"),
    ("clock.rs", "process_cpu_ns", 1, "as above"),
    ("clock.rs", "thread_id", 1, "`gettid` has no error"),
    ("clock.rs", "thread_exists", 1, "`getpid` has no error"),
    ("futex.rs", "wake_all", 1, "waking fails only for an address that is none"),
    ("futex.rs", "wake_one", 1, "as above"),
    ("futex.rs", "wake_all_shared", 1, "as above"),
    ("futex.rs", "wake_one_shared", 1, "as above"),
    ("futex.rs", "yield_now", 1, "`sched_yield` has no error"),
    ("futex.rs", "nap", 1, "an interrupted sleep is a shorter one"),
    ("inject.rs", "share", 1, "the switches' own memory"),
    ("inherited.rs", "replace", 1, "closing: the number is free whatever the kernel answers"),
    ("limits.rs", "check", 1, "`getrlimit` fails only for a limit that is none"),
    ("limits.rs", "physical_memory", 1, "`sysinfo` fails only for an address that is none"),
    ("limits.rs", "processors", 1, "the standard library's own, which falls back to one"),
    ("memory.rs", "copy_to", 1, "both ask by way of one closure"),
    ("memory.rs", "page_size", 1, "asked of the C library's own memory"),
    ("process.rs", "strike_self", 1, "made in tests only"),
    ("process.rs", "kill", 1, "the last resort, which nothing is behind"),
    ("process.rs", "stop", 1, "`abort` does not return; stopping a worker is for tests"),
    ("process.rs", "abort_now", 1, "`abort` does not return"),
    ("process.rs", "say", 1, "where the standard error is closed, nobody wants to know"),
    ("process.rs", "new", 1, "a thread may always read its priority"),
    ("process.rs", "fmt", 1, "`uname` fails only for an address that is none"),
    ("process.rs", "has_parent", 1, "`getppid` has no error"),
    ("process.rs", "kernel", 1, "`uname` fails only for an address that is none"),
    ("process.rs", "own_pid", 1, "`getpid` has no error"),
    ("process.rs", "exit_now", 1, "`_exit` does not return"),
    (
        "process.rs",
        "end_unwatched",
        1,
        "the last resort, which nothing is behind: a process may kill its own child",
    ),
    ("signal.rs", "chain", 4, "handlers and masks of valid numbers, in a handler that has nobody to tell"),
    ("signal.rs", "is_blocked", 1, "a mask is read without a failure"),
    ("signal.rs", "with_signals_held", 2, "a mask of valid numbers is set without a failure"),
    ("signal.rs", "with_all_blocked", 2, "as `with_signals_held`"),
    ("signal.rs", "block_all", 1, "as `with_signals_held`"),
    ("thread.rs", "join", 1, "waiting fails only for a thread that is none"),
    ("thread.rs", "drop", 1, "as above"),
    ("thread.rs", "run", 1, "a name is a wish"),
    ("uffd.rs", "open", 1, "one of the doors"),
    ("uffd.rs", "abandon", 1, "two steps of what fails as one"),
    ("uffd.rs", "new", 1, "a request of the device, behind the check of `open`"),
    ("uffd.rs", "handshake", 1, "the request itself, behind the check of the function of the same name"),
];

/// Lines outside of the room that may stand: the end of the file's name, what stands there, why.
const OUTSIDE: &[(&str, &str, &str)] = &[
    ("runtime/src/sync.rs", "available_parallelism", "as `processors` of the room; a model has its own"),
    ("runtime/src/sys/stack.rs", "asm!(", "stores registers"),
    ("gc/src/mark/marker.rs", "asm!(\"prfm", "prefetches"),
    ("gc/capi/src/opaque.rs", "std::thread::yield_now()", "`sched_yield` has no error"),
    ("gc/src/core.rs", "std::process::id()", "`getpid` has no error"),
    ("gc/src/host_fork.rs", "std::process::id()", "as above"),
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

/// What is imported in these lines, by the name that it has there; `*` for all of a module.
fn imports(code: &[(usize, String)]) -> BTreeMap<String, String> {
    let mut imported = BTreeMap::new();
    let mut statement: Option<String> = None;
    for (_, line) in code {
        if is_import(line) {
            statement = Some(String::new());
        }
        let Some(text) = &mut statement else { continue };
        text.push_str(line);
        if line.contains(';') {
            let tree = text.split_once("use ").map_or("", |(_, tree)| tree).replace(';', "");
            expand("", &tree, &mut imported);
            statement = None;
        }
    }
    imported
}

fn is_import(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("use ") || (line.starts_with("pub") && line.contains(" use "))
}

/// Enters the names of a tree of imports.
fn expand(prefix: &str, tree: &str, into: &mut BTreeMap<String, String>) {
    let tree = tree.trim();
    if let Some((head, rest)) = tree.split_once('{') {
        let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
        let (mut depth, mut from) = (0, 0);
        for (at, c) in inner.char_indices() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    expand(&format!("{prefix}{head}"), &inner[from..at], into);
                    from = at + 1;
                }
                _ => {}
            }
        }
        expand(&format!("{prefix}{head}"), &inner[from..], into);
        return;
    }
    let (path, name) = tree.split_once(" as ").unwrap_or((tree, ""));
    let path = format!("{prefix}{}", path.trim());
    let path = path.strip_suffix("::self").unwrap_or(&path);
    let last = path.rsplit("::").next().unwrap_or_default();
    if !last.is_empty() {
        into.insert(if name.is_empty() { last } else { name.trim() }.to_owned(), path.to_owned());
    }
}

/// The paths in a line that are no fields, methods, macros or lifetimes, each with its first name resolved; and whether it is called.
fn paths(line: &str, imported: &BTreeMap<String, String>) -> Vec<(String, bool)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = line;
    let mut before = ' ';
    while let Some(at) = rest.find(is_part) {
        before = rest[..at].chars().next_back().unwrap_or(before);
        let len = rest[at..].find(|c| !is_part(c)).unwrap_or(rest.len() - at);
        let path = rest[at..at + len].trim_matches(':');
        rest = &rest[at + len..];
        if !path.is_empty() && !matches!(before, '.' | '\'' | '"') && !rest.starts_with('!') {
            let (first, others) = path.split_once("::").unwrap_or((path, ""));
            let first = imported.get(first).map_or(first, String::as_str);
            let path = if others.is_empty() { first.to_owned() } else { format!("{first}::{others}") };
            found.push((path, rest.starts_with('(')));
        }
        before = ' ';
    }
    found
}

fn is_in(path: &str, module: &str) -> bool {
    path.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Whether a path leads to a function that makes a system call: types and constants begin with a capital, but for those of C.
fn makes_call(path: &str, is_called: bool) -> bool {
    let is_in_any = |modules: &[&str]| modules.iter().any(|module| is_in(path, module));
    let mut names = path.rsplit("::");
    let (last, before) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
    let is_of_c = |name: &str| name.starts_with("c_") || name.ends_with("_t");
    let is_of_type = before.starts_with(char::is_uppercase);
    is_in_any(CALLING)
        && !CALLING.contains(&path)
        && !is_in_any(HARMLESS)
        && (last == "*" || last.trim_start_matches('_').starts_with(char::is_lowercase))
        && !is_of_c(last)
        && !is_of_c(before)
        && (!is_of_type || is_in_any(CALLING_TYPES))
        && (is_called || !BOTH.contains(&path))
}

/// How many system calls the line makes by a path.
fn calls(line: &str, imported: &BTreeMap<String, String>) -> usize {
    paths(line, imported).iter().filter(|(path, is_called)| makes_call(path, *is_called)).count()
}

/// The name of the function that begins in this line.
fn function(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("fn ")?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
    (end > 0).then_some(&rest[..end])
}

/// Functions of a file that make calls: how many, and how many they ask for.
fn callers(code: &[(usize, String)]) -> Vec<(String, usize, usize)> {
    let imported = imports(code);
    let mut callers: Vec<(String, usize, usize)> = Vec::new();
    let mut in_import = false;
    for (_, line) in code {
        in_import |= is_import(line);
        if in_import {
            in_import = !line.contains(';');
            continue;
        }
        let mut rest = line.as_str();
        if let Some(name) = function(line) {
            callers.push((name.to_owned(), 0, 0));
            rest = line.split_once(name).map_or("", |(_, rest)| rest);
        }
        if let Some((_, makes, asks)) = callers.last_mut() {
            *makes += calls(rest, &imported);
            *makes += METHODS.iter().map(|method| rest.matches(method).count()).sum::<usize>();
            *asks += rest.matches("check(").count() + rest.matches("retry(Call::").count();
        }
    }
    callers.into_iter().filter(|(_, calls, _)| *calls > 0).collect()
}

#[test]
fn every_call_in_the_room_passes_the_seam() {
    let (mut wrong, mut used) = (String::new(), BTreeSet::new());
    let mut checked = 0;
    for path in sources("src/sys") {
        let file = path.file_name().expect("a name").to_string_lossy().into_owned();
        for (name, makes, asks) in callers(&code(&path)) {
            let listed = EXEMPT.iter().find(|(f, n, ..)| *f == file && *n == name);
            let exempt = listed.map_or(0, |(.., exempt, _)| *exempt);
            checked += asks.min(makes);
            let left = makes.saturating_sub(asks);
            if left != exempt {
                writeln!(
                    wrong,
                    "{file}: {name} makes {makes} calls, asks for {asks}, and {exempt} are exempt"
                )
                .expect("a string");
            }
            if let Some((f, n, ..)) = listed {
                used.insert((*f, *n));
            }
        }
    }
    for (file, name, ..) in EXEMPT {
        if !used.contains(&(*file, *name)) {
            writeln!(wrong, "{file}: {name} is listed and makes no call").expect("a string");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    assert!(checked > 40, "{checked} calls: the sources are not read as they should be");
}

#[test]
fn no_call_is_made_outside_of_the_room() {
    let (mut wrong, mut used) = (String::new(), BTreeSet::new());
    for folder in ["src", "../gc/src", "../gc/safe/src", "../gc/capi/src"] {
        for path in sources(folder) {
            let name = path.to_string_lossy().replace("runtime/../", "");
            let is_room = name.contains("runtime/src/sys/");
            let code = code(&path);
            let imported = imports(&code);
            for (k, line) in &code {
                let nameless = NAMELESS.iter().any(|text| line.contains(text));
                if !nameless && (is_room || calls(line, &imported) == 0) {
                    continue;
                }
                match OUTSIDE.iter().find(|(file, what, _)| name.ends_with(file) && line.contains(what)) {
                    Some((file, what, _)) => _ = used.insert((*file, *what)),
                    None => writeln!(wrong, "{name}:{k}: {}", line.trim()).expect("a string"),
                }
            }
        }
    }
    for (file, what, _) in OUTSIDE {
        if !used.contains(&(*file, *what)) {
            writeln!(wrong, "{file}: {what} is listed and not there").expect("a string");
        }
    }
    assert!(wrong.is_empty(), "system calls that nobody can make fail:\n{wrong}");
}

/// The calls of a text, and how many are asked for.
fn read(text: &str) -> Vec<(String, usize, usize)> {
    callers(&text.lines().enumerate().map(|(k, line)| (k, line.to_owned())).collect::<Vec<_>>())
}

#[test]
fn a_call_is_known_by_whatever_name_it_has() {
    let makes = |text: &str| read(text).first().map_or(0, |(_, makes, _)| *makes);
    for text in [
        "fn f() { libc::mlock(p, n) }",
        "use std::fs;\nfn f() { fs::write(a, b) }",
        "use std::{fmt, fs as files, io};\nfn f() {\n    files::write(a, b)\n}",
        "use std::fs::write;\nfn f() { write(a, b) }",
        "use rustix::mm::{self, mmap as m};\nfn f() { unsafe { m(p, n) } }",
        "use rustix::{\n    fd::OwnedFd,\n    mm::{munmap, MapFlags},\n};\nfn f() -> Result<(), E> { munmap(p, n) }",
        "fn f() { x.and_then(rustix::process::getppid) }",
        "fn f(\n    a: u8,\n) -> rustix::io::Result<()> { rustix::io::close(a) }",
        "use nix::unistd::fork;\nfn f() { fork() }",
    ] {
        assert_eq!(makes(text), 1, "{text}");
    }
    for text in [
        "use rustix::fd::OwnedFd;\nfn f(fd: OwnedFd) { OwnedFd::from_raw_fd(fd) }",
        "fn f(parent: rustix::process::Pid) -> libc::c_int { libc::SIGBUS }",
        "fn f() { self.write(a) }",
        "fn write() {}\nfn f() { write(a) }",
    ] {
        assert_eq!(makes(text), 0, "{text}");
    }
    let two = "fn f() {\n    check(Call::A)?;\n    rustix::mm::mmap(p)?;\n    rustix::mm::munmap(p)\n}";
    assert_eq!(read(two), [("f".to_owned(), 2, 1)], "one check is for one call");
}
