//! The file of bounds: a table a group, with a reason, and a figure a line.
//!
//! ```toml
//! [calls."preimage/signal".collector]
//! why = "what these are"
//! slack = 0                                 # how far either way a figure may be off; 0 if it is not said
//! ioctl = 3
//! futex = { value = 4, slack = 2, why = "a race" }
//! ```
//!
//! A figure that fell is out of bounds too: the file says what is so, and the next rise is seen.

use std::fmt;
use std::io;
use std::path::Path;

use toml_edit::{DocumentMut, Item, Table, TableLike, TomlError, Value};

use crate::figures::{Counted, Figures, Group};

/// The reason of what has none yet. It is out of bounds for as long.
const NO_REASON: &str = "say why";

/// Keys of a group, or of a figure, that are no figures.
const VALUE: &str = "value";
const SLACK: &str = "slack";
const WHY: &str = "why";

/// What may be counted.
pub struct Bounds(DocumentMut);

/// A figure that is out of bounds.
pub struct Broken {
    group: Group,
    name: String,
    counted: f64,
    /// The bound and its slack, and the reason; nothing if it has none.
    bound: Option<(f64, f64, String)>,
}

impl Bounds {
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = std::fs::read_to_string(path)?;
        Self::parse(&text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    pub fn parse(text: &str) -> Result<Self, TomlError> {
        text.parse().map(Self)
    }

    pub fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, self.0.to_string())
    }

    /// The figures that are out of bounds. A group that was not counted has none; a figure that was not counted in a group that
    /// was is 0.
    pub fn check(&self, figures: &Figures) -> Vec<Broken> {
        figures.groups().flat_map(|(group, counted)| self.check_group(group, counted)).collect()
    }

    fn check_group(&self, group: &Group, counted: &Counted) -> Vec<Broken> {
        let table = self.group(group);
        let listed = table.into_iter().flat_map(TableLike::iter).map(|(key, _)| key.to_owned());
        let listed = listed.filter(|key| ![SLACK, WHY].contains(&key.as_str()));
        let mut names: Vec<String> = listed.chain(counted.keys().cloned()).collect();
        names.sort();
        names.dedup();
        names
            .into_iter()
            .filter_map(|name| {
                let bound = table.and_then(|table| bound(table, &name));
                let counted = counted.get(&name).copied().unwrap_or(0.0);
                let holds = |(value, slack, why): &(f64, f64, String)| {
                    (counted - value).abs() <= *slack && why != NO_REASON
                };
                (!bound.as_ref().is_some_and(holds)).then(|| Broken {
                    group: group.clone(),
                    name,
                    counted,
                    bound,
                })
            })
            .collect()
    }

    /// Whether there are bounds for a group.
    pub fn has(&self, group: &[&str]) -> bool {
        self.group(group).is_some()
    }

    fn group(&self, group: &[impl AsRef<str>]) -> Option<&dyn TableLike> {
        let root: &dyn TableLike = self.0.as_table();
        group.iter().try_fold(root, |table, key| table.get(key.as_ref())?.as_table_like())
    }

    /// Enters what was counted. Reasons, slack and comments stay.
    pub fn accept(&mut self, broken: &[Broken]) {
        for Broken { group, name, counted, .. } in broken {
            let mut table: &mut dyn TableLike = self.0.as_table_mut();
            for (depth, key) in group.iter().enumerate() {
                let is_last = depth + 1 == group.len();
                let item = table.entry(key).or_insert_with(|| new_group(is_last));
                table = item.as_table_like_mut().expect("a group is a table");
            }
            let number = number(*counted);
            match table.get_mut(name) {
                Some(figure) => {
                    let value = match figure.as_inline_table_mut() {
                        Some(figure) => figure.get_mut(VALUE).expect("a figure in braces has a value"),
                        None => figure.as_value_mut().expect("a figure is a value"),
                    };
                    let decor = value.decor().clone();
                    *value = number;
                    *value.decor_mut() = decor;
                }
                None => {
                    table.insert(name, Item::Value(number));
                }
            }
        }
    }
}

