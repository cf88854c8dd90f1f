//! A histogram of times that costs the measured program a few instructions a sample.
//!
//! Every power of two is divided into [`STEPS`] equal buckets, so a quantile is exact to one part in 32 at any
//! magnitude; below 32 ns every nanosecond has its own bucket. The maximum is kept exactly.

use std::time::{Duration, Instant};

const STEPS: u64 = 32;
/// The powers of two from 2^5 to 2^63, and the single nanoseconds below them.
const BUCKETS: usize = (60 * STEPS) as usize;

/// Times of operations, each from the end of the one before.
pub(crate) struct Latency {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    longest: u64,
    last: Instant,
}

impl Latency {
    /// An empty histogram. The first operation starts now.
    pub(crate) fn start() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0, longest: 0, last: Instant::now() }
    }

    /// An operation has ended, and the next one starts.
    #[inline]
    pub(crate) fn lap(&mut self) {
        let now = Instant::now();
        self.record(now.duration_since(self.last).as_nanos() as u64);
        self.last = now;
    }

    #[inline]
    fn record(&mut self, nanoseconds: u64) {
        self.buckets[bucket(nanoseconds)] += 1;
        self.count += 1;
        self.longest = self.longest.max(nanoseconds);
    }

    pub(crate) fn longest(&self) -> Duration {
        Duration::from_nanos(self.longest)
    }

    /// The time that `portion` of the operations did not exceed, to a bucket's lower end.
    pub(crate) fn quantile(&self, portion: f64) -> Duration {
        let rank = (portion * self.count as f64) as u64;
        let mut seen = 0;
        for (index, &count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen > rank {
                return Duration::from_nanos(lower_end(index as u64));
            }
        }
        Duration::ZERO
    }
}

#[inline]
fn bucket(nanoseconds: u64) -> usize {
    if nanoseconds < STEPS {
        return nanoseconds as usize;
    }
    let power = u64::from(nanoseconds.ilog2());
    let step = (nanoseconds >> (power - 5)) % STEPS;
    ((power - 4) * STEPS + step) as usize
}

fn lower_end(bucket: u64) -> u64 {
    if bucket < STEPS { bucket } else { (STEPS + bucket % STEPS) << (bucket / STEPS - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_in_its_bucket() {
        for power in 0..64 {
            let start = 1u64 << power;
            for time in [start, start | 1, start | start >> 1, start | (start - 1)] {
                let index = bucket(time) as u64;
                assert!(lower_end(index) <= time, "{time}");
                assert!(index as usize == BUCKETS - 1 || time < lower_end(index + 1), "{time}");
            }
        }
    }

    #[test]
    fn quantiles_are_within_a_step() {
        let mut latency = Latency::start();
        (1..=100_000).for_each(|time| latency.record(time));
        for (portion, exact) in [(0.5, 50_000.0), (0.99, 99_000.0), (0.999, 99_900.0)] {
            let found = latency.quantile(portion).as_nanos() as f64;
            assert!((found - exact).abs() / exact < 1.0 / 32.0, "{portion}: {found}");
        }
        assert_eq!(latency.longest(), Duration::from_nanos(100_000));
    }

    #[test]
    fn nothing_recorded_is_zero() {
        assert_eq!(Latency::start().quantile(0.5), Duration::ZERO);
    }
}
