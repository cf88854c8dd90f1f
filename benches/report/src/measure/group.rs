//! Runs that belong together: one peer on one workload with the same sizes is a [`Group`], all peers on it are a [`Table`].
//!
//! Which of a group's runs count is decided here. Runs that were made to look at memory are slower for it, and give their memory
//! only. Of the others, medians are those of the runs that had the machine for themselves, if at least half of them had; else
//! there is no telling, and all count. Pauses and latencies are taken from all: what was rare has to be looked for where it can be.

use super::mmu::Pauses;
use super::stats::{Summary, quantile, sorted};
use crate::results::{Part, Results, Run};

/// One workload with its sizes, on each peer that ran it.
#[derive(Clone, Debug)]
pub struct Table<'a> {
    /// The workload.
    pub workload: &'a str,
    /// Its sizes.
    pub params: &'a str,
    /// What a scaling part varies; see [`Run::x`].
    pub x: f64,
    /// Ours first, then the other collectors, then explicit frees.
    pub groups: Vec<Group<'a>>,
}

/// All runs of one peer on one workload.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// The peer.
    pub peer: &'a str,
    /// The runs whose times count for something, in their order.
    pub runs: Vec<&'a Run>,
    /// The runs that were made for their memory.
    pub memory: Vec<&'a Run>,
}

/// The tables of a part, in the order in which the workloads first ran; those of a scaling part with the least `x` first.
pub fn tables(results: &Results, part: Part) -> Vec<Table<'_>> {
    let mut tables: Vec<Table<'_>> = Vec::new();
    for run in results.runs.iter().filter(|run| run.part == part) {
        let same = |table: &Table<'_>| table.workload == run.workload && table.params == run.params;
        let table = match tables.iter().position(same) {
            Some(known) => known,
            None => {
                let (workload, params) = (run.workload.as_str(), run.params.as_str());
                tables.push(Table { workload, params, x: run.x, groups: Vec::new() });
                tables.len() - 1
            }
        };
        let groups = &mut tables[table].groups;
        let group = match groups.iter().position(|group| group.peer == run.peer) {
            Some(known) => known,
            None => {
                groups.push(Group { peer: &run.peer, runs: Vec::new(), memory: Vec::new() });
                groups.len() - 1
            }
        };
        let group = &mut groups[group];
        if run.pss_mib.is_some() { group.memory.push(run) } else { group.runs.push(run) }
    }
    for table in &mut tables {
        table.groups.sort_by_key(|group| rank(group.peer));
    }
    // Stable: workloads keep their order among those of the same size.
    tables.sort_by(|a, b| a.x.total_cmp(&b.x));
    tables
}

/// Where a peer stands in a table or a legend: ours from the best rung down, other collectors, explicit frees, none.
///
/// Unknown peers come last, by name.
pub fn rank(peer: &str) -> (usize, &str) {
    const ORDER: [&str; 14] = [
        "palimpsest",
        "palimpsest preimage/signal",
        "palimpsest preimage/monitor",
        "palimpsest preimage/protect",
        "palimpsest forkcow",
        "palimpsest forkcow/async",
        "palimpsest stw",
        "palimpsest stw/async",
        "bdwgc",
        "bdwgc-par",
        "bdwgc-inc",
        "malloc",
        "mimalloc",
        "bump",
    ];
    (ORDER.iter().position(|known| *known == peer).unwrap_or(ORDER.len()), peer)
}

impl<'a> Table<'a> {
    /// The workload and its sizes, as on the command line.
    pub fn name(&self) -> String {
        format!("{} {}", self.workload, self.params).trim_end().to_owned()
    }

    /// The group of a peer.
    pub fn of(&self, peer: &str) -> Option<&Group<'a>> {
        self.groups.iter().find(|group| group.peer == peer)
    }

    /// The least median of a figure over all peers.
    pub fn best(&self, figure: impl Fn(&Run) -> f64) -> Option<f64> {
        sorted(self.groups.iter().filter_map(|group| group.median(&figure))).first().copied()
    }
}

