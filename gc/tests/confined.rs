//! A process that may do little: no userfaultfd, no rights, no processes. The heap takes the rung that is left, says why,
//! and works; a rung that is forced is refused with what to change.
//!
//! Filters and limits are the process's and cannot be undone, so each case runs in a process of its own.

mod common;

use common::{Nodes, alone, new_node, number_of};
use palimpsest::{Address, DeliveryKind, Heap, PlainPointers, Snapshot, StackScan, Stats, Wish, ladder};

/// A system call that is denied, with the error; for `clone`, only where this bit of its flags is set.
struct Denied {
    call: libc::c_long,
    flag: u32,
}

const ANY: u32 = 0;
const USERFAULTFD: Denied = Denied { call: libc::SYS_userfaultfd, flag: ANY };
const MEMFD: Denied = Denied { call: libc::SYS_memfd_create, flag: ANY };
const FORK: Denied = Denied { call: libc::SYS_clone, flag: libc::CLONE_PIDFD as u32 };
const IOCTL: Denied = Denied { call: libc::SYS_ioctl, flag: ANY };

/// Has the kernel answer `EPERM` to this call, for the rest of the process's life.
fn deny(denied: &Denied) {
    answer(denied, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
}

/// Has the kernel do this at this call.
fn answer(denied: &Denied, action: u32) {
    let statement = |code: u32, k: u32, jt: u8, jf: u8| libc::sock_filter { code: code as u16, jt, jf, k };
    let load = |offset| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
    let (number, low_half_of_first_argument) = (0, 16);
    let filter = [
        load(number),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, denied.call as u32, 0, 3),
        load(low_half_of_first_argument),
        // Without a flag to look for, everything is denied.
        if denied.flag == ANY {
            statement(libc::BPF_JMP | libc::BPF_JA, 0, 0, 0)
        } else {
            statement(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, denied.flag, 0, 1)
        },
        statement(libc::BPF_RET | libc::BPF_K, action, 0, 0),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program and its statements live during the calls; TSYNC puts the filter on all threads.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let (set, all) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_TSYNC);
        assert_eq!(libc::syscall(libc::SYS_seccomp, set, all, &raw const program), 0, "seccomp");
    }
}

/// Gives up the rights of root, if the process has them.
fn become_nobody() {
    // SAFETY: changes the process's user; nothing here depends on it. Its own files in /proc stay readable.
    unsafe {
        if libc::geteuid() == 0 {
            assert_eq!(libc::setresuid(65534, 65534, 65534), 0);
            libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
        }
    }
}

/// Works on a heap, checks the result, and returns what the heap says.
fn work(nodes: &Nodes) -> Stats {
    let mut m = nodes.heap.attach(StackScan::Conservative).unwrap();
    let mut list = std::ptr::null_mut();
    for number in 0..20_000 {
        list = new_node(&mut m, nodes.kind, list, number);
        if number % 5_000 == 0 {
            m.collect();
        }
    }
    for number in (0..20_000).rev() {
        assert_eq!(number_of(list), number);
        // SAFETY: a live node.
        list = unsafe { (*list).next };
    }
    nodes.heap.stats()
}

fn builder() -> palimpsest::HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(32 << 20).verify(true)
}

fn wish(text: &str) -> Wish {
    text.parse().expect("a rung")
}

/// The case in a process of its own, without a rung that is forced from outside.
fn confined(name: &str, case: impl FnOnce()) {
    if std::env::var_os(ladder::VARIABLE).is_some() {
        eprintln!("skipped: {} is set, and this test is about the heap's own choice", ladder::VARIABLE);
        return;
    }
    if let Some(status) = alone(name, case) {
        assert!(status.success(), "{status}");
    }
}

#[test]
fn without_a_userfaultfd_mprotect_does_it() {
    confined("without_a_userfaultfd_mprotect_does_it", || {
        become_nobody();
        deny(&USERFAULTFD);
        let stats = work(&Nodes::new(builder()));
        assert_eq!((stats.snapshot, stats.delivery), (Snapshot::Preimage, "protect"), "{stats}");
        let why = stats.degraded.as_deref().unwrap_or_default();
        assert!(why.contains("seccomp") && why.contains("/dev/userfaultfd"), "{stats}");
        assert_eq!((stats.failures, stats.fallbacks), (0, 0), "{stats}");

        for forced in ["preimage/signal", "preimage/monitor", "preimage/signal/user-call", "forkcow/async"] {
            let why = builder().rung(wish(forced)).build().expect_err(forced).to_string();
            for part in [forced, "asked for by the program", "seccomp profile"] {
                assert!(why.contains(part), "{why}");
            }
        }
        for forced in ["preimage/protect", "preimage", "forkcow", "stw"] {
            let stats = work(&Nodes::new(builder().rung(wish(forced))));
            assert!(stats.rung.starts_with(forced) && stats.failures == 0, "{stats}");
        }
    });
}

/// `UFFD_USER_MODE_ONLY`.
const USER_MODE_ONLY: i32 = 1;

