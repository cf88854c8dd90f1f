//! The parts of a report, and the sizes of their workloads.
//!
//! Full sizes take a second or a few each on a processor of these years: long enough for tens of cycles, short enough for rounds. Quick ones
//! take a tenth of that; they show that everything runs, and orders of magnitude.

use super::{Needs, Peer, Set};
use crate::arguments::Choice;
use crate::results::Part;
use std::path::PathBuf;

/// How much is run.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Effort {
    /// Small sizes, and one round of what is not `programs`.
    pub quick: bool,
    /// Rounds that count.
    pub rounds: u32,
}

/// What there is to run on and with.
#[derive(Clone, Debug)]
pub struct Circumstances {
    /// The rungs that can be had here, without the one that a heap takes by itself.
    pub rungs: Vec<String>,
    /// Processors that may be used.
    pub processors: usize,
    /// The Lox programs.
    pub lox: Vec<PathBuf>,
}

const OURS: &str = "workload";

/// The snapshots: one rung each.
const SNAPSHOTS: [&str; 2] = ["forkcow", "stw"];

/// The sets of these parts, in order of importance.
pub fn sets(parts: &[Choice], effort: Effort, has: &Circumstances) -> Vec<Set> {
    let mut sets = Vec::new();
    let memory = parts.contains(&Choice::Memory);
    for part in parts {
        match part {
            Choice::Programs => sets.extend(programs(effort, has, effort.rounds, memory)),
            Choice::Memory if !parts.contains(&Choice::Programs) => {
                sets.extend(programs(effort, has, 0, true))
            }
            Choice::LiveHeap => sets.extend(live_heap(effort, has)),
            Choice::MutationRate => sets.extend(mutation_rate(effort, has)),
            Choice::Threads => sets.extend(threads(effort, has)),
            Choice::Lox => sets.extend(lox(effort, has)),
            Choice::Memory | Choice::Timeline => {}
        }
    }
    sets
}

