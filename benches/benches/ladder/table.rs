//! The table, and the circumstances that belong to it.

use std::fmt;
use std::fs;

use palimpsest_runtime::ladder::Machine;
use palimpsest_runtime::{Bytes, PAGE_SIZE};
use serde::{Deserialize, Serialize};

use crate::options::{Options, Part};
use crate::sides::PAGES;
use crate::turns::{Compared, Figures};

/// What a row is about. Rows are printed in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Subject {
    /// The first write to a page; microseconds a page.
    FirstWrite,
    /// Pages opened together before the first write to them; microseconds a page.
    Bulk,
    /// Protecting pages; nanoseconds a page.
    Arming,
    /// Finding the written pages and protecting them again; nanoseconds a page.
    Scan,
    /// A pause; milliseconds.
    Pause,
}

/// One measurement beside its floor.
#[derive(Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) subject: Subject,
    pub(crate) what: String,
    pub(crate) figures: Compared,
    /// What the floor does.
    pub(crate) floor: String,
}

impl Row {
    pub(crate) fn new(
        subject: Subject,
        what: impl Into<String>,
        figures: Compared,
        floor: impl Into<String>,
    ) -> Self {
        Self { subject, what: what.into(), figures, floor: floor.into() }
    }
}

/// The table in the making.
pub(crate) struct Table {
    effort: &'static str,
    load: String,
    rows: Vec<Row>,
    skipped: Vec<String>,
}

impl Table {
    /// An empty one; notes how busy the machine is before we are.
    pub(crate) fn new(options: &Options) -> Self {
        let load = file("/proc/loadavg").split_whitespace().next().unwrap_or("unknown").to_owned();
        Self { effort: options.effort(), load, rows: Vec::new(), skipped: Vec::new() }
    }

    /// Adds the rows of a part.
    pub(crate) fn add(&mut self, rows: Vec<Row>) {
        self.rows.extend(rows);
        self.rows.sort_by_key(|row| row.subject);
    }

    /// Notes that a part could not be measured.
    pub(crate) fn skip(&mut self, part: Part, why: &str) {
        self.skipped.push(format!("`{part}`: {why}"));
    }

    fn circumstances(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        let huge = |name| file(&format!("/sys/kernel/mm/transparent_hugepage/{name}"));
        writeln!(
            f,
            "Linux {}, {processors} processors, load {} at the beginning; transparent huge pages `{}` (private memory), \
             `{}` (shared memory); {}.",
            Machine::look().release,
            self.load,
            chosen(&huge("enabled")),
            chosen(&huge("shmem_enabled")),
            self.effort,
        )?;
        writeln!(
            f,
            "First writes go to {} of pages in a scattered order, one word each. Pauses are of a heap full of a list of \
             64-byte nodes, one page in 16 of which was written since the cycle before, with one thread that runs and has to \
             stop. Medians; of pauses the longest too.",
            Bytes(PAGES as usize * PAGE_SIZE),
        )
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.circumstances(f)?;
        writeln!(f, "\n| what | ours | floor | ours / floor | the floor |")?;
        writeln!(f, "| --- | --- | --- | --- | --- |")?;
        for row in &self.rows {
            let Row { subject, what, figures: Compared { own, floor }, floor: is } = row;
            let [ours, theirs] = [own, floor].map(|side| Cell(*subject, *side));
            writeln!(f, "| {what} | {ours} | {theirs} | {:.2} | {is} |", own.median / floor.median)?;
        }
        if !self.skipped.is_empty() {
            writeln!(f, "\nNot measured: {}.", self.skipped.join("; "))?;
        }
        Ok(())
    }
}

/// A figure in its subject's unit.
struct Cell(Subject, Figures);

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(subject, Figures { median, longest }) = self;
        match subject {
            Subject::FirstWrite | Subject::Bulk => write!(f, "{:.2} µs a page", median * 1e6),
            Subject::Arming | Subject::Scan => write!(f, "{:.0} ns a page", median * 1e9),
            Subject::Pause => write!(f, "{:.2} ms, at most {:.2}", median * 1e3, longest * 1e3),
        }
    }
}

fn file(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|_| "unknown".into())
}

/// The one in brackets, as the kernel prints a choice.
fn chosen(choice: &str) -> &str {
    choice.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map_or("unknown", |(chosen, _)| chosen)
}