#[test]
fn a_nobody_has_the_best_rung_where_the_kernel_allows_it() {
    confined("a_nobody_has_the_best_rung_where_the_kernel_allows_it", || {
        become_nobody();
        let nodes = Nodes::new(builder());
        let stats = work(&nodes);
        let chosen = nodes.heap.ladder().chosen();
        // SAFETY: makes a descriptor, which is closed with the process.
        let is_open = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | USER_MODE_ONLY) } >= 0;
        match nodes.heap.ladder().degraded() {
            None => assert_eq!(chosen.delivery, Some(DeliveryKind::Signal), "{stats}"),
            // A kernel without what the rung needs says since when there is that.
            Some(why) if !is_open || why.to_string().contains("the kernel lacks") => {
                eprintln!("skipped: {why}")
            }
            Some(why) => panic!("a userfaultfd can be had, and the heap is on {chosen}: {why}"),
        }
        assert_eq!((stats.failures, stats.fallbacks), (0, 0), "{stats}");
    });
}

#[test]
fn the_environment_forces_a_rung_and_the_program_comes_first() {
    confined("the_environment_forces_a_rung_and_the_program_comes_first", || {
        // SAFETY: no other thread of this process reads the environment at this moment.
        unsafe { std::env::set_var(ladder::VARIABLE, "forkcow") };
        let stats = work(&Nodes::new(builder()));
        assert!(stats.snapshot == Snapshot::ForkCow && stats.ladder.contains(ladder::VARIABLE), "{stats}");
        let stats = work(&Nodes::new(builder().rung(Snapshot::StopTheWorld)));
        assert_eq!(stats.snapshot, Snapshot::StopTheWorld);
        for nonsense in ["fast", "preimage/async", "preimage/signal/window"] {
            // SAFETY: as above.
            unsafe { std::env::set_var(ladder::VARIABLE, nonsense) };
            let why = builder().build().unwrap_err().to_string();
            assert!(why.contains(ladder::VARIABLE) && why.contains(nonsense), "{why}");
        }
    });
}

#[test]
fn without_memory_files_there_is_no_heap_and_the_error_says_why() {
    confined("without_memory_files_there_is_no_heap_and_the_error_says_why", || {
        deny(&MEMFD);
        let why = builder().build().unwrap_err().to_string();
        assert!(why.contains("memfd_create answers") && why.contains("seccomp"), "{why}");
    });
}

#[test]
fn without_fork_the_world_is_stopped_from_the_start() {
    confined("without_fork_the_world_is_stopped_from_the_start", || {
        deny(&FORK);
        let stats = work(&Nodes::new(builder()));
        assert_eq!(stats.snapshot, Snapshot::StopTheWorld, "{stats}");
        assert!(stats.degraded.is_some_and(|why| why.contains("forking a worker")), "{}", stats.ladder);
        let why = builder().rung(wish("preimage")).build().unwrap_err().to_string();
        assert!(why.contains("forking a worker"), "{why}");
    });
}

/// A filter that ends the process for a call is as if the call were never made, on a rung that does not need it.
#[test]
fn stopping_the_world_needs_neither_userfaultfd_nor_fork() {
    confined("stopping_the_world_needs_neither_userfaultfd_nor_fork", || {
        for denied in [USERFAULTFD, FORK] {
            answer(&denied, libc::SECCOMP_RET_KILL_PROCESS);
        }
        let stats = work(&Nodes::new(builder().rung(Snapshot::StopTheWorld)));
        assert!(stats.degraded.is_none() && stats.fallbacks == 0 && stats.cycles >= 4, "{stats}");
    });
}

#[test]
fn fork_that_is_denied_later_costs_pauses_only() {
    confined("fork_that_is_denied_later_costs_pauses_only", || {
        become_nobody();
        let nodes = Nodes::new(builder());
        if nodes.heap.stats().snapshot == Snapshot::StopTheWorld {
            eprintln!("skipped: no workers here");
            return;
        }
        let none = libc::rlimit { rlim_cur: 1, rlim_max: 1 };
        // SAFETY: lowers this process's own limit.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &none) }, 0);
        let stats = work(&nodes);
        assert!(stats.fallbacks >= 4 && stats.failures == 0, "{stats}");
        assert!(stats.last_trouble.as_deref().is_some_and(|why| why.contains("RLIMIT_NPROC")), "{stats}");
    });
}

#[test]
fn ioctls_that_are_denied_later_end_the_barrier_and_nothing_else() {
    confined("ioctls_that_are_denied_later_end_the_barrier_and_nothing_else", || {
        let nodes = Nodes::new(builder());
        let mut m = nodes.heap.attach(StackScan::None).unwrap();
        let old = new_node(&mut m, nodes.kind, std::ptr::null_mut(), 1);
        let root = nodes.heap.handle(Address::from_ptr(old));
        // Its page is armed from here on.
        m.collect();
        deny(&IOCTL);
        // SAFETY: a live node. The page cannot be opened by an ioctl: its userfaultfd is closed instead.
        unsafe { (*old).other = old };
        assert_eq!(number_of(old), 1);
        drop((root, m));
        let stats = work(&nodes);
        assert_eq!(stats.failures, 0, "{stats}");
        if stats.delivery == "signal" {
            assert!(stats.fallbacks >= 4, "{stats}");
            assert!(stats.degraded.is_some_and(|why| why.contains("given up")));
        }
    });
}
