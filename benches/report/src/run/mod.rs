//! Runs what was planned, and takes down what came of it.
//!
//! One program runs at a time, with nothing of ours beside it but a sleeping parent. Whatever goes wrong with a run is a sentence in the
//! results and the end of that peer on that workload: no other run depends on it, and the report goes on.

mod line;
mod process;
mod progress;
mod quiet;
mod sample;

pub use process::{End, Outcome, Program, adopt_orphans};
pub use progress::{Left, Progress};

use crate::machine::available_mib;
use crate::plan::{Peer, Set, Step, Turn, steps};
use crate::results::Results;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A program exits with this where something that it needs is not on this machine. The reason is on standard error.
pub const NOT_HERE: i32 = 3;

/// How runs are made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long one may take.
    pub limit: Duration,
    /// How long to wait for a quiet machine before one.
    pub wait: Duration,
    /// After how long no more are begun.
    pub budget: Option<Duration>,
}

/// How it all ended.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Ending {
    /// Runs that came to a result, warm-ups and those for memory included.
    pub made: usize,
    /// Whether one of ours failed.
    pub ours_failed: bool,
    /// Whether somebody ended it early.
    pub interrupted: bool,
}

/// Runs sets of workloads.
pub struct Runner<'a> {
    sets: &'a [Set],
    programs: &'a Path,
    settings: &'a Settings,
    stop: &'a AtomicBool,
    progress: &'a mut Progress,
    /// Set and peer of what is not run any more.
    dropped: HashSet<(usize, usize)>,
    /// How long each took the last time.
    lengths: HashMap<(usize, usize), Duration>,
    ending: Ending,
    /// Whether the last run had the machine for itself, so that the next need not look.
    quiet: bool,
    /// How long to wait for it before the next, if not.
    patience: Duration,
}

impl<'a> Runner<'a> {
    /// Of these sets, with the programs of a directory. Once `stop` is set, nothing runs any more.
    pub fn new(
        sets: &'a [Set],
        programs: &'a Path,
        settings: &'a Settings,
        stop: &'a AtomicBool,
        progress: &'a mut Progress,
    ) -> Self {
        Self {
            sets,
            programs,
            settings,
            stop,
            progress,
            dropped: HashSet::new(),
            lengths: HashMap::new(),
            ending: Ending::default(),
            quiet: false,
            patience: settings.wait,
        }
    }

    /// Makes all runs, and adds to `results`. After every round `save` has them.
    ///
    /// # Errors
    /// Those of `save`.
    pub fn run(
        mut self,
        results: &mut Results,
        mut save: impl FnMut(&Results) -> io::Result<()>,
    ) -> io::Result<Ending> {
        let steps = steps(self.sets);
        let start = Instant::now();
        for (place, &step) in steps.iter().enumerate() {
            if place > 0 && (steps[place - 1].set, steps[place - 1].turn) != (step.set, step.turn) {
                save(results)?;
            }
            if self.settings.budget.is_some_and(|budget| start.elapsed() >= budget) {
                let left = steps.len() - place;
                results.warnings.push(format!(
                    "the time that was given ({} s) was over before the last {left} of {} runs",
                    start.elapsed().as_secs(),
                    steps.len()
                ));
                break;
            }
            if !self.dropped.contains(&(step.set, step.peer)) {
                self.announce(step, place, &steps);
                self.step(step, results);
            }
            if self.stop.load(Ordering::Relaxed) {
                self.ending.interrupted = true;
                let made = place + 1;
                results.warnings.push(format!("interrupted after {made} of {} runs", steps.len()));
                break;
            }
        }
        save(results)?;
        Ok(self.ending)
    }

    fn announce(&mut self, step: Step, place: usize, steps: &[Step]) {
        let (set, peer) = (&self.sets[step.set], &self.sets[step.set].peers[step.peer]);
        let (run, runs, name) = (place + 1, steps.len(), set.name());
        let left = self.left(&steps[place..]);
        let turn = Shown(step.turn, set.rounds);
        match left {
            Some(left) => self.progress.now(format_args!(
                "[{run}/{runs}, {} left] {name}: {}, {turn}",
                Left(left),
                peer.name
            )),
            None => self.progress.now(format_args!("[{run}/{runs}] {name}: {}, {turn}", peer.name)),
        }
    }

