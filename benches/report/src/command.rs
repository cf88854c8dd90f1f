//! What the command does, from its arguments to its exit code.

use crate::arguments::{Arguments, Choice};
use crate::plan::{Circumstances, Effort, Set, matches, sets};
use crate::results::Results;
use crate::run::{Ending, Progress, Runner, Settings, adopt_orphans};
use crate::{checks, machine, merge, outputs, programs, timeline, versions};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use std::error::Error;
use std::fs;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The exit code where peers disagree, or one of ours failed.
pub const WRONG: u8 = 1;
/// The exit code of a wrong command line, and where there is nothing to report.
pub const NOTHING: u8 = 2;
/// The exit code after Ctrl-C, as a shell has it.
pub const INTERRUPTED: u8 = 130;

/// Does it.
///
/// # Errors
/// Where nothing can be measured or written.
pub fn run(arguments: &Arguments) -> Result<ExitCode, Box<dyn Error>> {
    fs::create_dir_all(&arguments.out)
        .map_err(|error| format!("cannot make {}: {error}", arguments.out.display()))?;
    if !arguments.draw.is_empty() {
        let reports = arguments.draw.iter().map(|file| outputs::read(file)).collect::<Result<Vec<_>, _>>()?;
        let results = merge::merged(reports)?;
        if arguments.draw.len() > 1 {
            outputs::save(&results, &arguments.out)?;
        }
        outputs::write(&results, &arguments.out)?;
        return Ok(judge(&results, Ending::default()));
    }
    let (results, ending) = measure(arguments)?;
    outputs::save(&results, &arguments.out)?;
    outputs::write(&results, &arguments.out)?;
    for warning in &results.warnings {
        eprintln!("report: {warning}");
    }
    for (who, why) in &results.skipped {
        eprintln!("report: not measured: {who}: {why}");
    }
    if results.runs.is_empty() && results.timeline.is_none() && !ending.interrupted {
        return Err("nothing was measured".into());
    }
    println!("{}", arguments.out.join("report.md").display());
    Ok(judge(&results, ending))
}

/// The exit code.
fn judge(results: &Results, ending: Ending) -> ExitCode {
    if !checks::different(results).is_empty() || ending.ours_failed {
        ExitCode::from(WRONG)
    } else if ending.interrupted {
        ExitCode::from(INTERRUPTED)
    } else {
        ExitCode::SUCCESS
    }
}

fn measure(arguments: &Arguments) -> Result<(Results, Ending), Box<dyn Error>> {
    let programs = match &arguments.programs {
        Some(directory) => directory.clone(),
        None if arguments.no_build => programs::beside()?,
        None => programs::build()?,
    };
    let stop = interruptible()?;
    adopt_orphans()?;
    let (parts, effort) = (arguments.parts(), effort(arguments));
    let mut progress = Progress::new();
    progress.now(format_args!("asking what this machine allows"));
    let ladder = programs::ladder(&programs, &stop)?;
    let root = programs::root();
    let mut results = Results {
        date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M").to_string(),
        command: command_line(),
        commit: versions::commit(&root),
        machine: machine::describe(),
        versions: versions::versions(&root),
        skipped: ladder.refused,
        ..Results::default()
    };
    results.machine.push(("ladder".into(), ladder.answer));
    let (size, rounds) =
        (if effort.quick { "a quick run with small sizes" } else { "a full run" }, effort.rounds);
    results.machine.push((
        "effort".into(),
        format!("{size}, {rounds} {}", if rounds == 1 { "round" } else { "rounds" }),
    ));
    let processors = machine::processors();
    let circumstances = Circumstances { rungs: ladder.rungs, processors, lox: programs::lox() };
    if parts.contains(&Choice::Lox) && circumstances.lox.is_empty() {
        results
            .skipped
            .push(("lox".into(), "there are no programs in examples/lox/programs/benchmarks".into()));
    }
    let sets = filtered(sets(&parts, effort, &circumstances), arguments)?;
    let settings = settings(arguments);
    let runner = Runner::new(&sets, &programs, &settings, &stop, &mut progress);
    let mut ending = runner.run(&mut results, |results| outputs::save(results, &arguments.out))?;
    if parts.contains(&Choice::Timeline) && !ending.interrupted {
        progress.now(format_args!("one cycle in detail"));
        match timeline::record(&programs, &arguments.out, effort.quick, settings.limit, &stop) {
            Ok(timeline) => results.timeline = Some(timeline),
            Err(why) => {
                results.warnings.push(format!("there is no timeline: {why}"));
                ending.ours_failed = true;
            }
        }
        ending.interrupted |= stop.load(Ordering::Relaxed);
    }
    progress.end();
    results.warnings.extend(checks::noisy(&results));
    results.warnings.extend(checks::different(&results));
    Ok((results, ending))
}

/// Set by the first Ctrl-C, after which the report ends in an orderly way. The second ends it at once.
fn interruptible() -> io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // In this order: what is set by the second action is seen by the first from the next signal on.
        flag::register_conditional_shutdown(signal, INTERRUPTED.into(), Arc::clone(&stop))?;
        flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

fn effort(arguments: &Arguments) -> Effort {
    let quick = arguments.quick;
    Effort { quick, rounds: arguments.rounds.unwrap_or(if quick { 3 } else { 5 }) }
}

fn settings(arguments: &Arguments) -> Settings {
    let seconds = |given: Option<u64>, full, quick| {
        Duration::from_secs(given.unwrap_or(if arguments.quick { quick } else { full }))
    };
    Settings {
        limit: seconds(arguments.limit, 300, 30),
        wait: seconds(arguments.wait, 20, 1),
        budget: arguments.budget.or(arguments.quick.then_some(160)).map(Duration::from_secs),
    }
}

/// What `--only` and `--peer` leave.
fn filtered(mut sets: Vec<Set>, arguments: &Arguments) -> Result<Vec<Set>, String> {
    let names = |names: &mut dyn Iterator<Item = &str>| {
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.dedup();
        names.join(", ")
    };
    for only in &arguments.only {
        if !sets.iter().any(|set| set.workload == *only) {
            let all = names(&mut sets.iter().map(|set| set.workload.as_str()));
            return Err(format!("there is no workload {only} in these parts; there are {all}"));
        }
    }
    for peer in &arguments.peers {
        let mut all = sets.iter().flat_map(|set| &set.peers).map(|peer| peer.name.as_str());
        if !all.clone().any(|name| matches(peer, name)) {
            return Err(format!("there is no peer {peer} in these parts; there are {}", names(&mut all)));
        }
    }
    sets.retain(|set| arguments.only.is_empty() || arguments.only.contains(&set.workload));
    for set in &mut sets {
        set.peers.retain(|peer| {
            arguments.peers.is_empty() || arguments.peers.iter().any(|filter| matches(filter, &peer.name))
        });
    }
    Ok(sets)
}

/// The command line without directories outside: where the report lies, and where it goes, is nobody's business.
fn command_line() -> String {
    let name = |word: &str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let words = std::env::args().skip(1).map(|word| if word.starts_with('/') { name(&word) } else { word });
    ["report".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}
