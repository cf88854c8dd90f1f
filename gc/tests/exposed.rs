//! What others get to see of a heap: a worker, a program that is executed, and whoever gets hold of a memory file. The chapter
//! `docs/src/security.md` builds on it.

mod common;

use common::shapes::list;
use common::{Nodes, alone};
use palimpsest::{Heap, PlainPointers, Snapshot, StackScan};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// Kinds of descriptors that the collector has, as `/proc/PID/fd` names them.
const OURS: [&str; 5] = ["palimpsest-", "userfaultfd", "eventfd", "pagemap", "pidfd"];

/// The descriptors of a process, with what they are.
fn descriptors(of: &str) -> Vec<(i32, String)> {
    let links = std::fs::read_dir(format!("/proc/{of}/fd")).into_iter().flatten().flatten();
    let found = links.filter_map(|link| {
        let target = std::fs::read_link(link.path()).ok()?.to_string_lossy().into_owned();
        Some((link.file_name().to_str()?.parse().ok()?, target))
    });
    found.collect()
}

fn ours(descriptors: Vec<(i32, String)>) -> Vec<(i32, String)> {
    descriptors.into_iter().filter(|(_, target)| OURS.iter().any(|kind| target.contains(kind))).collect()
}

/// Heaps with every kind of descriptor.
fn heaps() -> Vec<Nodes> {
    let names = ["preimage/signal", "preimage/monitor", "preimage/protect", "forkcow/async", "stw"];
    let build = |name: &str| {
        let wish: palimpsest::Wish = name.parse().expect("a rung");
        let heap = Heap::builder(PlainPointers).limit(4 << 20).rung(wish).build();
        let heap = heap.map_err(|why| eprintln!("skipped: {why}")).ok()?;
        let kind = heap.define_layout(palimpsest::Layout::mask(0b11)).expect("a layout");
        Some(Nodes { heap, kind })
    };
    names.into_iter().filter_map(build).collect()
}

#[test]
fn a_program_that_is_executed_gets_no_descriptor() {
    let ended = alone("a_program_that_is_executed_gets_no_descriptor", || {
        let _heaps = heaps();
        let own = ours(descriptors("self"));
        assert!(own.len() > 20, "{own:?}");
        for (fd, target) in own {
            // SAFETY: asks for the flags of a descriptor.
            let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
            assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC, "{target}");
        }
        // By `fork` and `exec`: a hook in between keeps the standard library from its shorter way.
        let mut command = Command::new("ls");
        command.args(["-l", "/proc/self/fd"]);
        // SAFETY: the hook does nothing.
        unsafe { command.pre_exec(|| Ok(())) };
        let listed = String::from_utf8_lossy(&command.output().expect("ls").stdout).into_owned();
        assert!(listed.contains("/proc/"), "{listed}");
        assert!(!OURS.iter().any(|kind| listed.contains(kind)), "{listed}");
    });
    assert!(ended.is_none_or(|status| status.success()));
}

/// Closes the standard three while `f` runs.
fn with_none_of_the_standard_three<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: copies under other numbers. This process is the test's alone.
    let kept = [0, 1, 2].map(|fd| unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 500) });
    // SAFETY: nothing reads or writes meanwhile.
    (0..3).for_each(|fd| _ = unsafe { libc::close(fd) });
    let result = f();
    for (fd, kept) in kept.into_iter().enumerate() {
        // SAFETY: as they were before.
        unsafe { libc::dup2(kept, fd as i32) };
    }
    result
}

#[test]
fn no_descriptor_takes_the_place_of_a_standard_one() {
    let ended = alone("no_descriptor_takes_the_place_of_a_standard_one", || {
        let (heaps, own) = with_none_of_the_standard_three(|| {
            let heaps = heaps();
            for nodes in &heaps {
                let mut m = nodes.heap.attach(StackScan::None).expect("room for a thread");
                let _root = list(&mut m, nodes.kind, 100);
                m.collect();
            }
            (heaps, ours(descriptors("self")))
        });
        assert!(own.len() > 20 && heaps.iter().all(|nodes| nodes.heap.stats().cycles > 0), "{own:?}");
        assert!(own.iter().all(|(fd, _)| *fd > 2), "{own:?}");
    });
    assert!(ended.is_none_or(|status| status.success()));
}

