//! Threads that a pause stops, any number of them, and the least that stops them: one word that all look at, and a count of those
//! that have.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use palimpsest_runtime::sys::futex;

const RUN: u32 = 0;
const STOP: u32 = 1;
const END: u32 = 2;

/// Rounds of spinning before the one who stops them sleeps.
const SPINS: u32 = 200;

/// Threads that run while another makes pauses.
#[derive(Default)]
pub(crate) struct Gathering {
    word: AtomicU32,
    stopped: AtomicU32,
}

impl Gathering {
    /// A thread's life, until [`Gathering::end`].
    pub(crate) fn run(&self) {
        loop {
            match self.word.load(SeqCst) {
                END => return,
                STOP => {
                    self.stopped.fetch_add(1, SeqCst);
                    futex::wake_all(&self.stopped);
                    while self.word.load(SeqCst) == STOP {
                        futex::wait(&self.word, STOP, None);
                    }
                }
                _ => spin_loop(),
            }
        }
    }

    /// Stops so many threads and lets them go. How long it took until the last had stopped.
    pub(crate) fn stop(&self, threads: u32) -> Duration {
        self.stopped.store(0, SeqCst);
        let start = Instant::now();
        self.word.store(STOP, SeqCst);
        let mut spins = 0;
        let spent = loop {
            let stopped = self.stopped.load(SeqCst);
            if stopped == threads {
                break start.elapsed();
            }
            // The threads may be waiting for this very processor.
            if spins < SPINS {
                spin_loop()
            } else {
                futex::wait(&self.stopped, stopped, None)
            }
            spins += 1;
        };
        self.word.store(RUN, SeqCst);
        futex::wake_all(&self.word);
        // None of them counts itself twice.
        thread::sleep(Duration::from_millis(3));
        spent
    }

    /// Ends the threads.
    pub(crate) fn end(&self) {
        self.word.store(END, SeqCst);
    }
}
