//! Runs the scenario in a process of its own, and reads what it reports.

use crate::expected::Outcome;
use crate::scenario::{self, Fault};
use palimpsest_runtime::sys::inject::{Call, Role};
use std::collections::HashMap;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// What a process is told by.
const VARIABLE: &str = "PALIMPSEST_TEST_FAULT";

/// Seconds until a process that hangs is killed.
const PATIENCE: u32 = 60;

/// What came of one run.
#[derive(Debug, Default)]
pub struct Report {
    /// What the program met, and why.
    pub met: Vec<(Outcome, String)>,
    /// How many calls were made until the heap was there.
    pub built: HashMap<Call, u64>,
    /// How many calls were made.
    pub made: HashMap<(Role, Call), u64>,
    /// How many of them failed on purpose.
    pub dealt: u64,
    pub took: Duration,
}

/// In a process that was started by [`run`]: plays the scenario. Whether it is one.
pub fn is_played_here() -> bool {
    let Ok(text) = std::env::var(VARIABLE) else { return false };
    // SAFETY: `alarm` has no precondition. A process that hangs is killed by its signal.
    unsafe { libc::alarm(PATIENCE) };
    let (rung, fault) = text.split_once(';').expect("a rung and a fault");
    scenario::play(rung, read_fault(fault));
    true
}

fn read_fault(text: &str) -> Option<Fault> {
    let fields: Vec<u32> = text.split(',').map_while(|field| field.parse().ok()).collect();
    let [row, errno, after, times] = fields[..] else { return None };
    Some(Fault { row: row as usize, errno: errno as usize, after, times })
}

/// Plays the scenario with this fault, or none, in the test of this name.
///
/// # Errors
/// Where it does not end well, with what it said.
pub fn run(test: &str, rung: &str, fault: Option<Fault>) -> Result<Report, String> {
    let fault = fault.map_or(String::new(), |f| format!("{},{},{},{}", f.row, f.errno, f.after, f.times));
    let this = std::env::current_exe().expect("this program");
    let start = Instant::now();
    let ended = Command::new(this)
        .args(["--exact", test, "--nocapture", "--test-threads", "1"])
        .env(VARIABLE, format!("{rung};{fault}"))
        .env_remove(palimpsest::ladder::VARIABLE)
        .output()
        .expect("this program again");
    let (out, said) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    let mut report = read(&out);
    report.took = start.elapsed();
    let done = out.lines().any(|line| line == "REPORT done");
    if done && ended.status.success() {
        return Ok(report);
    }
    if ended.status.signal() == Some(libc::SIGABRT) && said.contains("palimpsest: ") {
        // It could not say so.
        report.dealt += 1;
        report.met.push((Outcome::Stops, said.into_owned()));
        return Ok(report);
    }
    let hangs = if ended.status.signal() == Some(libc::SIGALRM) { " (it hung)" } else { "" };
    Err(format!("{}{hangs}\n{said}", ended.status))
}

fn read(out: &str) -> Report {
    let mut report = Report::default();
    for line in out.lines().filter_map(|line| line.strip_prefix("REPORT ")) {
        let mut fields = line.split(' ');
        let mut next = || fields.next().unwrap_or_default();
        match next() {
            "met" => {
                let (outcome, rest) = line["met ".len()..].split_once(' ').unwrap_or_default();
                report.met.push((Outcome::of_name(outcome), rest.into()));
            }
            "built" => {
                let call = call_of(next());
                report.built.insert(call, next().parse().expect("a number"));
            }
            "made" => {
                let role = next();
                let role = Role::ALL.into_iter().find(|r| format!("{r:?}") == role).expect("a role");
                let call = call_of(next());
                report.made.insert((role, call), next().parse().expect("a number"));
            }
            "dealt" => report.dealt = next().parse().expect("a number"),
            _ => {}
        }
    }
    report
}

fn call_of(name: &str) -> Call {
    *Call::ALL.iter().find(|call| format!("{call:?}") == name).expect("a call")
}
