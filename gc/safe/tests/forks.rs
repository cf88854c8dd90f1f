//! Children that the host forks.

mod support;

use palimpsest_safe::{Arena, Gc, Rootable, Static};
use std::cell::RefCell;
use std::process::Command;

type Numbers<'gc> = RefCell<Vec<Gc<'gc, u64>>>;

/// Runs `child` in a fork of this process; its exit status.
fn fork(child: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child does what a child may that has no other threads, and does not return.
    match unsafe { libc::fork() } {
        -1 => panic!("no fork"),
        0 => {
            let status = child();
            // SAFETY: no precondition.
            unsafe { libc::_exit(status) }
        }
        pid => {
            let mut status = 0;
            // SAFETY: a child of this process.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 }
        }
    }
}

type Root = Rootable!['gc => (Numbers<'gc>, Gc<'gc, Static<support::Dropped>>)];

fn arena(options: &str, drops: &support::Drops) -> Arena<Root> {
    let builder = Arena::<Root>::builder().limit(16 << 20).options(options).unwrap();
    let mut arena = builder.build(|mc| (RefCell::default(), Gc::new(mc, Static(drops.one())))).unwrap();
    arena.mutate(|mc, root| root.0.borrow_mut().extend((0..1000).map(|k| Gc::new(mc, k))));
    arena
}

#[test]
fn a_child_without_a_heap_may_drop_an_arena_and_drops_no_values() {
    let drops = support::Drops::default();
    let mut arena = Some(arena("", &drops));
    let status = fork(|| {
        drop(arena.take());
        drops.count() as i32
    });
    assert_eq!(status, 0);
    drop(arena);
    assert_eq!(drops.count(), 1);
}

#[test]
fn a_child_with_a_copy_goes_on_with_it() {
    let drops = support::Drops::default();
    let mut arena = Some(arena("host-fork=copy", &drops));
    let status = fork(|| {
        let mut arena = arena.take().expect("the copy");
        for k in 1000..2000 {
            arena.mutate(|mc, root| root.0.borrow_mut().push(Gc::new(mc, k)));
        }
        arena.collect();
        let right = arena.mutate(|_, root| root.0.borrow().iter().map(|number| **number).eq(0..2000));
        drop(arena);
        if right && drops.count() == 1 { 7 } else { 1 }
    });
    assert_eq!(status, 7);
    let arena = arena.as_mut().expect("the parent's");
    arena.collect();
    arena.mutate(|_, root| assert!(root.0.borrow().iter().map(|number| **number).eq(0..1000)));
}

/// In a process of its own: there are no descriptors meanwhile.
#[test]
fn a_child_whose_copy_was_refused_may_drop_an_arena_and_drops_no_values() {
    let name = "a_child_whose_copy_was_refused_may_drop_an_arena_and_drops_no_values";
    if !std::env::args().any(|arg| arg == "--exact") {
        let this = std::env::current_exe().expect("this test's program");
        let status = Command::new(this).args(["--exact", name, "--nocapture"]).status();
        assert!(status.expect("this test again").success());
        return;
    }
    let drops = support::Drops::default();
    let mut arena = Some(arena("host-fork=copy", &drops));
    let all = limit_of_descriptors(None);
    limit_of_descriptors(Some(libc::rlimit { rlim_cur: 3, ..all }));
    let status = fork(|| {
        drop(arena.take());
        7 + drops.count() as i32
    });
    limit_of_descriptors(Some(all));
    assert_eq!(status, 7);
    drop(arena);
    assert_eq!(drops.count(), 1);
}

/// The limit as it is, or was before it was set.
fn limit_of_descriptors(new: Option<libc::rlimit>) -> libc::rlimit {
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both are limits.
    let got = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut old) };
    // SAFETY: likewise.
    let set = new.map_or(0, |new| unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const new) });
    assert_eq!((got, set), (0, 0));
    old
}
