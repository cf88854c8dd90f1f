//! Waiting on a word, for the places where a lock cannot be used: between the collector and stopping mutators,
//! and in the trap handler. All of it is async-signal-safe.

use super::inject::{Call, check};
use rustix::thread::futex::{self, Flags};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Waits until `word` is woken, differs from `expected`, a signal arrives, or `limit` has passed. The caller
/// looks again at the word in every case.
pub fn wait(word: &AtomicU32, expected: u32, limit: Option<Duration>) {
    let limit = limit.map(timespec);
    // Every outcome means the same to the caller: look again.
    let _ = check(Call::FutexWait).and_then(|()| futex::wait(word, Flags::PRIVATE, expected, limit.as_ref()));
}

/// Wakes all that wait on `word`.
pub fn wake_all(word: &AtomicU32) {
    let _ = futex::wake(word, Flags::PRIVATE, i32::MAX as u32);
}

/// Wakes one that waits on `word`.
pub fn wake_one(word: &AtomicU32) {
    let _ = futex::wake(word, Flags::PRIVATE, 1);
}

/// As [`wait`], for a word in memory shared with other processes.
pub fn wait_shared(word: &AtomicU32, expected: u32, limit: Duration) {
    let _ = check(Call::FutexWait)
        .and_then(|()| futex::wait(word, Flags::empty(), expected, Some(&timespec(limit))));
}

/// More seconds than the kernel's type holds are as many as it holds: an invalid time would be no wait at all.
fn timespec(limit: Duration) -> rustix::fs::Timespec {
    let seconds = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
    rustix::fs::Timespec { tv_sec: seconds, tv_nsec: limit.subsec_nanos().into() }
}

/// As [`wake_all`], for a word in memory shared with other processes.
pub fn wake_all_shared(word: &AtomicU32) {
    let _ = futex::wake(word, Flags::empty(), i32::MAX as u32);
}

/// As [`wake_one`], for a word in memory shared with other processes.
pub fn wake_one_shared(word: &AtomicU32) {
    let _ = futex::wake(word, Flags::empty(), 1);
}

/// Lets another thread have this one's processor.
pub fn yield_now() {
    rustix::thread::sched_yield();
}

/// Lets other threads and processes run for a moment: longer the higher the round.
pub fn pause_briefly(round: u32) {
    if round < 64 {
        std::hint::spin_loop();
    } else if round < 80 {
        yield_now();
    } else {
        nap(Duration::from_micros(50));
    }
}

/// Sleeps for less than a second.
pub fn nap(time: Duration) {
    let time = rustix::fs::Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
    // An interrupted nap is a shorter nap.
    let _ = rustix::thread::nanosleep(&time);
}
