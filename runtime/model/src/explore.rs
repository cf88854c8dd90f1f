//! Trying the schedules of models, and saying what was found.
//!
//! Each exploration runs in a process of its own, since a mistake may end it in any way. The program
//!
//! 1. explores each model as the code is, which has to succeed, and to be complete;
//! 2. explores it with each of the mistakes that it is to catch (`mutation!` in the code), which have to fail, and as the model says:
//!    a mistake that ends it in another way is not what was made, or not what the model is about;
//! 3. weakens the memory orders that a model shows to be needed ([`Model::orders`]) to `Relaxed`, one after the other,
//!    which has to fail as said too.
//!
//! How far an exploration goes is counted in schedules, never in time: what is caught does not depend on the machine, nor on what
//! else it does. A schedule that does not end is none of the failures that count ([`ENDLESS`]).
//!
//! `--only NAME` keeps to one model, and `--limit N` cuts off after so many schedules. `--orders` does instead what takes long: it
//! weakens every order in turn that the protocols name and a model executes, and says which of them are needed in some model.

use crate::sync::orders::{self, Place};
use crate::sync::{checker, death, mistakes};
use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// A protocol with some threads.
#[derive(Copy, Clone, Debug)]
pub struct Model {
    /// How it is called.
    pub name: &'static str,
    /// How often a thread is interrupted in a schedule, at most.
    pub preemptions: usize,
    /// Mistakes that it catches, each with a part of what is found to be wrong.
    pub mistakes: &'static [(&'static str, &'static str)],
    /// Orders that it shows to be needed: the end of the file's name, what the line has in it, and a part of what is found to be
    /// wrong without.
    pub orders: &'static [(&'static str, &'static str, &'static str)],
    /// Whether a thread dies in it: at each of its accesses in turn, from the first on, until there is none left in any schedule.
    pub deaths: bool,
    /// One schedule.
    pub run: fn(),
}

/// What is found to be wrong where all threads are asleep.
pub const STUCK: &str = "deadlock; threads";

/// What loom says of a schedule that does not end. It may be a mistake's doing, but says nothing of what went wrong; whoever turns in
/// circles says so himself ([`crate::sys::futex::pause_briefly`]).
const ENDLESS: &str = "Model exceeded maximum number of branches";

/// How many schedules an exploration may have. One that has more is not complete.
const LIMIT: u64 = 600_000;

/// The same with `--orders`, where most of what is weakened is not caught.
const LIMIT_OF_EACH: u64 = 60_000;

/// How often loom looks at how many there were.
const STEP: u64 = 1_000;

/// What the program says where it has no model of that name, as `.ci/model` knows.
const NO_MODEL: u8 = 3;

static SCHEDULES: AtomicU64 = AtomicU64::new(0);

