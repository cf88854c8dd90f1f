//! Numbers for people: as many digits as mean something.

use crate::measure::Summary;
use std::fmt;

/// Three significant digits, without an exponent.
pub fn figure(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => "-".into(),
        size if size >= 99.95 => format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 => format!("{value:.2}"),
        size if size >= 0.0005 => format!("{value:.3}"),
        0.0 => "0".into(),
        _ => "< 0.001".into(),
    }
}

/// A share in per cent.
pub fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.0} %", share * 100.0) } else { "-".into() }
}

/// A figure that may be missing.
pub(super) fn maybe(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), figure)
}

/// The medians of several runs with their spread: `1.25 (3 %)`.
pub struct Times(pub Summary);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", figure(self.0.median))?;
        if self.0.count > 1 { write!(f, " ({})", percent(self.0.spread())) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_no_exponent() {
        let shown = [12345.6, 99.96, 99.9, 9.999, 1.0, 0.25, 0.0005, 0.0001, 0.0, f64::NAN].map(figure);
        assert_eq!(shown, ["12346", "100", "99.9", "10.0", "1.00", "0.250", "0.001", "< 0.001", "0", "-"]);
        assert_eq!(percent(1.504), "150 %");
        assert_eq!(percent(f64::INFINITY), "-");
    }

    #[test]
    fn a_spread_needs_two_runs() {
        let times = |values: &[f64]| Times(Summary::of(values.iter().copied()).unwrap()).to_string();
        assert_eq!(times(&[2.0]), "2.00");
        assert_eq!(times(&[2.0, 2.2, 1.9]), "2.00 (15 %)");
    }
}
