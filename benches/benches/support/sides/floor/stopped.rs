//! A thread that a pause stops, and the least that stops it: one word.
//!
//! The pause's floor is this handshake around the work that needs a stopped world.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use palimpsest_runtime::sys::futex;
use palimpsest_runtime::sys::process::Hurry;

/// What the thread is to do, and what it has done.
const RUN: u32 = 0;
const STOP: u32 = 1;
const STOPPED: u32 = 2;
const END: u32 = 3;

/// Rounds of spinning before a thread sleeps.
const SPINS: u32 = 200;

/// Has not run again yet.
const NOT_YET: u64 = 0;

/// A thread that runs while others make pauses.
#[derive(Default)]
pub(crate) struct Bystander {
    word: AtomicU32,
    /// For how long the last pause kept the thread from running, in nanoseconds.
    kept: AtomicU64,
}

impl Bystander {
    /// The thread's life, until [`Bystander::end`]: looks for a stop all the time, of ours and by `poll`.
    pub(crate) fn run(&self, mut poll: impl FnMut()) {
        loop {
            poll();
            match self.word.load(SeqCst) {
                END => return,
                STOP => self.stop(),
                _ => spin_loop(),
            }
        }
    }

    fn stop(&self) {
        let start = Instant::now();
        self.word.store(STOPPED, SeqCst);
        futex::wake_all(&self.word);
        while self.word.load(SeqCst) == STOPPED {
            futex::wait(&self.word, STOPPED, None);
        }
        self.kept.store((start.elapsed().as_nanos() as u64).max(NOT_YET + 1), SeqCst);
    }

    /// Stops the thread, does `work`, and lets the thread go. The pause is what either side saw, whichever is longer, as in the
    /// collector's record; and the caller's priority is raised meanwhile, as the collector's is.
    pub(crate) fn pause<R>(&self, work: impl FnOnce() -> R) -> (R, Duration) {
        let hurry = Hurry::new();
        self.kept.store(NOT_YET, SeqCst);
        let start = Instant::now();
        self.word.store(STOP, SeqCst);
        let mut spins = 0;
        while self.word.load(SeqCst) == STOP {
            // The thread may be waiting for this very processor.
            if spins < SPINS {
                spin_loop()
            } else {
                futex::wait(&self.word, STOP, None)
            }
            spins += 1;
        }
        let result = work();
        self.word.store(RUN, SeqCst);
        futex::wake_all(&self.word);
        let own = start.elapsed();
        drop(hurry);
        let kept = loop {
            match self.kept.load(SeqCst) {
                NOT_YET => thread::sleep(Duration::from_micros(50)),
                nanoseconds => break Duration::from_nanos(nanoseconds),
            }
        };
        (result, own.max(kept))
    }

    /// Ends the thread.
    pub(crate) fn end(&self) {
        self.word.store(END, SeqCst);
    }
}