    /// How long these steps will take: as long as the last time, or where there was none, as long as others took on average.
    fn left(&self, steps: &[Step]) -> Option<Duration> {
        let known: Duration = self.lengths.values().sum();
        let mean = known.checked_div(self.lengths.len() as u32)?;
        let keys = steps.iter().map(|step| (step.set, step.peer)).filter(|key| !self.dropped.contains(key));
        Some(keys.map(|key| self.lengths.get(&key).copied().unwrap_or(mean)).sum())
    }

    fn step(&mut self, step: Step, results: &mut Results) {
        let (set, peer) = (&self.sets[step.set], &self.sets[step.set].peers[step.peer]);
        let needs = set.needs.for_peer(peer);
        if let Some(available) = available_mib()
            && available < needs
        {
            let why = format!("{} needs about {needs:.0} MiB, and {available:.0} are available", set.name());
            results.skipped.push((peer.name.clone(), why));
            self.dropped.insert((step.set, step.peer));
            return;
        }
        let start = Instant::now();
        if !self.quiet {
            // A machine that does not become quiet is waited for less and less.
            let came = quiet::wait(self.patience, self.stop);
            self.patience = if came { self.settings.wait } else { self.patience / 2 };
        }
        if self.stop.load(Ordering::Relaxed) {
            return;
        }
        match self.make(set, peer, step.turn, results) {
            Ok(()) => {
                self.ending.made += 1;
                self.lengths.insert((step.set, step.peer), start.elapsed());
            }
            Err(Trouble::Interrupted) => {}
            Err(Trouble::NotHere(why)) => {
                results.skipped.push((peer.name.clone(), why));
                for (place, set) in self.sets.iter().enumerate() {
                    let same = set.peers.iter().enumerate().filter(|(_, other)| other.name == peer.name);
                    self.dropped.extend(same.map(|(k, _)| (place, k)));
                }
            }
            Err(Trouble::Failed(why)) => {
                let warning =
                    format!("{} on {}, {}: {why}", set.name(), peer.name, Shown(step.turn, set.rounds));
                self.progress.say(format_args!("{warning}"));
                results.warnings.push(warning);
                self.dropped.insert((step.set, step.peer));
                self.ending.ours_failed |= peer.is_ours();
            }
        }
    }

    /// Makes one run. One that counts becomes a part of the results.
    fn make(&mut self, set: &Set, peer: &Peer, turn: Turn, results: &mut Results) -> Result<(), Trouble> {
        let program = Program {
            path: self.programs.join(&peer.program),
            arguments: peer.arguments.iter().chain(&set.arguments).cloned().collect(),
            environment: peer.environment.clone(),
        };
        let watch = quiet::Watch::start();
        let memory = turn == Turn::Memory;
        let outcome = program
            .run(self.settings.limit, memory, self.stop)
            .map_err(|error| Trouble::Failed(format!("{}: {error}", peer.program)))?;
        let noisy = watch.was_noisy(outcome.cpu_s);
        self.quiet = !noisy;
        succeeded(&outcome, self.settings.limit)?;
        let round = if let Turn::Round(round) = turn { round } else { 0 };
        let run = line::run(set, peer, round, &outcome, noisy).map_err(Trouble::Failed)?;
        match turn {
            Turn::WarmUp => {}
            Turn::Memory if run.pss_mib.is_none() => {
                return Err(Trouble::Failed("its memory could not be seen".into()));
            }
            Turn::Memory | Turn::Round(_) => results.runs.push(run),
        }
        Ok(())
    }
}

/// Why a run came to nothing.
enum Trouble {
    NotHere(String),
    Failed(String),
    Interrupted,
}

fn succeeded(outcome: &Outcome, limit: Duration) -> Result<(), Trouble> {
    let status = match outcome.end {
        End::Interrupted => return Err(Trouble::Interrupted),
        End::OverLimit => {
            let limit = limit.as_secs_f64();
            return Err(Trouble::Failed(format!("it ran for more than {limit} s and was killed")));
        }
        End::Itself(status) => status,
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(NOT_HERE), _) => Err(Trouble::NotHere(outcome.last_words().into())),
        (_, Some(signal)) => {
            Err(Trouble::Failed(format!("it died by signal {signal}: {}", outcome.last_words())))
        }
        (code, None) => {
            let code = code.unwrap_or(-1);
            Err(Trouble::Failed(format!("it failed with exit code {code}: {}", outcome.last_words())))
        }
    }
}

/// A turn among so many rounds.
struct Shown(Turn, u32);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Turn::WarmUp => f.write_str("warming up"),
            Turn::Round(round) => write!(f, "round {} of {}", round + 1, self.1),
            Turn::Memory => f.write_str("looking at memory"),
        }
    }
}
