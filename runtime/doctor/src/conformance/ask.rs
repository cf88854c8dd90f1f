//! Asking: one process a row, with a time limit, and what is made of its end.

use super::{Finding, Question, Setting, Verdict, row_name};
use crate::kernel::process;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The hidden argument by which this program asks itself.
pub const ARGUMENT: &str = "--ask";

/// Asks one row in a new process of this program.
pub fn in_process(question: &Question, setting: Setting, limit: Duration) -> io::Result<Finding> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([ARGUMENT, &row_name(question, setting)])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let ended = wait(&mut child, limit)?;
    // Children that it forked hold its output open.
    process::kill_group(child.id());
    let Some(status) = ended else {
        return Ok(Finding {
            observed: format!("no answer within {} s", limit.as_secs()),
            verdict: Verdict::Hung,
            instead: None,
        });
    };
    let mut text = String::new();
    if let Some(out) = &mut child.stdout {
        out.read_to_string(&mut text)?;
    }
    match serde_json::from_str(&text) {
        Ok(finding) if status.success() => Ok(finding),
        _ => Ok(Finding { observed: last_words(status, &mut child)?, verdict: Verdict::Died, instead: None }),
    }
}

/// Asks one row in this process, and answers on standard output.
pub fn here(question: &Question, setting: Setting) -> io::Result<()> {
    let finding = Finding::from((question.ask)(setting));
    serde_json::to_writer(io::stdout(), &finding)?;
    Ok(())
}

/// Waits for the child's end. `None`: it was killed at the limit.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if start.elapsed() > limit {
            process::kill_group(child.id());
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// How it ended, and the last line it printed.
fn last_words(status: ExitStatus, child: &mut Child) -> io::Result<String> {
    let how = match status.signal() {
        Some(signal) => format!("killed by {}", process::signal_name(signal)),
        None => format!("{status}"),
    };
    let mut errors = String::new();
    if let Some(stderr) = &mut child.stderr {
        stderr.read_to_string(&mut errors)?;
    }
    Ok(match errors.lines().rfind(|line| !line.trim().is_empty()) {
        Some(line) => format!("{how}: {line}"),
        None => how,
    })
}