/// The program. Two explorations are at work at a time, so the models that take longest are best in front.
pub fn main(models: &[Model]) -> ExitCode {
    let mut options = std::env::args().skip(1);
    let (mut run, mut only, mut with_orders, mut limit) = (None, None, false, LIMIT);
    while let Some(option) = options.next() {
        let mut value = || options.next().expect("a value");
        match option.as_str() {
            "--run" => run = Some(value()),
            "--mistake" => mistakes::make(value()),
            "--weaken" => orders::weaken(Place::parse(&value()).expect("a place")),
            "--limit" => limit = value().parse().expect("a number"),
            "--only" => only = Some(value()),
            "--orders" => with_orders = true,
            other => {
                eprintln!("{other}? --only NAME, --orders, --limit SCHEDULES");
                return ExitCode::FAILURE;
            }
        }
    }
    let find = |name: &str| models.iter().find(|model| model.name == name).expect("a model of that name");
    if let Some(name) = run {
        explore(find(&name), limit);
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<Model> = match &only {
        // The other program may have it.
        Some(name) => models.iter().filter(|model| model.name == name).copied().collect(),
        None => models.to_vec(),
    };
    if chosen.is_empty() {
        return ExitCode::from(NO_MODEL);
    }
    let mut report = Report { limit: limit.to_string(), ..Report::default() };
    let places = report.go_through(&chosen);
    if with_orders {
        weaken_each(&places);
    } else {
        report.weaken_needed(&chosen, &places);
    }
    report.end(chosen.len())
}

/// In the process of one exploration.
fn explore(model: &Model, limit: u64) {
    std::panic::set_hook(Box::new(|info| {
        static FIRST: AtomicU64 = AtomicU64::new(0);
        if FIRST.fetch_add(1, Ordering::Relaxed) == 0 {
            let payload = info.payload();
            let what = payload.downcast_ref::<String>().map(String::as_str);
            let what = what.or(payload.downcast_ref::<&str>().copied()).unwrap_or_default();
            let place = info.location().map_or_else(String::new, |at| {
                let file = at.file().rsplit('/').next().unwrap_or_default();
                format!(" ({file}:{})", at.line())
            });
            println!("failed: {}{place}", what.replace('\n', " "));
        }
    }));
    crate::sys::futex::let_limits_pass(model.deaths);
    let run = model.run;
    let (mut moment, mut is_complete) = (1, false);
    while SCHEDULES.load(Ordering::Relaxed) < limit {
        death::set_moment(moment);
        let left = limit - SCHEDULES.load(Ordering::Relaxed);
        check(model.preemptions, left, move || {
            SCHEDULES.fetch_add(1, Ordering::Relaxed);
            crate::sys::futex::forget_all();
            crate::sync::provide();
            run();
        });
        if !death::has_struck() {
            is_complete = SCHEDULES.load(Ordering::Relaxed) < limit;
            break;
        }
        moment += 1;
    }
    println!("schedules: {}", SCHEDULES.load(Ordering::Relaxed));
    println!("complete: {is_complete}");
    // At the last one nobody died any more.
    println!("moments: {}", moment - 1);
    orders::seen().iter().for_each(|place| println!("order: {place}"));
}

fn check(preemptions: usize, limit: u64, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = checker::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.max_permutations = Some(limit.next_multiple_of(STEP) as usize);
    builder.checkpoint_interval = STEP as usize;
    builder.check(run);
}

/// What came of an exploration.
#[derive(Debug)]
struct Outcome {
    schedules: u64,
    is_complete: bool,
    /// At how many accesses a thread has died.
    moments: u64,
    places: Vec<Place>,
    /// What was found to be wrong.
    failure: Option<String>,
}

impl Outcome {
    /// Whether it failed as expected: what was found, or else what came of it instead.
    fn caught(&self, expected: &str) -> Result<String, String> {
        match &self.failure {
            Some(why) if why.contains(ENDLESS) => Err("a schedule does not end".into()),
            Some(why) if why.contains(expected) => Ok(brief(why)),
            Some(why) => Err(format!("expected: {expected}; found: {}", brief(why))),
            None if self.is_complete => Err(format!("in all {} schedules", self.schedules)),
            None => Err(format!("cut off after {} schedules", self.schedules)),
        }
    }
}

fn explore_apart(model: &str, change: &[&str]) -> Outcome {
    // This program, also where another was built in its place meanwhile.
    let output =
        Command::new("/proc/self/exe").args(["--run", model]).args(change).output().expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    let values = |key: &str| {
        let key = format!("{key}: ");
        text.lines().filter_map(|line| line.strip_prefix(&key)).map(str::to_owned).collect::<Vec<_>>()
    };
    let failure = (!output.status.success()).then(|| {
        let said = values("failed").into_iter().next();
        let end = || format!("{}, {}", output.status, String::from_utf8_lossy(&output.stderr));
        said.unwrap_or_else(end)
    });
    let number = |key| values(key).first().map_or(0, |n| n.parse().expect("a number"));
    Outcome {
        schedules: number("schedules"),
        moments: number("moments"),
        is_complete: values("complete").first().is_some_and(|is| is == "true"),
        places: values("order").iter().filter_map(|place| Place::parse(place)).collect(),
        failure,
    }
}

/// Does each of the jobs, two at a time, and returns the results in order.
fn each<J: Sync, R: Send>(jobs: &[J], work: impl Fn(&J) -> R + Sync) -> Vec<R> {
    let next = AtomicU64::new(0);
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                loop {
                    let k = next.fetch_add(1, Ordering::Relaxed) as usize;
                    let Some(job) = jobs.get(k) else { return };
                    let result = work(job);
                    results.lock().unwrap().insert(k, result);
                }
            });
        }
    });
    results.into_inner().unwrap().into_values().collect()
}

/// Places of orders, each with the models that execute it.
type Places = BTreeMap<Place, Vec<&'static str>>;

/// What came of it all.
#[derive(Default)]
struct Report {
    /// How many schedules an exploration may have.
    limit: String,
    /// Which mistakes were caught: some by several models.
    caught: BTreeSet<&'static str>,
    needed: BTreeSet<Place>,
    /// How many things are not as they should be.
    wrong: u32,
}

impl Report {
    fn wrong(&mut self, what: std::fmt::Arguments<'_>) {
        println!("{what}");
        self.wrong += 1;
    }

