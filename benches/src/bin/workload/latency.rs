//! A histogram of times that costs the measured program a few instructions a sample.
//!
//! Every power of two is divided into [`STEPS`] equal buckets, so a quantile is exact to one part in 32 at any
//! magnitude; below 32 ns every nanosecond has its own bucket. The maximum is kept exactly.
//!
//! Of the few operations that take long, [`Slow`] keeps when each began.

use std::time::{Duration, Instant};

use crate::slow::Slow;

const STEPS: u64 = 32;
/// The powers of two from 2^5 to 2^63, and the single nanoseconds below them.
const BUCKETS: usize = (60 * STEPS) as usize;

/// Times of operations: each from the end of the one before, with [`Latency::lap`], or from any moment, with [`Latency::add`].
pub(crate) struct Latency {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    longest: u64,
    last: Instant,
    pub(crate) slow: Slow,
}

impl Latency {
    /// An empty histogram of a workload that began at `origin`, for one of so many threads. The first operation starts now.
    pub(crate) fn start(origin: Instant, threads: u32) -> Self {
        let slow = Slow::new(origin, threads);
        Self { buckets: Box::new([0; BUCKETS]), count: 0, longest: 0, last: Instant::now(), slow }
    }

    /// The next operation starts now, whatever was done since the last one ended.
    pub(crate) fn skip(&mut self) {
        self.last = Instant::now();
    }

    /// An operation has ended, and the next one starts.
    #[inline]
    pub(crate) fn lap(&mut self) {
        let now = Instant::now();
        self.add(self.last, now);
        self.last = now;
    }

    /// An operation began and ended then.
    #[inline]
    pub(crate) fn add(&mut self, from: Instant, to: Instant) {
        let nanoseconds = to.duration_since(from).as_nanos() as u64;
        self.record(nanoseconds);
        if nanoseconds >= Slow::LEAST {
            self.slow.note(from, nanoseconds);
        }
    }

    #[inline]
    fn record(&mut self, nanoseconds: u64) {
        self.buckets[bucket(nanoseconds)] += 1;
        self.count += 1;
        self.longest = self.longest.max(nanoseconds);
    }

    /// Adds what another thread has timed.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (to, from) in self.buckets.iter_mut().zip(other.buckets.iter()) {
            *to += from;
        }
        self.count += other.count;
        self.longest = self.longest.max(other.longest);
        self.slow.merge(&other.slow);
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
        let mut latency = Latency::start(Instant::now(), 1);
        (1..=100_000).for_each(|time| latency.record(time));
        for (portion, exact) in [(0.5, 50_000.0), (0.99, 99_000.0), (0.999, 99_900.0)] {
            let found = latency.quantile(portion).as_nanos() as f64;
            assert!((found - exact).abs() / exact < 1.0 / 32.0, "{portion}: {found}");
        }
        assert_eq!(latency.longest(), Duration::from_nanos(100_000));
    }

    #[test]
    fn threads_are_merged_and_the_slow_stand_in_order() {
        let origin = Instant::now();
        let at = |us| origin + Duration::from_micros(us);
        let mut one = Latency::start(origin, 2);
        one.add(at(10), at(11));
        one.add(at(5000), at(5300));
        let mut other = Latency::start(origin, 2);
        other.add(at(1000), at(3000));
        other.add(at(4000), at(4099));
        one.merge(&other);
        assert_eq!((one.count, one.longest()), (4, Duration::from_millis(2)));
        assert_eq!(one.slow.in_ms(), [(1.0, 2.0), (5.0, 0.3)]);
    }

    #[test]
    fn nothing_recorded_is_zero() {
        assert_eq!(Latency::start(Instant::now(), 1).quantile(0.5), Duration::ZERO);
    }
}
