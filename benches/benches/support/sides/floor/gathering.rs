//! Threads that a pause stops, any number of them, and the least that stops them: one word that all look at, and a count of those
//! that have.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use palimpsest_runtime::sys::futex;

/// The threads' end. Else an even word lets them run, and an odd one stops them; each is used once.
const END: u32 = u32::MAX;

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
                stop if stop % 2 == 1 => {
                    self.stopped.fetch_add(1, SeqCst);
                    futex::wake_all(&self.stopped);
                    // A thread that sleeps until after the next stop finds another word, and counts itself for that.
                    while self.word.load(SeqCst) == stop {
                        futex::wait(&self.word, stop, None);
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
        self.word.fetch_add(1, SeqCst);
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
        self.word.fetch_add(1, SeqCst);
        futex::wake_all(&self.word);
        // They run again, as they do between two cycles.
        thread::sleep(Duration::from_millis(3));
        spent
    }

    /// Ends the threads.
    pub(crate) fn end(&self) {
        self.word.store(END, SeqCst);
    }
}
