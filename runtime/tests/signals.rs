//! `SIGBUS` is shared: what is not the barrier's reaches who was there before.
//!
//! Handlers are the process's and the outcome may be its end, so each case runs in a process of its own: this program
//! again, with the case's name and a mark in its environment.

mod common;

use common::alone;
use palimpsest_runtime::barrier::{Barrier, DeliveryKind};
use palimpsest_runtime::ladder::Machine;
use palimpsest_runtime::mapping::{Backing, HeapMapping};
use palimpsest_runtime::{Bytes, PageRange};
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

fn barrier() -> Option<Arc<Barrier>> {
    match Machine::look().delivers(DeliveryKind::Signal, None, Backing::Shared) {
        Ok(()) => {
            let heap = Arc::new(HeapMapping::reserve(Bytes::mib(2), Backing::Shared).expect("a heap"));
            Some(Barrier::new(heap, DeliveryKind::Signal, None, Bytes::mib(2)).expect("a barrier"))
        }
        Err(missing) => {
            eprintln!("skipped: {missing}");
            None
        }
    }
}

type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// Installs a handler for `SIGBUS` and returns the one before.
fn install(handler: Handler) -> usize {
    // SAFETY: zeroed actions are valid, and the handler keeps to what a handler may do.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut before: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        assert_eq!(libc::sigaction(libc::SIGBUS, &action, &mut before), 0);
        before.sa_sigaction
    }
}

extern "C" fn first(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: ends the process.
    unsafe { libc::_exit(42) }
}

static BEFORE_HOST: AtomicUsize = AtomicUsize::new(0);
static HOST_CALLS: AtomicUsize = AtomicUsize::new(0);

/// A handler as the contract wants it: passes on what it does not know.
extern "C" fn host(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if HOST_CALLS.fetch_add(1, SeqCst) > 100 {
        // SAFETY: ends the process.
        unsafe { libc::_exit(1) }
    }
    // SAFETY: the handler that was installed before, which takes these arguments.
    let before: Handler = unsafe { std::mem::transmute(BEFORE_HOST.load(SeqCst)) };
    before(signal, info, context);
}

#[test]
fn a_foreign_signal_reaches_the_first_handler_past_a_host_and_two_heaps() {
    let status = alone("a_foreign_signal_reaches_the_first_handler_past_a_host_and_two_heaps", || {
        install(first);
        let Some(_one) = barrier() else { std::process::exit(42) };
        BEFORE_HOST.store(install(host), SeqCst);
        let two = barrier().expect("a second barrier");
        // The barrier's own faults come through the host's handler as well.
        let pages = PageRange::new(0, 1);
        two.note_dirty(pages);
        two.arm_round(|_| palimpsest_runtime::barrier::Choice::All).expect("an armed page");
        // SAFETY: the heap's first word.
        unsafe { two.heap().base().as_ptr::<u64>().write_volatile(1) };
        assert_eq!((two.counts().trapped, HOST_CALLS.load(SeqCst)), (1, 1));
        // SAFETY: sends a signal to this thread.
        unsafe { libc::raise(libc::SIGBUS) };
    });
    if let Some(status) = status {
        assert_eq!(status.code(), Some(42), "{status}");
    }
}

#[test]
fn a_genuine_fault_ends_the_process_as_it_would_without_us() {
    let status = alone("a_genuine_fault_ends_the_process_as_it_would_without_us", || {
        let _barrier = barrier();
        // A page of a file that has none.
        // SAFETY: a new mapping, whose first word is read.
        unsafe {
            let fd = libc::memfd_create(c"empty".as_ptr(), 0);
            let flags = libc::MAP_SHARED;
            let page = libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ, flags, fd, 0);
            assert_ne!(page, libc::MAP_FAILED);
            page.cast::<u64>().read_volatile();
        }
        unreachable!("the read did not fault");
    });
    if let Some(status) = status {
        assert_eq!(status.signal(), Some(libc::SIGBUS), "{status}");
    }
}

#[test]
fn rusts_own_message_for_a_stack_overflow_still_comes() {
    fn recurse(depth: u64) -> u64 {
        let frame = std::hint::black_box([depth; 64]);
        if depth == u64::MAX { 0 } else { recurse(depth + 1) + frame[3] }
    }
    let status = alone("rusts_own_message_for_a_stack_overflow_still_comes", || {
        let _barrier = barrier();
        std::hint::black_box(recurse(0));
    });
    if let Some(status) = status {
        assert_eq!(status.signal(), Some(libc::SIGABRT), "{status}");
    }
}

/// Rust's handler answers a signal that is not its own by taking all handlers away.
#[test]
fn a_signal_that_was_sent_does_not_take_the_barrier_away() {
    let status = alone("a_signal_that_was_sent_does_not_take_the_barrier_away", || {
        let Some(barrier) = barrier() else { return };
        barrier.note_dirty(PageRange::new(0, 2));
        barrier.arm_round(|_| palimpsest_runtime::barrier::Choice::All).expect("armed pages");
        // SAFETY: sends a signal to this thread, then writes to the heap.
        unsafe {
            libc::raise(libc::SIGBUS);
            barrier.heap().base().as_ptr::<u64>().write_volatile(1);
        }
        assert_eq!(barrier.counts().trapped, 1);
    });
    if let Some(status) = status {
        assert!(status.success(), "{status}");
    }
}
