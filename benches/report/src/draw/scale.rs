//! From what was measured to where it is drawn.
//!
//! A logarithmic scale has no zero, and pauses of zero do occur where a clock is coarse. Such a scale gets a decade more than its
//! smallest positive value needs, and what is zero stands at its lower edge, which is labelled so ([`Scale::zero`]).

/// What equal distances mean.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Equal amounts, from zero.
    Linear,
    /// Equal factors; ticks at 1, 10, 100.
    Log,
    /// Equal factors; ticks at powers of two.
    Doubling,
    /// Equal factors of what is left to 1: 90%, 99%, 99.9%.
    Nines,
}

/// A range of values, and the pixels that it is spread over.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Scale {
    kind: Kind,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    /// Whether zeros are shown at the lower edge of a scale that has none.
    zero: bool,
}

impl Scale {
    /// A scale on which these values have room, if there is any value that can stand on it.
    pub(crate) fn around(kind: Kind, values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        let least = |values: &[f64]| values.iter().copied().fold(f64::INFINITY, f64::min);
        let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if values.is_empty() {
            return None;
        }
        let (low, high) = match kind {
            Kind::Linear => (0.0, if most > 0.0 { most * 1.04 } else { 1.0 }),
            Kind::Nines => (least(&values), most),
            Kind::Log | Kind::Doubling => {
                let positive: Vec<f64> = values.iter().copied().filter(|&value| value > 0.0).collect();
                let (low, high) = if positive.is_empty() { (0.1, 1.0) } else { (least(&positive), most) };
                let (low, high) = round_out(kind, low, high);
                if positive.len() < values.len() {
                    // A tick of its own, which an axis labels with the zero that stands there.
                    (10f64.powf(low.log10().floor() - 1.0), high)
                } else {
                    (low, high)
                }
            }
        };
        let zero = matches!(kind, Kind::Log | Kind::Doubling) && values.iter().any(|&value| value <= 0.0);
        Some(Self { zero, ..Self::between(kind, low, high) })
    }

    /// A logarithmic scale that ends a little beyond the least and the greatest of these values, and not at round ones: for bars, whose
    /// room is narrow.
    pub(crate) fn close(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        let around = Self::around(Kind::Log, values.iter().copied())?;
        let positive = || values.iter().copied().filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) = (positive().fold(f64::INFINITY, f64::min), positive().fold(0.0, f64::max));
        if around.zero || high < low * 1.5 {
            return Some(around);
        }
        let margin = (high / low).powf(0.03);
        Some(Self::between(Kind::Log, low / margin, high * margin))
    }

    /// A scale with these ends.
    pub(crate) fn between(kind: Kind, low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { kind, low, high, from: 0.0, to: 1.0, zero: false }
    }

    /// The same, spread over these pixels; `to` may be the smaller one, as it is for a vertical axis.
    pub(crate) fn onto(self, from: f64, to: f64) -> Self {
        Self { from, to, ..self }
    }

    /// Where a value is drawn. What lies outside stands at the edge.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let (low, high) = (self.place(self.low), self.place(self.high));
        let place = self.place(value.clamp(self.low, self.high));
        self.from + (place - low) / (high - low) * (self.to - self.from)
    }

    /// The value at the lower edge, if a zero stands there that the scale does not have.
    pub(crate) fn zero(&self) -> Option<f64> {
        self.zero.then_some(self.low)
    }

    /// Round values on it, at most so many.
    pub(crate) fn ticks(&self, most: usize) -> Vec<f64> {
        let most = most.max(2);
        match self.kind {
            Kind::Linear => {
                let step = nice_step((self.high - self.low) / most as f64);
                counted((self.low / step).ceil(), (self.high / step).floor(), |number| number * step)
            }
            Kind::Log => {
                let within = |value: &f64| *value >= self.low * 0.999 && *value <= self.high * 1.001;
                let decades =
                    counted(self.low.log10().floor(), self.high.log10().ceil(), |power| 10f64.powf(power));
                let finer: [&[f64]; 5] = [
                    &[1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0],
                    &[1.0, 1.5, 2.0, 3.0, 5.0, 7.0],
                    &[1.0, 2.0, 3.0, 5.0, 7.0],
                    &[1.0, 2.0, 5.0],
                    &[1.0, 3.0],
                ];
                for factors in finer {
                    let ticks: Vec<f64> = decades
                        .iter()
                        .flat_map(|decade| factors.iter().map(move |factor| decade * factor))
                        .filter(within)
                        .collect();
                    if ticks.len() <= most.min(7) {
                        return ticks;
                    }
                }
                thinned(decades.into_iter().filter(within).collect(), most)
            }
            Kind::Doubling => {
                thinned(counted(self.low.log2().ceil(), self.high.log2().floor(), f64::exp2), most)
            }
            Kind::Nines => {
                let nines = (1..9).map(|nines| 1.0 - 10f64.powi(-nines));
                std::iter::once(0.5)
                    .chain(nines)
                    .filter(|tick| *tick >= self.low - 1e-9 && *tick <= self.high + 1e-9)
                    .collect()
            }
        }
    }

    /// The value on the linear axis behind the scale.
    fn place(&self, value: f64) -> f64 {
        match self.kind {
            Kind::Linear => value,
            Kind::Log | Kind::Doubling => value.ln(),
            Kind::Nines => -(1.0 - value).max(1e-12).log10(),
        }
    }
}

