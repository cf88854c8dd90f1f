//! Trying the schedules of models, and saying what was found.
//!
//! Each exploration runs in a process of its own: a mistake may end it in any way, and that is how it is caught. The program
//!
//! 1. explores each model as the code is, which has to succeed;
//! 2. explores it with each of the mistakes that it is to catch (`mutation!` in the code), which have to fail;
//! 3. weakens the memory orders that a model shows to be needed ([`Model::orders`]) to `Relaxed`, one after the other,
//!    which has to fail too.
//!
//! `--only NAME` keeps to one model. `--orders` does instead what takes long: it weakens every order in turn that the protocols
//! name and a model executes, and says which of them are needed in some model.

use crate::sync::orders::{self, Place};
use crate::sync::{checker, death, mistakes};
use std::collections::BTreeMap;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A protocol with some threads.
#[derive(Copy, Clone, Debug)]
pub struct Model {
    /// How it is called.
    pub name: &'static str,
    /// How often a thread is interrupted in a schedule, at most.
    pub preemptions: usize,
    /// Mistakes that it catches.
    pub mistakes: &'static [&'static str],
    /// Orders that it shows to be needed: the end of the file's name, and what the line has in it.
    pub orders: &'static [(&'static str, &'static str)],
    /// Whether a thread dies in it: at each of its accesses in turn, from the first on, until there is none left in any schedule.
    pub deaths: bool,
    /// One schedule.
    pub run: fn(),
}

/// For how long one exploration may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The same with a mistake or a weakened order.
const LIMIT_WRONG: Duration = Duration::from_secs(20);

static SCHEDULES: AtomicU64 = AtomicU64::new(0);