impl<'a> Group<'a> {
    /// The runs that medians are made of.
    pub fn kept(&self) -> Vec<&'a Run> {
        let quiet: Vec<&Run> = self.runs.iter().copied().filter(|run| !run.noisy).collect();
        if quiet.len() * 2 >= self.runs.len() { quiet } else { self.runs.clone() }
    }

    /// A figure of the runs that count.
    pub fn summary(&self, figure: impl Fn(&Run) -> f64) -> Option<Summary> {
        Summary::of(self.kept().into_iter().map(figure))
    }

    /// The median of a figure of the runs that count.
    pub fn median(&self, figure: impl Fn(&Run) -> f64) -> Option<f64> {
        self.summary(figure).map(|summary| summary.median)
    }

    /// The lengths of the pauses of all rounds together, in milliseconds, ascending.
    pub fn pauses(&self) -> Vec<f64> {
        sorted(self.runs.iter().flat_map(|run| run.pauses_ms.iter().map(|&(_, length)| length)))
    }

    /// The quantile `q` of [`pauses`](Self::pauses).
    pub fn pause(&self, q: f64) -> Option<f64> {
        quantile(&self.pauses(), q)
    }

    /// A latency by its name in [`Run::latency_ms`]: the median of the rounds, and for `max` (also `service max`) the greatest.
    pub fn latency(&self, name: &str) -> Option<f64> {
        let values = self.runs.iter().filter_map(|run| run.latency_ms.get(name).copied());
        let summary = Summary::of(values)?;
        Some(if name.ends_with("max") { summary.max } else { summary.median })
    }

    /// The minimum mutator utilisation for each window (in milliseconds), over all rounds; nothing without a round.
    pub fn mmu(&self, windows: &[f64]) -> Option<Vec<f64>> {
        let rounds: Vec<Pauses> =
            self.runs.iter().map(|run| Pauses::new(&run.pauses_ms, run.wall_s * 1e3)).collect();
        let least = |&window: &f64| rounds.iter().map(|round| round.mmu(window)).fold(1.0, f64::min);
        (!rounds.is_empty()).then(|| windows.iter().map(least).collect())
    }

    /// The median over the rounds made for it of the largest proportional set, in MiB.
    pub fn pss_mib(&self) -> Option<f64> {
        Summary::of(self.memory.iter().filter_map(|run| run.pss_mib)).map(|summary| summary.median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::tests::{memory, run};

    #[test]
    fn peers_are_in_their_order_and_workloads_in_that_of_the_runs() {
        let results = Results {
            runs: vec![
                run("graph", "malloc", 2.0, &[]),
                run("graph", "palimpsest stw", 3.0, &[]),
                run("graph", "somebody", 3.0, &[]),
                run("graph", "palimpsest", 3.0, &[]),
                run("churn", "bdwgc", 3.0, &[]),
            ],
            ..Results::default()
        };
        let tables = tables(&results, Part::Programs);
        let names: Vec<_> = tables.iter().map(Table::name).collect();
        assert_eq!(names, ["graph 1 2", "churn 1 2"]);
        let peers: Vec<_> = tables[0].groups.iter().map(|group| group.peer).collect();
        assert_eq!(peers, ["palimpsest", "palimpsest stw", "malloc", "somebody"]);
        assert_eq!(tables[0].best(|run| run.wall_s), Some(2.0));
        assert!(super::tables(&results, Part::Threads).is_empty());
    }

    #[test]
    fn noisy_runs_count_only_where_most_are() {
        let walls = |noise: &[(f64, bool)]| {
            let runs = noise
                .iter()
                .map(|&(wall, noisy)| Run { noisy, ..run("graph", "malloc", wall, &[]) })
                .collect();
            let results = Results { runs, ..Results::default() };
            tables(&results, Part::Programs)[0].groups[0].median(|run| run.wall_s)
        };
        assert_eq!(walls(&[(1.0, false), (9.0, true), (2.0, false), (8.0, true)]), Some(1.5));
        assert_eq!(walls(&[(1.0, false), (9.0, true), (8.0, true)]), Some(8.0));
    }

    #[test]
    fn runs_made_for_memory_give_nothing_else() {
        let results = Results {
            runs: vec![
                run("graph", "malloc", 1.0, &[]),
                memory("graph", "malloc", 9.0, 64.0),
                memory("graph", "bump", 9.0, 32.0),
            ],
            ..Results::default()
        };
        let tables = tables(&results, Part::Programs);
        let malloc = tables[0].of("malloc").unwrap();
        assert_eq!(malloc.median(|run| run.wall_s), Some(1.0));
        assert_eq!(malloc.pss_mib(), Some(64.0));
        let bump = tables[0].of("bump").unwrap();
        assert_eq!((bump.median(|run| run.wall_s), bump.mmu(&[1.0])), (None, None));
    }

    #[test]
    fn pauses_of_all_rounds_are_one_sample() {
        let mut noisy = run("graph", "bdwgc", 1.0, &[(100.0, 7.0)]);
        noisy.noisy = true;
        noisy.latency_ms = [("p99".to_owned(), 3.0), ("max".to_owned(), 30.0)].into();
        let mut quiet = run("graph", "bdwgc", 1.0, &[(1.0, 2.0), (5.0, 1.0)]);
        quiet.latency_ms = [("p99".to_owned(), 1.0), ("max".to_owned(), 10.0)].into();
        let results = Results { runs: vec![quiet, noisy], ..Results::default() };
        let tables = tables(&results, Part::Programs);
        let group = tables[0].of("bdwgc").unwrap();
        assert_eq!(group.pauses(), [1.0, 2.0, 7.0]);
        assert_eq!(group.pause(0.5), Some(2.0));
        assert_eq!(
            (group.latency("p99"), group.latency("max"), group.latency("p50")),
            (Some(2.0), Some(30.0), None)
        );
        assert_eq!(group.mmu(&[7.0, 14.0]), Some(vec![0.0, 0.5]), "the worst round");
    }
}
