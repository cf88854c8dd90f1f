//! Numbers as a reader wants them: no exponents, no digits that mean nothing, and a unit that is told once for each axis.

/// What an axis or a column counts.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    /// The unit stands in the label of the axis.
    Plain,
    /// MiB, written as GiB where these are many.
    Mib,
    /// A ratio: `1.5×`.
    Times,
    /// A share between 0 and 1: `50%`.
    Share,
}

impl Unit {
    /// A tick of an axis: a round number, as short as it is.
    pub(crate) fn tick(self, value: f64) -> String {
        match self {
            Self::Plain => shortest(value, 12),
            Self::Mib => mib(value, |amount| shortest(amount, 3)),
            Self::Times => format!("{}×", shortest(value, 9)),
            Self::Share => format!("{}%", shortest(value * 100.0, 6)),
        }
    }

    /// A measured value: three digits that count.
    pub(crate) fn figure(self, value: f64) -> String {
        match self {
            Self::Plain => figure(value),
            Self::Mib => mib(value, figure),
            Self::Times => format!("{}×", figure(value)),
            Self::Share => format!("{}%", figure(value * 100.0)),
        }
    }
}

fn mib(value: f64, write: impl Fn(f64) -> String) -> String {
    if value >= 1024.0 { format!("{} GiB", write(value / 1024.0)) } else { format!("{} MiB", write(value)) }
}

/// Three significant digits: `0.00123`, `1.20`, `12.3`, `1234`.
pub(crate) fn figure(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    // Nothing here is measured to better than a nanosecond, or a millionth.
    let decimals = (2 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
    format!("{value:.decimals$}")
}

/// The number without the zeros that end it.
fn shortest(value: f64, decimals: usize) -> String {
    let written = format!("{value:.decimals$}");
    let short =
        if written.contains('.') { written.trim_end_matches('0').trim_end_matches('.') } else { &written };
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_plain() {
        let ticks = [0.001, 0.01, 0.1, 1.0, 10.0, 10_000.0].map(|value| Unit::Plain.tick(value));
        assert_eq!(ticks, ["0.001", "0.01", "0.1", "1", "10", "10000"]);
        assert_eq!(Unit::Plain.tick(0.1 + 0.2), "0.3");
        assert_eq!(
            [0.5, 64.0, 1024.0, 1536.0].map(|value| Unit::Mib.tick(value)),
            ["0.5 MiB", "64 MiB", "1 GiB", "1.5 GiB"]
        );
        assert_eq!([0.9, 0.999, 0.9999].map(|value| Unit::Share.tick(value)), ["90%", "99.9%", "99.99%"]);
    }

    #[test]
    fn figures_have_three_digits() {
        let figures = [0.0, 0.001_234, 0.5, 1.2, 12.345, 123.4, 12_345.6].map(figure);
        assert_eq!(figures, ["0", "0.00123", "0.500", "1.20", "12.3", "123", "12346"]);
    }
}
