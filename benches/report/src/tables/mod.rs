//! The report in words and numbers: `report.md`, in Markdown that fits into a chapter below a heading of its own.
//!
//! A table is a list of rows of texts until it is written (`Sheet`); which rows there are is decided by the parts
//! (`programs`, `curves`), and what the numbers are by [`measure`](crate::measure).

mod curves;
mod number;
mod programs;

pub use number::{Times, figure, percent};

use crate::results::Results;
use std::fmt::{self, Write};

/// The whole report. `pictures` are names of files in the directory `pictures`, to be shown with what they are of.
pub fn report(results: &Results, pictures: &[String]) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(results, pictures, &mut text);
    text
}

fn write(results: &Results, pictures: &[String], text: &mut String) -> fmt::Result {
    let Results { date, command, commit, machine, versions, skipped, warnings, .. } = results;
    let of = if commit.is_empty() { String::new() } else { format!(", of commit {commit}") };
    writeln!(text, "Measured on {date} UTC{of}, by `{command}`.\n")?;
    let mut facts = Sheet::new(["", ""]);
    facts.extend(machine.iter().chain(versions).map(|(name, value)| vec![name.clone(), value.clone()]));
    write!(text, "{facts}")?;
    for (heading, lines) in [
        ("Before believing a figure", warnings.clone()),
        ("Not measured", skipped.iter().map(|(who, why)| format!("{who}: {why}")).collect()),
    ] {
        if !lines.is_empty() {
            writeln!(text, "\n### {heading}\n")?;
            lines.iter().try_for_each(|line| writeln!(text, "* {}", one_line(line)))?;
        }
    }
    for name in pictures {
        let what = name.trim_end_matches(".svg").replace(['-', '_'], " ");
        writeln!(text, "\n![{what}](pictures/{name})")?;
    }
    programs::write(results, text)?;
    curves::write(results, text)
}

/// A table in the making.
pub(crate) struct Sheet {
    heads: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Sheet {
    /// With these columns, the first of which has names and the others numbers.
    pub(crate) fn new<T: Into<String>>(heads: impl IntoIterator<Item = T>) -> Self {
        Self { heads: heads.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Adds rows.
    pub(crate) fn extend(&mut self, rows: impl IntoIterator<Item = Vec<String>>) {
        self.rows.extend(rows);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl fmt::Display for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |cells: &[String]| {
            let cells: Vec<String> = cells.iter().map(|cell| one_line(cell).replace('|', "\\|")).collect();
            format!("| {} |", cells.join(" | "))
        };
        writeln!(f, "{}", row(&self.heads))?;
        writeln!(f, "|---|{}", "---:|".repeat(self.heads.len().saturating_sub(1)))?;
        self.rows.iter().try_for_each(|cells| writeln!(f, "{}", row(cells)))
    }
}

/// A text that a program wrote, as a part of a line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::tests::{memory, run};
    use crate::results::{Part, Run};

    /// A report with something of everything.
    fn canned() -> Results {
        let mut timed = run("graph", "palimpsest", 2.0, &[(100.0, 0.25), (900.0, 0.5)]);
        timed.latency_ms = [("p50", 0.001), ("p99", 0.01), ("p99.9", 0.5), ("max", 1.5)]
            .map(|(k, v)| (k.to_owned(), v))
            .into();
        let mut runs =
            vec![timed, run("graph", "bdwgc", 3.0, &[(100.0, 800.0)]), run("graph", "malloc", 1.0, &[])];
        runs.push(memory("graph", "palimpsest", 9.0, 640.0));
        for (x, wall) in [(64.0, 0.5), (128.0, 1.0)] {
            for peer in ["palimpsest", "bdwgc"] {
                let params = format!("{x} 100 0 1");
                runs.push(Run { part: Part::LiveHeap, x, params, ..run("churn", peer, wall, &[(1.0, x)]) });
            }
        }
        runs.push(Run { part: Part::Threads, x: 2.0, ..run("larson", "malloc", 4.0, &[]) });
        runs.push(Run { part: Part::Lox, params: String::new(), ..run("queens", "palimpsest", 0.75, &[]) });
        Results {
            date: "2026-11-22 09:15".into(),
            command: "report --quick".into(),
            commit: "0123456789ab".into(),
            machine: vec![("processor".into(), "A | B".into())],
            versions: vec![("bdwgc".into(), "8.2.4".into())],
            skipped: vec![("bump".into(), "needs\ntoo much".into())],
            warnings: vec!["1 of 9 runs were noisy".into()],
            runs,
            timeline: None,
        }
    }

    #[test]
    fn everything_that_was_measured_is_in_the_report() {
        let text = report(&canned(), &["pause-histogram.svg".into()]);
        for part in [
            "2026-11-22 09:15",
            "`report --quick`",
            "0123456789ab",
            "| processor | A \\| B |",
            "| bdwgc | 8.2.4 |",
            "* bump: needs too much",
            "* 1 of 9 runs were noisy",
            "![pause histogram](pictures/pause-histogram.svg)",
            "#### graph 1 2",
            "### Live heap",
            "### Threads",
            "### Lox",
        ] {
            assert!(text.contains(part), "{part}:\n{text}");
        }
        assert!(!text.contains("### Stores into old objects"), "not measured:\n{text}");
    }

    #[test]
    fn numbers_are_where_they_belong() {
        let text = report(&canned(), &[]);
        let row = |heading: &str, peer: &str| -> Vec<String> {
            let after = text.split_once(heading).unwrap_or_else(|| panic!("{heading}:\n{text}")).1;
            let line = after.lines().find(|line| line.starts_with(&format!("| {peer} |"))).expect("a row");
            line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
        };
        assert_eq!(
            row("#### graph 1 2", "palimpsest"),
            ["palimpsest", "2.00", "0 %", "2.00", "2.00", "2.00", "640", "100 %", "100 %"],
        );
        assert_eq!(row("#### graph 1 2", "malloc")[6], "10.0 (resident)");
        assert_eq!(row("| pauses", "bdwgc")[1..4], ["1", "800", "800"]);
        assert_eq!(row("| operations", "palimpsest")[1..], ["0.001", "0.010", "0.500", "1.50"]);
        assert_eq!(row("### Live heap", "bdwgc")[1..], ["64.0 / 64.0", "128 / 128"]);
    }

    #[test]
    fn every_row_of_a_table_has_its_columns() {
        let text = report(&canned(), &[]);
        let count = |line: &str| line.replace("\\|", "").matches('|').count();
        let mut columns = None;
        for line in text.lines() {
            match (line.starts_with('|'), columns) {
                (true, None) => columns = Some(count(line)),
                (true, Some(expected)) => assert_eq!(count(line), expected, "{line}"),
                (false, _) => columns = None,
            }
        }
    }

    #[test]
    fn an_empty_report_is_a_report() {
        let text = report(&Results::default(), &[]);
        assert!(text.starts_with("Measured on") && !text.contains("###"), "{text}");
    }
}