/// The round values next to a range of positive ones.
fn round_out(kind: Kind, low: f64, high: f64) -> (f64, f64) {
    if kind == Kind::Doubling {
        let (low, high) = (low.log2().floor(), high.log2().ceil());
        return if low < high {
            (low.exp2(), high.exp2())
        } else {
            ((low - 1.0).exp2(), (high + 1.0).exp2())
        };
    }
    let steps = |value: f64| {
        let decade = 10f64.powf(value.log10().floor());
        [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade)
    };
    let below = steps(low).into_iter().rev().find(|step| *step <= low * 1.000_001).unwrap_or(low);
    let above = steps(high).into_iter().find(|step| *step >= high * 0.999_999).unwrap_or(high);
    // Half a decade at the least: less would show noise as if it were a difference.
    if above / below < 4.0 { (below / 2.0, above * 2.0) } else { (below, above) }
}

/// 1, 2 or 5 times a power of ten, not below `step`.
fn nice_step(step: f64) -> f64 {
    let decade = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * decade)
        .find(|nice| *nice >= step * 0.999)
        .unwrap_or(step)
}

fn counted(from: f64, to: f64, value: impl Fn(f64) -> f64) -> Vec<f64> {
    (from as i64..=to as i64).map(|number| value(number as f64)).collect()
}

/// Every second, third, .. of the ticks, until they are few enough.
fn thinned(ticks: Vec<f64>, most: usize) -> Vec<f64> {
    let every = ticks.len().div_ceil(most).max(1);
    ticks.into_iter().step_by(every).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_a_logarithm_are_round() {
        let scale = Scale::around(Kind::Log, [0.23, 740.0]).unwrap().onto(0.0, 100.0);
        assert_eq!((scale.low, scale.high), (0.2, 1000.0));
        assert_eq!(scale.ticks(8), [1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(scale.at(1000.0), 100.0);
        assert!((scale.at(10.0) - scale.at(1.0) - (scale.at(100.0) - scale.at(10.0))).abs() < 1e-9);
    }

    #[test]
    fn zero_stands_below_the_least_positive_value() {
        let scale = Scale::around(Kind::Log, [0.0, 1.0, 100.0]).unwrap().onto(0.0, 100.0);
        assert_eq!(scale.zero(), Some(0.1));
        assert_eq!(scale.at(0.0), 0.0);
        assert!(scale.at(1.0) > 10.0);
        let zeros = Scale::around(Kind::Log, [0.0]).unwrap().onto(0.0, 100.0);
        assert!(zeros.at(0.0).is_finite());
    }

    #[test]
    fn no_value_no_scale() {
        assert!(Scale::around(Kind::Log, [f64::NAN, f64::INFINITY]).is_none());
        assert!(Scale::around(Kind::Linear, []).is_none());
    }

    #[test]
    fn one_value_has_room_on_both_sides() {
        for kind in [Kind::Log, Kind::Doubling] {
            let scale = Scale::around(kind, [64.0]).unwrap().onto(0.0, 100.0);
            assert!((1.0..=99.0).contains(&scale.at(64.0)), "{kind:?}");
        }
    }

    #[test]
    fn ticks_are_few_and_round() {
        assert_eq!(Scale::between(Kind::Linear, 0.0, 23.0).ticks(5), [0.0, 5.0, 10.0, 15.0, 20.0]);
        assert_eq!(Scale::between(Kind::Doubling, 64.0, 8192.0).ticks(4), [64.0, 256.0, 1024.0, 4096.0]);
        assert_eq!(Scale::between(Kind::Nines, 0.5, 0.9999).ticks(9).len(), 5);
        for most in 2..12 {
            assert!(Scale::between(Kind::Log, 1e-6, 1e6).ticks(most).len() <= most);
        }
    }
}
