//! What is going on, on standard error: one line that is written over on a terminal, and lines now and then elsewhere.

use std::fmt;
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// How far apart lines are where they stay.
const SELDOM: Duration = Duration::from_secs(10);

/// The line.
pub struct Progress {
    terminal: bool,
    /// When a line was last left standing.
    last: Option<Instant>,
}

/// A length of time for a reader who wonders whether to wait: one unit, rounded.
pub struct Left(pub Duration);

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds @ 0..100 => write!(f, "{seconds} s"),
            seconds => write!(f, "{} min", (seconds + 30) / 60),
        }
    }
}

impl Progress {
    /// On standard error.
    pub fn new() -> Self {
        Self { terminal: stderr().is_terminal(), last: None }
    }

    /// This is going on now.
    pub fn now(&mut self, line: fmt::Arguments<'_>) {
        if self.terminal {
            // Cut to a width that any terminal has: a line that wraps cannot be written over.
            let line: String = line.to_string().chars().take(79).collect();
            put(format_args!("\r\x1b[K{line}"));
        } else if self.last.is_none_or(|last| last.elapsed() >= SELDOM) {
            put(format_args!("{line}\n"));
            self.last = Some(Instant::now());
        }
    }

    /// This has to be read.
    pub fn say(&mut self, line: fmt::Arguments<'_>) {
        put(format_args!("{}{line}\n", if self.terminal { "\r\x1b[K" } else { "" }));
    }

    /// Nothing is going on any more.
    pub fn end(&mut self) {
        if self.terminal {
            put(format_args!("\r\x1b[K"));
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

/// If standard error is closed, nobody wants to know.
fn put(text: fmt::Arguments<'_>) {
    let mut stderr = stderr().lock();
    let _ = stderr.write_fmt(text).and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said_in_one_unit() {
        let left = |seconds| Left(Duration::from_secs(seconds)).to_string();
        assert_eq!([left(0), left(99), left(100), left(3600)], ["0 s", "99 s", "2 min", "60 min"]);
    }
}
