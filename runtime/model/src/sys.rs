//! The operating system, as far as the protocols see it.

#[path = "../../src/sys/lock.rs"]
pub mod lock;

pub use rustix::io::Errno;

/// Sleeping on a word. The kernel looks at the word and puts the thread to sleep under one lock, which whoever wakes takes
/// too; so do we. A limit passes at once where a process may die, which then does not ring, and else never: who relies on it is
/// found to be stuck.
pub mod futex {
    use crate::sync::{AtomicU32, checker};
    use std::collections::HashMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::time::Duration;

    #[derive(Default)]
    struct Sleepers {
        lock: checker::sync::Mutex<()>,
        woken: checker::sync::Condvar,
    }

    static LIMITS_PASS: AtomicBool = AtomicBool::new(false);

    /// Whether limits pass.
    pub fn let_limits_pass(pass: bool) {
        LIMITS_PASS.store(pass, Relaxed);
    }

    static WORDS: std::sync::Mutex<Option<HashMap<usize, Arc<Sleepers>>>> = std::sync::Mutex::new(None);

    /// Before each schedule: words of an earlier one mean nothing.
    pub fn forget_all() {
        let old = WORDS.lock().unwrap_or_else(|e| e.into_inner()).take();
        // They belong to a run of the checker that is over.
        std::mem::forget(old);
    }

    fn sleepers(word: &AtomicU32) -> Arc<Sleepers> {
        let mut words = WORDS.lock().unwrap_or_else(|e| e.into_inner());
        words.get_or_insert_default().entry(std::ptr::from_ref(word).addr()).or_default().clone()
    }

    pub fn wait(word: &AtomicU32, expected: u32, limit: Option<Duration>) {
        if limit.is_some() && LIMITS_PASS.load(Relaxed) {
            return yield_now();
        }
        let sleepers = sleepers(word);
        let guard = sleepers.lock.lock().unwrap();
        // Relaxed: a store that came before a wake is seen by way of the lock, and others need not be.
        if word.peek() == expected {
            drop(sleepers.woken.wait(guard).unwrap());
        }
    }

    pub fn wait_shared(word: &AtomicU32, expected: u32, limit: Duration) {
        wait(word, expected, Some(limit));
    }

    pub fn wake_all(word: &AtomicU32) {
        let sleepers = sleepers(word);
        let _guard = sleepers.lock.lock().unwrap();
        sleepers.woken.notify_all();
    }

    pub fn wake_one(word: &AtomicU32) {
        let sleepers = sleepers(word);
        let _guard = sleepers.lock.lock().unwrap();
        sleepers.woken.notify_one();
    }

    pub fn wake_all_shared(word: &AtomicU32) {
        wake_all(word);
    }

    pub fn wake_one_shared(word: &AtomicU32) {
        wake_one(word);
    }

    /// So many rounds of waiting are for ever: each lets all others run, as far as they can.
    const FOR_EVER: u32 = 200;

    pub fn pause_briefly(round: u32) {
        assert!(round < FOR_EVER, "somebody waits for ever");
        yield_now();
    }

    pub fn yield_now() {
        checker::thread::yield_now();
    }

    pub fn nap(_time: Duration) {
        yield_now();
    }
}

/// Time stands still.
pub mod clock {
    pub fn monotonic_ns() -> u64 {
        0
    }

    pub fn process_cpu_ns() -> u64 {
        0
    }

    pub fn thread_id() -> u32 {
        1
    }

    pub fn thread_mark() -> u64 {
        1
    }

    pub fn thread_exists(_id: u32) -> bool {
        true
    }

    pub fn processor() -> i32 {
        0
    }
}

pub mod signal {
    use std::fmt;

    #[derive(Copy, Clone, PartialEq, Eq, Debug)]
    pub enum Fault {
        Bus,
    }

    impl fmt::Display for Fault {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("SIGBUS")
        }
    }

    pub fn is_blocked(_fault: Fault) -> bool {
        false
    }

    pub fn with_signals_held<R>(f: impl FnOnce() -> R) -> R {
        f()
    }
}

/// No stack is scanned.
pub mod stack {
    use crate::unit::Address;

    pub fn stack_base() -> Option<Address> {
        None
    }

    pub fn with_registers_on_stack<R>(f: impl FnOnce(Address) -> R) -> R {
        f(Address::new(1))
    }
}

/// Nobody forks.
pub mod generation {
    #[derive(Debug, Default)]
    pub struct Home(());

    impl Home {
        pub fn new() -> Self {
            Self(())
        }

        pub fn is_past(&self) -> bool {
            false
        }

        pub fn move_here(&self) {}
    }
}

pub mod event {
    use super::Errno;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[derive(Debug)]
    pub struct Event(AtomicBool);

    impl Event {
        pub fn new() -> Result<Self, Errno> {
            Ok(Self(AtomicBool::new(false)))
        }

        pub fn raise(&self) {
            self.0.store(true, Ordering::SeqCst);
        }

        pub fn is_raised(&self) -> bool {
            self.0.load(Ordering::SeqCst)
        }
    }
}

pub mod process {
    pub fn stop(why: &str) -> ! {
        panic!("{why}");
    }
}

pub mod uffd {
    #[derive(Copy, Clone, PartialEq, Eq, Debug)]
    pub enum Door {}
}