    /// The first two parts.
    fn go_through(&mut self, models: &[Model]) -> Places {
        let jobs: Vec<(&Model, Option<(&'static str, &str)>)> = models
            .iter()
            .flat_map(|model| {
                let wrong = model.mistakes.iter().map(|mistake| Some(*mistake));
                std::iter::once(None).chain(wrong).map(move |mistake| (model, mistake))
            })
            .collect();
        let outcomes = each(&jobs, |(model, mistake)| match mistake {
            None => explore_apart(model.name, &["--limit", &self.limit]),
            Some((mistake, _)) => explore_apart(model.name, &["--limit", &self.limit, "--mistake", mistake]),
        });
        let mut places = Places::new();
        for ((model, mistake), outcome) in jobs.iter().zip(outcomes) {
            match mistake {
                None => self.explored(model, outcome, &mut places),
                Some((mistake, expected)) => match outcome.caught(expected) {
                    Ok(why) => {
                        println!("    caught: {mistake}: {why}");
                        self.caught.insert(mistake);
                    }
                    Err(why) => self.wrong(format_args!("    NOT CAUGHT: {mistake}: {why}")),
                },
            }
        }
        places
    }

    /// A model of the code as it is.
    fn explored(&mut self, model: &Model, outcome: Outcome, places: &mut Places) {
        let (name, schedules) = (model.name, outcome.schedules);
        if let Some(why) = outcome.failure {
            return self.wrong(format_args!("{name}: WRONG: {why}"));
        }
        if !outcome.is_complete {
            let moment =
                if model.deaths { format!(", at death {}", outcome.moments + 1) } else { String::new() };
            return self.wrong(format_args!("{name}: CUT OFF after {schedules} schedules{moment}"));
        }
        let deaths = if model.deaths {
            format!(", a death at each of {} accesses", outcome.moments)
        } else {
            String::new()
        };
        println!("{name}: {schedules} schedules (all with {} preemptions{deaths})", model.preemptions);
        for place in outcome.places {
            places.entry(place).or_default().push(name);
        }
    }

    /// The third part.
    fn weaken_needed(&mut self, models: &[Model], places: &Places) {
        let mut jobs = Vec::new();
        for model in models {
            for (file, text, expected) in model.orders {
                let before = jobs.len();
                let of_model = places.iter().filter(|(_, models)| models.contains(&model.name));
                let found = of_model.filter(|(place, _)| place.file.ends_with(file) && names(place, text));
                jobs.extend(found.map(|(place, _)| (model.name, place, *expected)));
                if jobs.len() == before {
                    self.wrong(format_args!("{}: OUT OF DATE: no order in {file} at: {text}", model.name));
                }
            }
        }
        let outcomes =
            each(&jobs, |(model, place, _)| explore_apart(model, &["--weaken", &place.to_string()]));
        for ((model, place, expected), outcome) in jobs.into_iter().zip(outcomes) {
            let line = source_line(place);
            match outcome.caught(expected) {
                Ok(why) => {
                    println!("{model}: needed: {}: {line}: {why}", short(place));
                    self.needed.insert(place.clone());
                }
                Err(why) => {
                    self.wrong(format_args!(
                        "{model}: NOT CAUGHT: weakened: {}: {line}: {why}",
                        short(place)
                    ));
                }
            }
        }
    }

    fn end(self, models: usize) -> ExitCode {
        let (caught, needed) = (self.caught.len(), self.needed.len());
        println!("{models} models, {caught} different mistakes caught, {needed} orders shown to be needed");
        if self.wrong > 0 {
            println!("{} of all that is NOT as it should be", self.wrong);
            return ExitCode::FAILURE;
        }
        ExitCode::SUCCESS
    }
}

/// Of all orders.
fn weaken_each(places: &Places) {
    let jobs: Vec<_> = places.iter().collect();
    let limit = LIMIT_OF_EACH.to_string();
    let caught_by = each(&jobs, |(place, models)| {
        let change = ["--weaken", &place.to_string(), "--limit", &limit];
        models.iter().copied().find(|model| explore_apart(model, &change).caught("").is_ok())
    });
    let needed = caught_by.iter().flatten().count();
    println!("orders: {} that the models execute, {needed} needed in one of them", jobs.len());
    for ((place, models), caught_by) in jobs.iter().zip(caught_by) {
        let found = match caught_by {
            Some(model) => format!("needed ({model})"),
            None => format!("not shown to be needed ({})", models.join(", ")),
        };
        println!("    {}: {}: {found}", short(place), source_line(place));
    }
}

/// Whether the place is in that text on its line, which may have several.
fn names(place: &Place, text: &str) -> bool {
    let source = std::fs::read_to_string(&place.file).unwrap_or_default();
    let line = source.lines().nth(place.line as usize - 1).unwrap_or_default();
    line.find(text).is_some_and(|at| (at..at + text.len()).contains(&(place.column as usize - 1)))
}

fn source_line(place: &Place) -> String {
    let source = std::fs::read_to_string(&place.file).unwrap_or_default();
    source.lines().nth(place.line as usize - 1).unwrap_or_default().trim().to_owned()
}

fn short(place: &Place) -> String {
    let name = place.file.rsplit("/../src/").next().unwrap_or(&place.file);
    format!("{name}:{}", place.line)
}

fn brief(why: &str) -> String {
    why.replace("assertion `left == right` failed: ", "").chars().take(100).collect()
}
