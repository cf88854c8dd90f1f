//! What is said of the attached threads when an invariant does not hold. Async-signal-safe.

use super::super::{BLOCKED, GONE, MutatorState, PARKED, PINNED, RUNNING};
use super::Registry;
use crate::crash::Account;
use crate::sync::Ordering::{Relaxed, SeqCst};
use crate::sys::clock;
use crate::sys::lock::HoldAcrossFork;
use std::sync::Arc;

/// Threads that are told of.
const MOST: usize = 16;

fn name(state: u32) -> &'static str {
    match state {
        RUNNING => "running",
        PARKED => "parked",
        BLOCKED => "in a blocking region",
        PINNED => "running, pinned",
        GONE => "detached",
        _ => "in no state that there is",
    }
}

impl Registry {
    /// Tells of the attached threads. `reporter` is the calling thread.
    pub fn testify(&self, account: &mut Account, reporter: u32) {
        let world = if self.stop.load(SeqCst) != 0 { "is stopped, or about to be" } else { "runs" };
        if let Some(threads) = self.threads.try_lock() {
            tell(account, &threads, reporter, world);
        } else if self.stopped_by.load(SeqCst) == clock::thread_mark() {
            // SAFETY: held by this thread, which has stopped the world; it does not change the list meanwhile.
            tell(account, unsafe { self.threads.held() }, reporter, world);
        } else {
            account
                .line("mutators", format_args!("the world {world}; their list is in use by another thread"));
        }
    }
}

fn tell(account: &mut Account, threads: &[Arc<MutatorState>], reporter: u32, world: &str) {
    let attached = threads.iter().filter(|thread| !thread.is_gone()).count();
    account.line("mutators", format_args!("{attached} attached; the world {world}"));
    for thread in threads.iter().take(MOST) {
        let number = thread.thread.load(Relaxed);
        let own = if number == reporter { " (it reports)" } else { "" };
        let (top, base) = (thread.stack_top.load(Relaxed), thread.stack_base);
        let state = name(thread.state.load(Relaxed));
        match base {
            Some(base) => account.line(
                "",
                format_args!("thread {number}{own} is {state}; its stack is scanned from {top:#x} to {base}"),
            ),
            None => {
                account.line("", format_args!("thread {number}{own} is {state}; its stack is not scanned"))
            }
        }
    }
    if threads.len() > MOST {
        account.line("", format_args!("and {} more", threads.len() - MOST));
    }
}