impl Effort {
    /// One of two.
    fn or<T>(self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Rounds of what is drawn as a curve: its points support each other, and there are many.
    fn curve(self) -> u32 {
        self.or(self.rounds.min(3), 1)
    }
}

fn set(part: Part, workload: &str, sizes: &[u64], x: f64, peers: Vec<Peer>, effort: Effort) -> Set {
    let sizes_text: Vec<String> = sizes.iter().map(u64::to_string).collect();
    Set {
        part,
        workload: workload.into(),
        params: sizes_text.join(" "),
        arguments: [workload.to_owned()].into_iter().chain(sizes_text).collect(),
        x,
        peers,
        rounds: effort.curve(),
        // The rounds of the programs come before.
        warm_up: false,
        memory: false,
        needs: Needs::of(workload, sizes),
    }
}

/// Ours on the best rung and on these others that there are, then those of the peers in C whose names are given.
fn peers(has: &Circumstances, rungs: impl Fn(&str) -> bool, others: &[&str]) -> Vec<Peer> {
    let ours = has.rungs.iter().filter(|rung| rungs(rung)).map(|rung| Peer::rung(OURS, rung));
    let others = Peer::others(has.processors).into_iter().filter(|peer| others.contains(&peer.name.as_str()));
    [Peer::best(OURS)].into_iter().chain(ours).chain(others).collect()
}

/// The workloads with the sizes that they are compared at.
fn programs(effort: Effort, has: &Circumstances, rounds: u32, memory: bool) -> Vec<Set> {
    let workloads: [(&str, &[u64]); 7] = effort.or(
        [
            ("gcbench", &[18, 20]),
            ("binarytrees", &[18, 1]),
            ("msgmap", &[200_000, 10]),
            ("graph", &[512, 0]),
            ("larson", &[2, 10_000, 200]),
            ("server", &[20_000, 200_000, 50_000, 1]),
            ("churn", &[256, 100, 0, 1]),
        ],
        [
            ("gcbench", &[14, 16]),
            ("binarytrees", &[14, 1]),
            ("msgmap", &[20_000, 5]),
            ("graph", &[16, 0]),
            ("larson", &[2, 1_000, 20]),
            ("server", &[2_000, 15_000, 50_000, 1]),
            ("churn", &[32, 100, 0, 1]),
        ],
    );
    let everybody = ["bdwgc", "bdwgc-par", "bdwgc-inc", "malloc", "mimalloc", "bump"];
    let set = |(workload, sizes): (&str, &[u64])| Set {
        rounds,
        warm_up: true,
        memory,
        ..set(Part::Programs, workload, sizes, 0.0, peers(has, |_| true, &everybody), effort)
    };
    workloads.into_iter().map(set).collect()
}

/// `churn` with more and more live memory: who stops for longer then.
fn live_heap(effort: Effort, has: &Circumstances) -> Vec<Set> {
    let sizes: &[u64] = effort.or(&[64, 128, 256, 512, 1024, 2048, 4096, 8192], &[64, 256]);
    let peers =
        peers(has, |rung| SNAPSHOTS.contains(&rung), &["bdwgc", "bdwgc-par", "bdwgc-inc", "mimalloc"]);
    let set = |&mib: &u64| {
        let set = set(Part::LiveHeap, "churn", &[mib, 100, 0, 1], mib as f64, peers.clone(), effort);
        // One run at such a size has pauses enough, and takes a minute.
        if mib > 1024 { Set { rounds: 1, ..set } } else { set }
    };
    sizes.iter().map(set).collect()
}

/// `churn` with more and more stores into old objects: who pays for them. Here every way of noticing a write counts.
fn mutation_rate(effort: Effort, has: &Circumstances) -> Vec<Set> {
    let rates: &[u64] = effort.or(&[0, 1, 10, 100, 300, 1000], &[0, 100, 1000]);
    let mib = effort.or(256, 32);
    let peers = peers(has, |_| true, &["bdwgc", "bdwgc-inc", "mimalloc"]);
    let set = |&rate: &u64| {
        set(Part::MutationRate, "churn", &[mib, rate, 0, 1], rate as f64, peers.clone(), effort)
    };
    rates.iter().map(set).collect()
}

/// The same work on more threads (`binarytrees`), and more work on as many threads (`larson`), up to twice the processors.
fn threads(effort: Effort, has: &Circumstances) -> Vec<Set> {
    let most = effort.or(has.processors * 2, has.processors).clamp(2, 8) as u64;
    let peers = peers(has, |rung| SNAPSHOTS.contains(&rung), &["bdwgc", "bdwgc-par", "malloc", "mimalloc"]);
    let (depth, slots, rounds) = effort.or((18, 10_000, 200), (14, 1_000, 20));
    let counts: Vec<u64> = [1, 2, 4, 8].into_iter().filter(|&count| count <= most).collect();
    let set = |workload, sizes: &[u64], count: u64| {
        set(Part::Threads, workload, sizes, count as f64, peers.clone(), effort)
    };
    let trees = counts.iter().map(|&count| set("binarytrees", &[depth, count], count));
    let servers = counts.iter().map(|&count| set("larson", &[count, slots, rounds], count));
    trees.chain(servers).collect()
}

/// The interpreter's programs, on each rung; a quick report has two of those.
fn lox(effort: Effort, has: &Circumstances) -> Vec<Set> {
    let rungs =
        has.rungs.iter().filter(|rung| !effort.quick || *rung == "stw").map(|rung| Peer::rung("lox", rung));
    let peers: Vec<Peer> = [Peer::best("lox")]
        .into_iter()
        .chain(rungs)
        .map(|mut peer| {
            peer.arguments.push("--gc-stats=json".into());
            peer
        })
        .collect();
    let set = |file: &PathBuf| {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        Set {
            arguments: vec![file.display().to_string()],
            ..set(Part::Lox, &name, &[], 0.0, peers.clone(), effort)
        }
    };
    has.lox.iter().map(set).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Turn, steps};