/// The program.
pub fn main(models: &[Model]) -> ExitCode {
    let mut options = std::env::args().skip(1);
    let (mut run, mut only, mut with_orders) = (None, None, false);
    let mut wrong = false;
    while let Some(option) = options.next() {
        let mut value = || options.next().expect("a value");
        match option.as_str() {
            "--run" => run = Some(value()),
            "--mistake" => {
                mistakes::make(value());
                wrong = true;
            }
            "--weaken" => {
                orders::weaken(Place::parse(&value()).expect("a place"));
                wrong = true;
            }
            "--only" => only = Some(value()),
            "--orders" => with_orders = true,
            other => {
                eprintln!("{other}? --only NAME, --orders");
                return ExitCode::FAILURE;
            }
        }
    }
    let find = |name: &str| models.iter().find(|model| model.name == name).expect("a model of that name");
    if let Some(name) = run {
        explore(find(&name), if wrong { LIMIT_WRONG } else { LIMIT });
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<Model> = match &only {
        // The other program may have it.
        Some(name) => models.iter().filter(|model| model.name == name).copied().collect(),
        None => models.to_vec(),
    };
    let mut all_well = true;
    let places = go_through(&chosen, &mut all_well);
    if with_orders {
        weaken_each(&places);
    } else {
        weaken_needed(&chosen, &places, &mut all_well);
    }
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// In the process of one exploration.
fn explore(model: &Model, limit: Duration) {
    std::panic::set_hook(Box::new(|info| {
        static FIRST: AtomicU64 = AtomicU64::new(0);
        if FIRST.fetch_add(1, Ordering::Relaxed) == 0 {
            println!("failed: {}", info.to_string().replace('\n', " "));
        }
    }));
    let start = Instant::now();
    crate::sys::futex::let_limits_pass(model.deaths);
    let run = model.run;
    for moment in 1.. {
        death::set_moment(moment);
        check(model.preemptions, limit.saturating_sub(start.elapsed()), move || {
            SCHEDULES.fetch_add(1, Ordering::Relaxed);
            crate::sys::futex::forget_all();
            crate::sync::provide();
            run();
        });
        if !death::has_struck() || start.elapsed() >= limit {
            break;
        }
    }
    println!("schedules: {}", SCHEDULES.load(Ordering::Relaxed));
    println!("complete: {}", start.elapsed() < limit);
    orders::seen().iter().for_each(|place| println!("order: {place}"));
}

fn check(preemptions: usize, limit: Duration, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = checker::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.max_duration = Some(limit);
    // How often it looks at the clock.
    builder.checkpoint_interval = 1_000;
    builder.check(run);
}

/// What came of an exploration.
#[derive(Debug)]
struct Outcome {
    schedules: u64,
    is_complete: bool,
    places: Vec<Place>,
    /// What was found to be wrong.
    failure: Option<String>,
}

fn explore_apart(model: &str, change: &[&str]) -> Outcome {
    let program = std::env::current_exe().expect("this program's name");
    let output = Command::new(program).args(["--run", model]).args(change).output().expect("a process");
    let text = String::from_utf8_lossy(&output.stdout);
    let values = |key: &str| {
        let key = format!("{key}: ");
        text.lines().filter_map(|line| line.strip_prefix(&key)).map(str::to_owned).collect::<Vec<_>>()
    };
    let failure = (!output.status.success()).then(|| {
        let said = values("failed").into_iter().next();
        said.unwrap_or_else(|| format!("{}, {}", output.status, String::from_utf8_lossy(&output.stderr)))
    });
    Outcome {
        schedules: values("schedules").first().map_or(0, |n| n.parse().expect("a number")),
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

/// The first two parts. Returns the places of orders, each with the models that execute it.
fn go_through(models: &[Model], all_well: &mut bool) -> BTreeMap<Place, Vec<&'static str>> {
    let jobs: Vec<(&Model, Option<&str>)> = models
        .iter()
        .flat_map(|model| {
            let wrong = model.mistakes.iter().map(|mistake| Some(*mistake));
            std::iter::once(None).chain(wrong).map(move |mistake| (model, mistake))
        })
        .collect();
    let outcomes = each(&jobs, |(model, mistake)| match mistake {
        None => explore_apart(model.name, &[]),
        Some(mistake) => explore_apart(model.name, &["--mistake", mistake]),
    });
    let mut places = BTreeMap::<Place, Vec<&'static str>>::new();
    for ((model, mistake), outcome) in jobs.iter().zip(outcomes) {
        match (mistake, outcome.failure) {
            (None, None) => {
                let extent = if outcome.is_complete {
                    format!("all with {} preemptions", model.preemptions)
                } else {
                    format!("cut off after {} s", LIMIT.as_secs())
                };
                println!("{}: {} schedules ({extent})", model.name, outcome.schedules);
                for place in outcome.places {
                    places.entry(place).or_default().push(model.name);
                }
            }
            (None, Some(why)) => {
                println!("{}: WRONG: {why}", model.name);
                *all_well = false;
            }
            (Some(mistake), Some(why)) => println!("    caught: {mistake}: {}", brief(&why)),
            (Some(mistake), None) => {
                println!("    NOT CAUGHT: {mistake}, in {} schedules", outcome.schedules);
                *all_well = false;
            }
        }
    }
    places
}

/// The third part.
fn weaken_needed(models: &[Model], places: &BTreeMap<Place, Vec<&'static str>>, all_well: &mut bool) {
    let mut jobs = Vec::new();
    for model in models {
        for (file, text) in model.orders {
            let before = jobs.len();
            let of_model = places.iter().filter(|(_, models)| models.contains(&model.name));
            let found = of_model.filter(|(place, _)| place.file.ends_with(file) && names(place, text));
            jobs.extend(found.map(|(place, _)| (model.name, place)));
            if jobs.len() == before {
                println!("{}: OUT OF DATE: no order in {file} at: {text}", model.name);
                *all_well = false;
            }
        }
    }
    let outcomes = each(&jobs, |(model, place)| explore_apart(model, &["--weaken", &place.to_string()]));
    for ((model, place), outcome) in jobs.iter().zip(outcomes) {
        let line = source_line(place);
        match outcome.failure {
            Some(why) => println!("{model}: needed: {}: {line}: {}", short(place), brief(&why)),
            None => {
                println!("{model}: NOT CAUGHT: weakened: {}: {line}", short(place));
                *all_well = false;
            }
        }
    }
}

/// Of all orders.
fn weaken_each(places: &BTreeMap<Place, Vec<&'static str>>) {
    let jobs: Vec<_> = places.iter().collect();
    let caught_by = each(&jobs, |(place, models)| {
        let place = place.to_string();
        models.iter().copied().find(|model| explore_apart(model, &["--weaken", &place]).failure.is_some())
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
    why.chars().take(150).collect()
}
