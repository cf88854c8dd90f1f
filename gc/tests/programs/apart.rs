//! Programs in a process of their own.
//!
//! A lost object is what all this looks for, and whoever finds one ends the process: the verifier, a crash, a hang that an alarm cuts
//! off. So programs are run by the same test in another process, one after the other as long as it lives; where it does not, that is
//! what was wrong with the program, and the next one has a new process. That is what makes such a program as easy to make smaller as
//! one whose comparison has failed.

use super::{Counts, Program, Sabotage, run};
use palimpsest::Wish;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Tells a test that it is that process, and the rung and what to do wrong.
const VARIABLE: &str = "PALIMPSEST_PROGRAMS_APART";

/// What an answer begins with, among what the test harness prints, and what a program ends with.
const ANSWER: &str = "program: ";
const END: &str = "end";

/// Seconds that a program may take.
const PATIENCE: u32 = 30;

/// The process of a test that runs programs, or will.
pub struct Apart {
    test: &'static str,
    how: String,
    /// Where its standard error goes.
    said: PathBuf,
    process: Option<Process>,
}

struct Process {
    child: Child,
    tell: ChildStdin,
    hear: BufReader<ChildStdout>,
}

impl Apart {
    /// For the test of this name, which calls [`serve`] before anything else. What the process says goes to a file.
    pub fn new(test: &'static str, rung: Wish, sabotage: Option<Sabotage>, said: PathBuf) -> Self {
        let sabotage = sabotage.map_or(String::new(), |sabotage| format!("{sabotage:?}"));
        Self { test, how: format!("{rung} {sabotage}"), said, process: None }
    }

    /// Runs a program there. What was found wrong, or how the process ended.
    pub fn run(&mut self, program: &Program) -> Result<Counts, String> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => self.begin().map_err(|why| format!("no process: {why}"))?,
        };
        match process.answer(program) {
            Some(answer) => {
                self.process = Some(process);
                match answer.strip_prefix("wrong: ") {
                    Some(why) => Err(why.to_owned()),
                    None => Counts::from_line(&answer).ok_or_else(|| format!("no answer: {answer}")),
                }
            }
            None => Err(process.end(&self.said)),
        }
    }

    fn begin(&self) -> std::io::Result<Process> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["--exact", self.test, "--nocapture", "--test-threads", "1"])
            .env(VARIABLE, &self.how)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&self.said)?)
            .spawn()?;
        let tell = child.stdin.take().expect("a pipe");
        let hear = BufReader::new(child.stdout.take().expect("a pipe"));
        Ok(Process { child, tell, hear })
    }
}

impl Process {
    /// Nothing: it has ended.
    fn answer(&mut self, program: &Program) -> Option<String> {
        writeln!(self.tell, "{program}{END}").and_then(|()| self.tell.flush()).ok()?;
        let mut lines = self.hear.by_ref().lines().map_while(Result::ok);
        lines.find_map(|line| line.strip_prefix(ANSWER).map(str::to_owned))
    }

    /// How it ended, and what it said.
    fn end(mut self, said: &Path) -> String {
        let end = self.child.wait().map_or_else(|why| why.to_string(), |end| end.to_string());
        let said = std::fs::read_to_string(said).unwrap_or_default();
        // The first lines of a report are what it is about.
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).take(4).collect();
        format!("the process ended, {end}: {}", lines.join("; "))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended; and it is not to go on with a program that nobody waits for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In the process of an [`Apart`]: runs what comes, until no more does, and returns `true`. Elsewhere `false`.
pub fn serve() -> bool {
    let Ok(how) = std::env::var(VARIABLE) else { return false };
    let (rung, sabotage) = how.split_once(' ').expect("a rung and a sabotage");
    let rung = Some(rung.parse::<Wish>().expect("a rung"));
    let sabotage = Sabotage::ALL.into_iter().find(|known| format!("{known:?}") == sabotage);
    // The test harness has begun a line.
    println!();
    let mut text = String::new();
    for line in std::io::stdin().lines() {
        let line = line.expect("a line of a program");
        if line != END {
            text += &line;
            text.push('\n');
            continue;
        }
        let program: Program = std::mem::take(&mut text).parse().expect("a program");
        // SAFETY: ends this process if it is not called again in time, which is what is wanted.
        unsafe { libc::alarm(PATIENCE) };
        match run(&program, rung, sabotage) {
            Ok(counts) => println!("{ANSWER}{}", counts.to_line()),
            Err(why) => println!("{ANSWER}wrong: {}", why.replace('\n', " ")),
        }
        // SAFETY: as above.
        unsafe { libc::alarm(0) };
    }
    true
}