#[test]
fn memory_files_are_sealed() {
    let _heaps = heaps();
    let files: Vec<_> =
        ours(descriptors("self")).into_iter().filter(|(_, t)| t.contains("palimpsest-")).collect();
    assert!(files.len() > 10, "{files:?}");
    for (fd, target) in files {
        // SAFETY: asks for the seals of a descriptor. Another test may have closed it by now.
        let seals = unsafe { libc::fcntl(fd, libc::F_GET_SEALS) };
        let wanted = libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
        assert!(seals == -1 || seals & wanted == wanted, "{target}: {seals:#x}");
    }
}

/// A worker in the middle of its work: what it has open, and its mappings of the collector's files.
struct Seen {
    descriptors: Vec<(i32, String)>,
    maps: Vec<(String, String)>,
}

/// Stops this process's workers until one is seen that has mapped the heap and closed what it does not need.
fn look_at_worker(done: &AtomicBool) -> Option<Seen> {
    let own = std::process::id().to_string();
    let mut last = None;
    while !done.load(SeqCst) {
        let children =
            std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        let others = std::fs::read_dir("/proc/self/task").expect("threads").flatten();
        let children = others.fold(children, |all, task| {
            all + &std::fs::read_to_string(task.path().join("children")).unwrap_or_default()
        });
        for pid in children.split_whitespace() {
            let send = |signal| {
                // SAFETY: a signal to a child of this process, or to one that is none any more.
                unsafe { libc::kill(pid.parse().expect("a number"), signal) }
            };
            send(libc::SIGSTOP);
            let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
            let maps: Vec<_> = maps
                .lines()
                .filter_map(|line| {
                    let (_, name) = line.split_once("/memfd:palimpsest-")?;
                    Some((name.split(' ').next()?.to_owned(), line.split(' ').nth(1)?.to_owned()))
                })
                .collect();
            let descriptors = descriptors(pid);
            send(libc::SIGCONT);
            if maps.iter().any(|(name, _)| name == "heap") && !descriptors.is_empty() {
                let is_closed = descriptors.iter().all(|(fd, _)| *fd <= 2);
                last = Some(Seen { descriptors, maps });
                if is_closed {
                    return last;
                }
            }
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    last
}

#[test]
fn a_worker_has_the_heap_read_only_and_no_descriptors() {
    let ended = alone("a_worker_has_the_heap_read_only_and_no_descriptors", || {
        let nodes = Nodes::new(Heap::builder(PlainPointers).limit(64 << 20).workers(1));
        if nodes.heap.stats().snapshot != Snapshot::Preimage {
            eprintln!("skipped: no pre-images here");
            return;
        }
        // The host's: a worker that held it would keep it from being at its end.
        let pipe = std::io::pipe().expect("a pipe");
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let _root = list(&mut m, nodes.kind, 300_000);
        let done = AtomicBool::new(false);
        let seen = std::thread::scope(|s| {
            let looker = s.spawn(|| look_at_worker(&done));
            for _ in 0..50 {
                m.collect();
                if looker.is_finished() {
                    break;
                }
            }
            done.store(true, SeqCst);
            looker.join().expect("no panic").expect("a worker at work")
        });
        drop(pipe);
        for (name, access) in &seen.maps {
            let is_read_only = matches!(name.as_str(), "heap" | "pages" | "preimages");
            assert_eq!(access, if is_read_only { "r--s" } else { "rw-s" }, "{name}");
        }
        let files: std::collections::BTreeSet<&str> =
            seen.maps.iter().map(|(name, _)| name.as_str()).collect();
        assert!(
            ["heap", "pages", "preimages", "metadata", "record"].iter().all(|name| files.contains(name)),
            "{files:?}"
        );
        // SAFETY: a range in which there is no descriptor.
        if unsafe { libc::syscall(libc::SYS_close_range, 1 << 20, 1 << 20, 0) } == 0 {
            assert!(seen.descriptors.iter().all(|(fd, _)| *fd <= 2), "{:?}", seen.descriptors);
        } else {
            eprintln!("skipped: this kernel has no close_range");
        }
    });
    assert!(ended.is_none_or(|status| status.success()));
}
