//! How times are spread.

use hdrhistogram::Histogram as Counts;
use std::fmt;
use std::time::Duration;

/// Times, each counted to three significant digits: as many as there were, at a fixed size (an HDR histogram).
///
/// A value of its own: it does not change while the heap goes on.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use palimpsest::{Heap, PlainPointers, StackScan};
/// let heap = Heap::builder(PlainPointers).limit(16 << 20).build()?;
/// heap.attach(StackScan::None)?.collect();
/// let pauses = heap.pauses();
/// assert_eq!(pauses.count(), 1);
/// assert!(pauses.quantile(0.99) <= pauses.max());
/// for (upper, count) in pauses.iter() {
///     println!("{count} pauses of at most {upper:?}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq)]
pub struct Histogram {
    /// Nanoseconds.
    counts: Counts<u64>,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        // Three significant digits and the default range are always accepted.
        Self { counts: Counts::new(3).expect("a histogram of three digits") }
    }

    /// Counts a time in milliseconds.
    pub(crate) fn record_ms(&mut self, ms: f64) {
        // Below zero is zero. The range grows to any number that there is, so this cannot fail.
        let _ = self.counts.record((ms * 1e6).round() as u64);
    }

    /// How many times there are.
    pub fn count(&self) -> u64 {
        self.counts.len()
    }

    /// The shortest; zero if there is none.
    pub fn min(&self) -> Duration {
        Duration::from_nanos(self.counts.min())
    }

    /// The longest; zero if there is none.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.counts.max())
    }

    /// The arithmetic mean; zero if there is none.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.counts.mean().round() as u64)
    }

    /// The time that this part of all times does not exceed: 0.5 is the median, 1.0 the longest. Beyond these bounds it is as at
    /// the bound. Zero if there is none.
    pub fn quantile(&self, q: f64) -> Duration {
        Duration::from_nanos(self.counts.value_at_quantile(q))
    }

    /// The times in order, those that are not told apart together: the upper bound of each step and how many are in it.
    pub fn iter(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.counts
            .iter_recorded()
            .map(|step| (Duration::from_nanos(step.value_iterated_to()), step.count_at_value()))
    }

    /// The histogram in the HDR project's compressed form of version 2, in base64, as HDR logs and their viewers have it. The
    /// values are nanoseconds. With the feature `hdr-log`.
    #[cfg(feature = "hdr-log")]
    pub fn to_hdr_base64(&self) -> String {
        use base64::Engine as _;
        use hdrhistogram::serialization::{Serializer, V2DeflateSerializer};
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.counts, &mut bytes)
            .expect("a counter of each step fits the form, and a vector takes all that is written to it");
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(|q| ms(self.quantile(q)));
        write!(
            f,
            "{} in all, p50 {p50:.3} ms, p90 {p90:.3} ms, p99 {p99:.3} ms, p99.9 {p999:.3} ms, max {:.3} ms",
            self.count(),
            ms(self.max())
        )
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Histogram({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: impl IntoIterator<Item = f64>) -> Histogram {
        let mut histogram = Histogram::new();
        times.into_iter().for_each(|ms| histogram.record_ms(ms));
        histogram
    }

    fn near(time: Duration, ms: f64) -> bool {
        (time.as_secs_f64() * 1e3 - ms).abs() <= ms / 500.0
    }

    #[test]
    fn times_are_told_to_three_digits() {
        let histogram = of((1..=1000).map(f64::from));
        assert_eq!(histogram.count(), 1000);
        assert!(near(histogram.min(), 1.0) && near(histogram.max(), 1000.0) && near(histogram.mean(), 500.5));
        for (q, ms) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1000.0)] {
            assert!(near(histogram.quantile(q), ms), "{q}: {:?}", histogram.quantile(q));
        }
        assert_eq!(histogram.quantile(7.0), histogram.max());
        assert!(near(histogram.quantile(-1.0), 1.0));
        for time in [0.000_02, 0.1, 10.0, 100_000.0] {
            assert!(near(of([time]).max(), time), "{time}");
        }
        let steps: Vec<_> = of([2.0, 1.0, 2.0]).iter().collect();
        assert!(matches!(steps[..], [(one, 1), (two, 2)] if near(one, 1.0) && near(two, 2.0)), "{steps:?}");
    }

    #[test]
    fn an_empty_one_is_all_zero() {
        let none = of([]);
        assert_eq!((none.count(), none.iter().count()), (0, 0));
        for time in [none.min(), none.max(), none.mean(), none.quantile(0.5)] {
            assert_eq!(time, Duration::ZERO);
        }
        assert_eq!(of([-1.0]).max(), Duration::ZERO, "a clock that went back");
    }

    #[cfg(feature = "hdr-log")]
    #[test]
    fn others_read_what_is_written() {
        use base64::Engine as _;
        let histogram = of([0.25, 0.5, 12.0]);
        let text = histogram.to_hdr_base64();
        assert!(text.starts_with("HISTFAAA"), "the mark of a compressed histogram: {text}");
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        let read: Counts<u64> =
            hdrhistogram::serialization::Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
        assert_eq!(read, histogram.counts);
    }
}
