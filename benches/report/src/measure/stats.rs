//! Medians, spreads and quantiles of few samples.
//!
//! Runs are few and their times are skewed to the right: something else can make a run longer and nothing makes it shorter than
//! the work. So the middle one stands for all, and what is shown beside it is how far they lie apart. Nothing here assumes a normal
//! distribution, and nothing is interpolated but the median of an even number: a quantile is a value that was measured.

use std::cmp::Ordering;

/// The middle of `values`, or the mean of the two in the middle; nothing where there are none.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    Summary::of(values).map(|summary| summary.median)
}

/// The least of `sorted` that at least the portion `q` of them does not exceed (the nearest rank); nothing where there are none.
///
/// `sorted` ascends, and `q` is from 0 to 1; 1 is the largest.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    // 0.999 of 1000 is the 999th, not the 1000th for the sake of a rounding error.
    let rank = (q * sorted.len() as f64 - 1e-9).ceil().max(1.0) as usize;
    sorted.get(rank.min(sorted.len()).checked_sub(1)?).copied()
}

/// The values in ascending order, without those that are no numbers.
pub fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
    values
}

/// Some samples of one figure.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Summary {
    /// The middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
    /// How many there are.
    pub count: usize,
}

impl Summary {
    /// Of these samples; nothing where there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values = sorted(values);
        let (&min, &max) = (values.first()?, values.last()?);
        let (below, above) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { median: (below + above) / 2.0, min, max, count: values.len() })
    }

    /// The range of the samples, as a share of their median: 0.1 is ten per cent. Zero where the median is.
    pub fn spread(&self) -> f64 {
        if self.median == 0.0 { 0.0 } else { (self.max - self.min) / self.median }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0]), Some(5.0));
        assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([f64::NAN, 1.0]), Some(1.0), "what is no number is no sample");
    }

    #[test]
    fn the_spread_is_the_range_over_the_median() {
        let summary = Summary::of([10.0, 9.0, 12.0]).unwrap();
        assert_eq!(summary, Summary { median: 10.0, min: 9.0, max: 12.0, count: 3 });
        assert!((summary.spread() - 0.3).abs() < 1e-12);
        assert_eq!(Summary::of([0.0, 0.0]).unwrap().spread(), 0.0);
    }

    /// By counting: no smaller sample has as many at or below it.
    #[test]
    fn a_quantile_is_the_least_sample_that_enough_do_not_exceed() {
        let samples: Vec<f64> = (0..137).map(|k| f64::from(k * 31 % 137)).collect();
        let samples = sorted(samples);
        for percent in 1..=100u32 {
            let found = quantile(&samples, f64::from(percent) / 100.0).unwrap();
            let enough = |value: f64| {
                samples.iter().filter(|&&sample| sample <= value).count() * 100
                    >= percent as usize * samples.len()
            };
            assert!(enough(found), "{percent}");
            assert!(samples.iter().all(|&sample| sample >= found || !enough(sample)), "{percent}");
        }
        assert_eq!(quantile(&samples, 0.0), Some(0.0));
        assert_eq!(quantile(&[], 0.5), None);
        let thousand: Vec<f64> = (1..=1000).map(f64::from).collect();
        assert_eq!(quantile(&thousand, 0.999), Some(999.0));
        assert_eq!(quantile(&thousand, 1.0), Some(1000.0));
    }
}