/// A figure's bound, its slack, and its reason.
fn bound(group: &dyn TableLike, name: &str) -> Option<(f64, f64, String)> {
    let figure = group.get(name)?;
    let own = |key: &str| figure.as_inline_table().and_then(|figure| figure.get(key));
    let either = |key: &str| own(key).or_else(|| group.get(key)?.as_value());
    let value = own(VALUE).or_else(|| figure.as_value())?;
    let why = either(WHY).and_then(Value::as_str).unwrap_or(NO_REASON);
    Some((float(value)?, either(SLACK).map_or(Some(0.0), float)?, why.to_owned()))
}

fn float(value: &Value) -> Option<f64> {
    value.as_float().or_else(|| value.as_integer().map(|value| value as f64))
}

fn number(counted: f64) -> Value {
    if counted.fract() == 0.0 { Value::from(counted as i64) } else { Value::from(counted) }
}

fn new_group(with_figures: bool) -> Item {
    let mut table = Table::new();
    table.set_implicit(!with_figures);
    if with_figures {
        table.insert(WHY, Item::Value(NO_REASON.into()));
    }
    Item::Table(table)
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}: counted {}, ", self.group.join(" / "), self.name, self.counted)?;
        match &self.bound {
            Some((value, _, why)) if why == NO_REASON => {
                write!(f, "and nothing says why it should be {value}")
            }
            Some((value, slack, why)) if *slack > 0.0 => {
                write!(f, "and the bound is {value}, at most {slack} more or less ({why})")
            }
            Some((value, _, why)) => write!(f, "and the bound is exactly {value} ({why})"),
            None => f.write_str("and there is no bound"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"# What this is.
[cycle."stw"]
why = "known objects"
"marked objects" = 100 # all of them
"bytes" = { value = 2.5, slack = 1, why = "rounded" }
"#;

    fn figures(objects: f64, bytes: f64) -> Figures {
        let mut figures = Figures::default();
        figures.add(["cycle", "stw"], [("marked objects".into(), objects), ("bytes".into(), bytes)].into());
        figures
    }

    fn messages(bounds: &Bounds, figures: &Figures) -> Vec<String> {
        bounds.check(figures).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_within_its_bounds_passes() {
        let bounds = Bounds::parse(FILE).unwrap();
        for bytes in [1.5, 2.5, 3.5] {
            assert_eq!(messages(&bounds, &figures(100.0, bytes)), [""; 0]);
        }
    }

    #[test]
    fn a_doctored_bound_fails_and_names_figure_bound_and_count() {
        let doctored = Bounds::parse(&FILE.replace("100", "99")).unwrap();
        assert_eq!(
            messages(&doctored, &figures(100.0, 2.5)),
            ["cycle / stw / marked objects: counted 100, and the bound is exactly 99 (known objects)"]
        );
        let doctored = Bounds::parse(&FILE.replace("2.5", "9.25")).unwrap();
        assert_eq!(
            messages(&doctored, &figures(100.0, 2.5)),
            ["cycle / stw / bytes: counted 2.5, and the bound is 9.25, at most 1 more or less (rounded)"]
        );
    }

    #[test]
    fn what_fell_has_no_bound_or_is_gone_fails() {
        let bounds = Bounds::parse(FILE).unwrap();
        assert_eq!(messages(&bounds, &figures(99.0, 2.5)).len(), 1);
        let mut more = Figures::default();
        more.add(["cycle", "stw"], [("traps".into(), 1.0), ("bytes".into(), 2.5)].into());
        assert_eq!(
            messages(&bounds, &more),
            [
                "cycle / stw / marked objects: counted 0, and the bound is exactly 100 (known objects)",
                "cycle / stw / traps: counted 1, and there is no bound",
            ]
        );
    }

    #[test]
    fn accepting_changes_the_values_and_nothing_else() {
        let mut bounds = Bounds::parse(FILE).unwrap();
        let mut figures = figures(101.0, 7.0);
        figures.add(["calls", "stw", "collector"], [("futex".into(), 3.0)].into());
        let broken = bounds.check(&figures);
        bounds.accept(&broken);
        let messages = messages(&bounds, &figures);
        assert_eq!(
            messages,
            ["calls / stw / collector / futex: counted 3, and nothing says why it should be 3"],
            "the rest is accepted; this wants a reason"
        );
        let expected = FILE.replace("100", "101").replace("2.5", "7");
        let added = "\n[calls.stw.collector]\nwhy = \"say why\"\nfutex = 3\n";
        assert_eq!(bounds.0.to_string(), expected + added);
    }
}
