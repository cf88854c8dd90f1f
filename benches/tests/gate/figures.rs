//! What was counted: figures by group and name.

use std::collections::BTreeMap;
use std::fmt;

/// The path of a table in the file of bounds.
pub type Group = Vec<String>;

/// Figures by name.
pub type Counted = BTreeMap<String, f64>;

/// All that was counted.
#[derive(Default)]
pub struct Figures(BTreeMap<Group, Counted>);

impl Figures {
    /// Adds a group.
    pub fn add<S: Into<String>>(&mut self, group: impl IntoIterator<Item = S>, counted: Counted) {
        let group = group.into_iter().map(Into::into).collect();
        assert!(self.0.insert(group, counted).is_none(), "each group is counted once");
    }

    /// All groups.
    pub fn groups(&self) -> impl Iterator<Item = (&Group, &Counted)> {
        self.0.iter()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (group, counted) in &self.0 {
            writeln!(f, "{}", group.join(" / "))?;
            for (name, value) in counted {
                writeln!(f, "  {value:>12} {name}")?;
            }
        }
        Ok(())
    }
}

/// The least of each figure over several rounds. A figure that a round does not have is 0 there.
pub fn least(rounds: &[Counted]) -> Counted {
    let names = rounds.iter().flat_map(|round| round.keys());
    names
        .map(|name| {
            let values = rounds.iter().map(|round| round.get(name).copied().unwrap_or(0.0));
            (name.clone(), values.fold(f64::INFINITY, f64::min))
        })
        .collect()
}

#[test]
fn a_call_that_only_some_rounds_make_counts_as_none() {
    let round =
        |pairs: &[(&str, f64)]| pairs.iter().map(|(name, value)| (name.to_string(), *value)).collect();
    let rounds = [round(&[("ioctl", 3.0), ("futex", 2.0)]), round(&[("ioctl", 4.0)])];
    assert_eq!(least(&rounds), round(&[("ioctl", 3.0), ("futex", 0.0)]));
}