    fn has(processors: usize) -> Circumstances {
        let rungs = ["preimage/monitor", "preimage/protect", "forkcow", "forkcow/async", "stw", "stw/async"];
        Circumstances {
            rungs: rungs.map(str::to_owned).into(),
            processors,
            lox: vec!["programs/queens.lox".into(), "programs/trees.lox".into()],
        }
    }

    const FULL: Effort = Effort { quick: false, rounds: 5 };

    #[test]
    fn every_peer_runs_every_program() {
        let sets = sets(&[Choice::Programs], FULL, &has(2));
        assert_eq!(sets.len(), 7);
        for set in &sets {
            assert_eq!(set.peers.len(), 7 + 6, "{}", set.name());
            assert_eq!((set.rounds, set.warm_up, set.memory), (5, true, false));
        }
        assert_eq!(sets[0].arguments, ["gcbench", "18", "20"]);
        assert_eq!(steps(&sets).len(), 7 * 13 * 6);
    }

    #[test]
    fn memory_is_one_more_round_of_the_programs_or_one_alone() {
        let with = steps(&sets(&[Choice::Programs, Choice::Memory], FULL, &has(2)));
        assert_eq!(with.len(), 7 * 13 * 7);
        let alone = steps(&sets(&[Choice::Memory], FULL, &has(2)));
        assert_eq!(alone.iter().filter(|step| step.turn == Turn::Memory).count(), 7 * 13);
        assert!(alone.iter().all(|step| !matches!(step.turn, Turn::Round(_))));
    }

    #[test]
    fn threads_go_up_to_twice_the_processors() {
        let counts = |processors, part| -> Vec<u64> {
            let sets = sets(&[Choice::Threads], FULL, &has(processors));
            sets.iter().filter(|set| set.workload == part).map(|set| set.x as u64).collect()
        };
        assert_eq!(counts(1, "larson"), [1, 2]);
        assert_eq!(counts(2, "binarytrees"), [1, 2, 4]);
        assert_eq!(counts(64, "larson"), [1, 2, 4, 8]);
    }

    #[test]
    fn a_live_heap_grows_to_8_gib_on_every_snapshot() {
        let sets = sets(&[Choice::LiveHeap], FULL, &has(2));
        let sizes: Vec<f64> = sets.iter().map(|set| set.x).collect();
        assert_eq!((sizes.first(), sizes.last()), (Some(&64.0), Some(&8192.0)));
        let names: Vec<&str> = sets[0].peers.iter().map(|peer| peer.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "palimpsest",
                "palimpsest forkcow",
                "palimpsest stw",
                "bdwgc",
                "bdwgc-par",
                "bdwgc-inc",
                "mimalloc"
            ]
        );
    }

    #[test]
    fn lox_runs_a_file_with_its_statistics() {
        let sets = sets(&[Choice::Lox], FULL, &has(2));
        assert_eq!(sets.iter().map(|set| set.workload.as_str()).collect::<Vec<_>>(), ["queens", "trees"]);
        assert_eq!(sets[0].arguments, ["programs/queens.lox"]);
        assert!(sets[0].peers.iter().all(|peer| peer.program == "lox" && peer.is_ours()));
        assert_eq!(sets[0].peers[1].arguments, ["--rung", "preimage/monitor", "--gc-stats=json"]);
    }

    #[test]
    fn a_quick_report_is_a_fraction_of_a_full_one() {
        let all = Choice::ALL;
        let quick = Effort { quick: true, rounds: 3 };
        let (few, many) = (steps(&sets(&all, quick, &has(2))).len(), steps(&sets(&all, FULL, &has(2))).len());
        assert!(few * 2 < many, "{few} of {many}");
        let programs = sets(&[Choice::Programs], quick, &has(2));
        assert!(programs.iter().all(|set| set.rounds == 3 && set.needs.live_mib < 512.0));
    }
}
