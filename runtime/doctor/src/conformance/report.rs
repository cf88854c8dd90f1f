//! The table: as text for a terminal, as Markdown for the documentation, as JSON for programs.

use super::{Delivery, Finding, Memory, Question, Setting, Verdict};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// One row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The question's name.
    pub question: String,
    /// What it asks.
    pub asks: String,
    /// The memory it was asked of.
    pub memory: Memory,
    /// How writes were told of.
    pub delivery: Delivery,
    /// What a runtime may rely on.
    pub expected: String,
    /// What was seen; for a row that is not available, why.
    pub observed: String,
    /// How the two compare.
    pub verdict: Verdict,
    /// Where the kernel documents or implements it.
    pub source: String,
}

impl Row {
    /// A row of what came out.
    pub fn new(question: &Question, setting: Setting, finding: Finding) -> Self {
        Self {
            question: question.name.into(),
            asks: question.asks.into(),
            memory: setting.memory,
            delivery: setting.delivery,
            expected: finding.instead.unwrap_or_else(|| (question.expected)(setting).into()),
            observed: finding.observed,
            verdict: finding.verdict,
            source: question.source.into(),
        }
    }
}

/// The whole table, and which kernel it is of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The kernel's release.
    pub kernel: String,
    /// The processor's architecture.
    pub architecture: String,
    /// Whether root asked.
    pub privileged: bool,
    /// The rows, in the order they were asked.
    pub rows: Vec<Row>,
}

impl Report {
    /// Whether a runtime gets what it may rely on, in all rows.
    pub fn is_fine(&self) -> bool {
        self.rows.iter().all(|row| row.verdict.is_fine())
    }

    /// How many rows came out in which way.
    pub fn summary(&self) -> String {
        let all = [
            Verdict::AsExpected,
            Verdict::Informative,
            Verdict::NotAvailable,
            Verdict::Different,
            Verdict::Hung,
            Verdict::Died,
        ];
        let count = |verdict| self.rows.iter().filter(|row| row.verdict == verdict).count();
        let parts: Vec<_> =
            all.into_iter().filter(|v| count(*v) > 0).map(|v| format!("{} {v}", count(v))).collect();
        format!("{} rows: {}", self.rows.len(), parts.join(", "))
    }

    fn heading(&self) -> String {
        let who = if self.privileged { "as root" } else { "unprivileged" };
        format!("Linux {} on {}, {who}", self.kernel, self.architecture)
    }

    /// Question by question, for a terminal.
    pub fn text(&self) -> String {
        let widths = [14, 8, 44, 52, 13];
        let mut out = format!("{}\n", self.heading());
        let mut last = "";
        for row in &self.rows {
            if row.question != last {
                last = &row.question;
                let _ = write!(out, "\n{}: {}\n", row.question, row.asks);
                line(&mut out, &widths, ["memory", "delivery", "expected", "observed", "verdict"]);
            }
            let (memory, delivery, verdict) =
                (row.memory.to_string(), row.delivery.to_string(), row.verdict.to_string());
            line(&mut out, &widths, [&memory, &delivery, &row.expected, &row.observed, &verdict]);
        }
        let _ = writeln!(out, "\n{}", self.summary());
        out
    }

    /// A table a question, for the documentation.
    pub fn markdown(&self) -> String {
        let mut out = format!("Asked of {}.\n{}.\n", self.heading(), self.summary());
        let mut last = "";
        for row in &self.rows {
            if row.question != last {
                last = &row.question;
                let _ = write!(out, "\n### {}\n\n{}\n\n*{}*\n\n", row.question, row.asks, row.source);
                out.push_str("| memory | delivery | expected | observed | verdict |\n| --- | --- | --- | --- | --- |\n");
            }
            let cell = |text: &str| text.replace('|', "\\|");
            let (expected, observed) = (cell(&row.expected), cell(&row.observed));
            let _ = writeln!(
                out,
                "| {} | {} | {expected} | {observed} | {} |",
                row.memory, row.delivery, row.verdict
            );
        }
        out
    }
}

/// One row of text, its cells broken at words.
fn line(out: &mut String, widths: &[usize; 5], cells: [&str; 5]) {
    let cells: Vec<_> = cells.iter().zip(widths).map(|(text, width)| wrap(text, *width)).collect();
    for k in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
        let mut text = String::from(" ");
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(text, " {:width$}", cell.get(k).map_or("", String::as_str));
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if !line.is_empty() && line.len() + 1 + word.len() > width => lines.push(word.into()),
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => {}
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_broken_into_lines_and_none_is_lost() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("incomprehensibilities", 5), ["incomprehensibilities"]);
        assert_eq!(wrap("", 5), [""]);
    }
}
