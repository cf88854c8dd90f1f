//! Threads that use the heap, and bringing them all to a stop.
//!
//! Each attached thread has a [`MutatorState`] in one of three states:
//!
//! ```text
//!   Running ──poll sees the stop──▶ Parked ──the world resumes──▶ Running
//!      │                                                              ▲
//!      └──enters a blocking region──▶ Blocked ──leaves it, no stop────┘
//! ```
//!
//! To stop the world the collector raises the stop word and waits until no thread is `Running`. A thread that parks or
//! blocks has written its registers to its stack and noted where its stack ends, so that a scan sees every
//! reference it holds. A thread that leaves a blocking region while the world is stopped parks first.
//!
//! Stop word and states are written and read in opposite orders by the two sides (Dekker's pattern), hence `SeqCst`:
//! either the collector sees the thread running and waits for it, or the thread sees the stop.

mod registry;

pub use registry::{Registry, StoppedWorld};

use crate::sys::{clock, futex, stack};
use crate::unit::Address;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

const RUNNING: u32 = 0;
const PARKED: u32 = 1;
const BLOCKED: u32 = 2;

/// Rounds of spinning before a thread sleeps.
const SPINS: u32 = 200;

/// For how long a stopped thread, or the collector that waits for one to stop, keeps its processor busy rather than sleep,
/// where there are processors for all. A pause is half as long. A thread that sleeps leaves its processor to the new worker, and gets it back when that has used up its
/// time slice: some milliseconds, where the pause itself was a fraction of one.
const KEEP_PROCESSOR_NS: u64 = 1_000_000;

/// What the collector knows of one attached thread.
#[derive(Debug)]
pub struct MutatorState {
    state: AtomicU32,
    /// While not running: nothing of the thread's frames lies below.
    stack_top: AtomicUsize,
    /// The stack's highest address, if this thread's stack is to be scanned.
    stack_base: Option<Address>,
    /// The thread's number in the kernel.
    thread: u32,
}

impl MutatorState {
    fn new(stack_base: Option<Address>) -> Self {
        let thread = clock::thread_id();
        Self { state: AtomicU32::new(RUNNING), stack_top: AtomicUsize::new(0), stack_base, thread }
    }

    /// Notes the end of a thread that ended without detaching, if it did: it can be waited for no longer, and it has no
    /// stack any more.
    fn note_end(&self) {
        if !clock::thread_exists(self.thread) {
            self.stack_top.store(0, SeqCst);
            self.state.store(BLOCKED, SeqCst);
        }
    }

    /// The part of the stack to scan, lowest address first. Meaningful while the thread is stopped.
    pub fn stack(&self) -> Option<(Address, Address)> {
        let top = Address::new(self.stack_top.load(SeqCst));
        self.stack_base.filter(|base| top.as_usize() != 0 && top < *base).map(|base| (top, base))
    }
}

impl Registry {
    /// Whether a safepoint has something to do: a load and a compare.
    #[inline(always)]
    pub fn stop_wanted(&self) -> bool {
        // Relaxed: a late look stops a little later. What follows the stop is ordered in `park`.
        self.stop.load(Relaxed) != 0
    }

    /// Parks the calling thread while the world is to be stopped. References that the caller holds in registers or on its
    /// stack are seen by a stack scan meanwhile.
    #[cold]
    pub fn park(&self, own: &MutatorState) {
        stack::with_registers_on_stack(|top| {
            own.stack_top.store(top.as_usize(), SeqCst);
            self.leave_running(own, PARKED);
            self.return_to_running(own);
        });
    }

    /// Runs `f`, in which the calling thread does not touch the heap, without delaying a stop of the world.
    pub fn blocking<R>(&self, own: &MutatorState, f: impl FnOnce() -> R) -> R {
        /// Comes back also when `f` unwinds.
        struct Return<'a>(&'a Registry, &'a MutatorState);
        impl Drop for Return<'_> {
            fn drop(&mut self) {
                self.0.return_to_running(self.1);
            }
        }
        stack::with_registers_on_stack(|top| {
            own.stack_top.store(top.as_usize(), SeqCst);
            self.leave_running(own, BLOCKED);
            let _return = Return(self, own);
            f()
        })
    }

    fn leave_running(&self, own: &MutatorState, state: u32) {
        own.state.store(state, SeqCst);
        // Dekker: the collector raised `stop` before it looked at our state.
        if self.stop.load(SeqCst) != 0 {
            self.arrivals.fetch_add(1, SeqCst);
            futex::wake_all(&self.arrivals);
        }
    }

    fn return_to_running(&self, own: &MutatorState) {
        let mut waiting_since = 0;
        loop {
            let mut spins = 0;
            while self.stop.load(SeqCst) != 0 {
                if waiting_since == 0 {
                    waiting_since = clock::monotonic_ns();
                }
                let keep = spins < SPINS
                    || (self.may_spin.load(Relaxed)
                        && clock::monotonic_ns() - waiting_since < KEEP_PROCESSOR_NS);
                if keep {
                    spins += 1;
                    std::hint::spin_loop();
                } else {
                    futex::wait(&self.stop, 1, None);
                }
            }
            own.state.store(RUNNING, SeqCst);
            if self.stop.load(SeqCst) == 0 {
                if waiting_since != 0 {
                    self.longest_wait.fetch_max(clock::monotonic_ns() - waiting_since, SeqCst);
                }
                return;
            }
            // Stopped again in between: the collector may have seen us running and be waiting.
            self.leave_running(own, PARKED);
        }
    }
}
