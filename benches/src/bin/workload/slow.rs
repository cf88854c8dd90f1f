//! Operations that took long: when each began, and its time.
//!
//! A histogram tells how many there are; a curve of mutator utilisation, and whether they come one after another, needs to know
//! when. There is room for them from the start, so that noting one allocates nothing. What finds no room is counted.

use std::time::Instant;

/// Most that are kept, all threads together.
const MOST: usize = 100_000;

/// The slow operations of one thread.
pub(crate) struct Slow {
    origin: Instant,
    /// Nanoseconds from the origin, and how long it took.
    noted: Vec<(u64, u64)>,
    most: usize,
    left_out: u64,
}

impl Slow {
    /// In nanoseconds: what is shorter is not slow.
    pub(crate) const LEAST: u64 = 100_000;

    /// None yet, of a workload that began at `origin` and has so many threads, which share the room.
    pub(crate) fn new(origin: Instant, threads: u32) -> Self {
        let most = MOST / threads as usize;
        Self { origin, noted: Vec::with_capacity(most), most, left_out: 0 }
    }

    #[cold]
    pub(crate) fn note(&mut self, from: Instant, nanoseconds: u64) {
        if self.noted.len() < self.most {
            self.noted.push((from.duration_since(self.origin).as_nanos() as u64, nanoseconds));
        } else {
            self.left_out += 1;
        }
    }

    /// Adds another thread's, in the order of time.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.noted.extend(&other.noted);
        self.noted.sort_unstable();
        self.left_out += other.left_out;
    }

    /// Start and length of each, in milliseconds.
    pub(crate) fn in_ms(&self) -> Vec<(f64, f64)> {
        // Whole microseconds: more would be noise, and a long line.
        let ms = |nanoseconds: u64| (nanoseconds / 1000) as f64 / 1e3;
        self.noted.iter().map(|&(from, time)| (ms(from), ms(time))).collect()
    }

    /// How many there was no room for.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }
}
