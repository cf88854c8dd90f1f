//! Runs a Lox program in a child process and compares what it did with what its own comments say it should do. The
//! comments are those of the test programs of *Crafting Interpreters*:
//!
//! | comment | meaning |
//! | --- | --- |
//! | `// expect: TEXT` | the next line of output |
//! | `// Error at ...`, `// Error: ...` | a compile error on this line |
//! | `// [line N] Error ...`, `// [c line N] Error ...` | a compile error on line N |
//! | `// expect runtime error: TEXT` | the run ends with this error, on this line |
//! | `// stress: N` | (ours) under stress, a cycle every N allocations instead of every 3 |

#![allow(dead_code, reason = "each test file uses its part of this module")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No test program needs nearly as long.
const DEADLINE: Duration = Duration::from_secs(120);

/// How a run of the interpreter ended.
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The interpreter that this package builds.
pub fn lox() -> Command {
    Command::new(env!("CARGO_BIN_EXE_lox"))
}

/// Runs `command` with `input` on standard input. Ends it, and the test, when it takes too long.
pub fn run(command: &mut Command, input: &[u8]) -> Outcome {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the interpreter starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let mut stdout = child.stdout.take().expect("a pipe");
    let mut stderr = child.stderr.take().expect("a pipe");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that does not read its input closes the pipe early.
            let _ = stdin.write_all(input);
        });
        let stdout = scope.spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).expect("output can be read");
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let stderr = scope.spawn(move || {
            let mut bytes = Vec::new();
            stderr.read_to_end(&mut bytes).expect("errors can be read");
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let code = wait(&mut child);
        Outcome { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
    })
}

fn wait(child: &mut Child) -> Option<i32> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            return status.code();
        }
        if started.elapsed() > DEADLINE {
            child.kill().expect("the child can be ended");
            panic!("the interpreter takes longer than {DEADLINE:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What a program says about itself.
#[derive(Default)]
struct Expectation {
    output: Vec<String>,
    compile_errors: BTreeSet<String>,
    runtime_error: Option<(String, usize)>,
    stress: Option<u64>,
}

impl Expectation {
    fn of(source: &str) -> Expectation {
        let mut expected = Expectation::default();
        for (index, line) in source.lines().enumerate() {
            let number = index + 1;
            let Some((_, comment)) = line.split_once("// ") else { continue };
            if let Some((_, text)) = line.split_once("// expect: ") {
                expected.output.push(text.to_owned());
            } else if line.ends_with("// expect:") {
                expected.output.push(String::new());
            } else if let Some((_, text)) = line.split_once("// expect runtime error: ") {
                expected.runtime_error = Some((text.to_owned(), number));
            } else if let Some((_, interval)) = line.split_once("// stress: ") {
                expected.stress = interval.trim().parse().ok();
            } else if comment.starts_with("Error") {
                expected.compile_errors.insert(format!("[line {number}] {comment}"));
            } else if comment.starts_with("[line ") && comment.contains("] Error") {
                expected.compile_errors.insert(comment.to_owned());
            } else if let Some(rest) = comment.strip_prefix("[c line ") {
                expected.compile_errors.insert(format!("[line {rest}"));
            }
        }
        expected
    }

    /// What is wrong with an outcome, if anything.
    fn compare(&self, outcome: &Outcome) -> Result<(), String> {
        let code = match (self.compile_errors.is_empty(), &self.runtime_error) {
            (false, _) => 65,
            (true, Some(_)) => 70,
            (true, None) => 0,
        };
        let described = || format!("stdout: {}\nstderr: {}", outcome.stdout, outcome.stderr);
        if outcome.code != Some(code) {
            return Err(format!("exit code {:?} instead of {code}\n{}", outcome.code, described()));
        }
        if outcome.stdout.lines().ne(self.output.iter()) {
            return Err(format!("instead of the output {:?}\n{}", self.output, described()));
        }
        let mut errors = outcome.stderr.lines();
        match &self.runtime_error {
            Some((message, line)) => {
                let place = format!("[line {line}] in ");
                let trace = outcome.stderr.lines().find(|line| line.starts_with("[line "));
                if errors.next() != Some(message) || !trace.is_some_and(|trace| trace.starts_with(&place)) {
                    return Err(format!("instead of {message:?} on line {line}\n{}", described()));
                }
            }
            None => {
                let reported: BTreeSet<String> = errors.map(str::to_owned).collect();
                if reported != self.compile_errors {
                    return Err(format!("instead of the errors {:?}\n{}", self.compile_errors, described()));
                }
            }
        }
        Ok(())
    }
}

/// Runs every program as it is, or each under stress, and fails with all that went wrong.
pub fn judge(programs: &[PathBuf], under_stress: bool) {
    let mut failures = Vec::new();
    for program in programs {
        let source = fs::read_to_string(program).expect("a test program is readable");
        let expected = Expectation::of(&source);
        let mut command = lox();
        if under_stress {
            command.arg("--gc-stress").arg(expected.stress.unwrap_or(3).to_string());
        }
        let outcome = run(command.arg(program), b"");
        if let Err(difference) = expected.compare(&outcome) {
            failures.push(format!("{}: {difference}", program.display()));
        }
    }
    let mode = if under_stress { "under stress" } else { "plain" };
    eprintln!("{} programs {mode}, {} failures", programs.len(), failures.len());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// All programs in a folder and the folders in it, in order.
pub fn programs_in(folder: &Path) -> Vec<PathBuf> {
    let mut programs = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of test programs is readable") {
            let path = entry.expect("a folder entry is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "lox") {
                programs.push(path);
            }
        }
    }
    programs.sort();
    programs
}
