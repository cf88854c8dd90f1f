//! What a collector costs at least, after Cai, Blackburn, Bond and Maas, "Distilling the Real Cost of Production Garbage Collectors"
//! (2022).
//!
//! Nobody knows what a program would cost without memory management. But it would cost no more than it did with any of the
//! peers, less what that peer is known to have spent on collecting: the time in which it stopped the world. The least of these over
//! all peers is therefore an upper bound of the program's own cost, and what a peer takes over it is a lower bound of the peer's
//! cost. It counts what pauses do not show: barriers, allocation, concurrent marking, page faults, locality.
//!
//! Elapsed time and processor time have a bound each. How many processors marked during a pause is not known of every peer, so from
//! the processor time a pause is taken once; and where the machine was busy with something else, only as much of it as the
//! peer had of a processor on average. The bound of the processor time is therefore the more cautious one.

use super::group::{Group, Table};
use super::mmu::Pauses;
use crate::results::Run;

/// The least that a workload has been seen to cost, and each peer's overhead over that.
#[derive(Clone, Debug, PartialEq)]
pub struct Bounds {
    /// The bound of elapsed seconds, and the peer that it is from.
    pub wall: (f64, String),
    /// The bound of processor seconds, likewise.
    pub cpu: (f64, String),
    /// Peers, in the order of the table.
    pub overheads: Vec<Overhead>,
}

/// What a peer takes over the bounds, as a share of them: 0.5 is half as much again.
#[derive(Clone, Debug, PartialEq)]
pub struct Overhead {
    /// The peer.
    pub peer: String,
    /// Of elapsed time.
    pub wall: f64,
    /// Of processor time.
    pub cpu: f64,
}

/// The bounds of a workload; nothing where no peer has run it, or the clock has seen no time pass.
///
/// `server` has none: a schedule sets its pace, and it waits awake. What a pause takes, it takes from that waiting: less its pauses, a run
/// would have been over before its schedule.
pub fn bounds(table: &Table<'_>) -> Option<Bounds> {
    if table.workload == "server" {
        return None;
    }
    let wall = least(table, |run| run.wall_s - stopped_s(run))?;
    let cpu = least(table, |run| run.cpu_s - stopped_s(run) * (run.cpu_s / run.wall_s).min(1.0))?;
    let overhead = |group: &Group<'_>| {
        Some(Overhead {
            peer: group.peer.to_owned(),
            wall: group.median(|run| run.wall_s)? / wall.0 - 1.0,
            cpu: group.median(|run| run.cpu_s)? / cpu.0 - 1.0,
        })
    };
    let overheads = table.groups.iter().filter_map(overhead).collect();
    Some(Bounds { wall, cpu, overheads })
}

/// The least over all peers of a time that is without the peer's pauses.
fn least(table: &Table<'_>, without: impl Fn(&Run) -> f64) -> Option<(f64, String)> {
    table
        .groups
        .iter()
        .filter_map(|group| Some((group.median(&without)?, group.peer.to_owned())))
        .filter(|(least, _)| *least > 0.0)
        .min_by(|a, b| a.0.total_cmp(&b.0))
}

/// Seconds in which the world stood still.
pub fn stopped_s(run: &Run) -> f64 {
    Pauses::new(&run.pauses_ms, run.wall_s * 1e3).total() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::group::tables;
    use crate::measure::tests::run;
    use crate::results::{Part, Results};

    /// A collector that is slow only for its pauses bounds the cost of the program from below that of explicit frees.
    #[test]
    fn the_bound_is_the_least_time_outside_of_pauses() {
        let mut collector = run("graph", "bdwgc", 3.0, &[(0.0, 1500.0), (2000.0, 600.0)]);
        collector.cpu_s = 6.0;
        let mut frees = run("graph", "malloc", 1.0, &[]);
        frees.cpu_s = 1.0;
        let results = Results { runs: vec![collector, frees], ..Results::default() };
        let bounds = bounds(&tables(&results, Part::Programs)[0]).unwrap();
        assert_eq!((bounds.wall.1.as_str(), bounds.cpu.1.as_str()), ("bdwgc", "malloc"));
        assert!((bounds.wall.0 - 0.9).abs() < 1e-9 && (bounds.cpu.0 - 1.0).abs() < 1e-9);
        let [collector, frees] = &bounds.overheads[..] else { panic!("two peers") };
        assert!((collector.wall - (3.0 / 0.9 - 1.0)).abs() < 1e-9);
        assert!((frees.wall - (1.0 / 0.9 - 1.0)).abs() < 1e-9);
        assert_eq!((collector.cpu, frees.cpu), (5.0, 0.0));
    }

    /// A pause of 0.9 seconds, in a run that had a fifth of a processor, was not 0.9 seconds of a processor.
    #[test]
    fn a_pause_takes_no_more_of_a_processor_than_the_run_had() {
        let mut starved = run("graph", "bdwgc", 1.0, &[(0.0, 900.0)]);
        starved.cpu_s = 0.2;
        let results = Results { runs: vec![starved], ..Results::default() };
        let bounds = bounds(&tables(&results, Part::Programs)[0]).unwrap();
        assert!((bounds.cpu.0 - 0.02).abs() < 1e-9, "{}", bounds.cpu.0);
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        let results = Results { runs: vec![run("graph", "malloc", 0.0, &[])], ..Results::default() };
        assert_eq!(bounds(&tables(&results, Part::Programs)[0]), None);
    }
}
