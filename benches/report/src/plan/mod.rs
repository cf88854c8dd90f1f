//! What is to be run, and in which order: decided before anything runs, from what this machine has.
//!
//! A [`Set`] is one workload with its sizes, and the peers that run it. A *round* of a set runs each of its peers once, one after
//! the other, and each round begins with another peer: what changes slowly (a processor's temperature, a neighbour on the same
//! host) meets all of them alike, and nobody always comes first. Rounds go over all sets before the next begins, so that a report
//! that is interrupted has fewer rounds of everything and not nothing of something. The first round warms up the machine (files
//! are read, the kernel's lists are filled) and does not count; it also tells how long the rest will take.

mod needs;
mod peers;
mod sets;

pub use needs::Needs;
pub use peers::{Peer, matches};
pub use sets::{Circumstances, Effort, sets};

use crate::results::Part;

/// One workload with its sizes, on some peers.
#[derive(Clone, Debug)]
pub struct Set {
    /// What it is for.
    pub part: Part,
    /// The workload's name.
    pub workload: String,
    /// Its sizes, as they are shown.
    pub params: String,
    /// What the program is given: the workload and its sizes, or a file.
    pub arguments: Vec<String>,
    /// What a scaling part varies.
    pub x: f64,
    /// Who runs it.
    pub peers: Vec<Peer>,
    /// How many rounds count.
    pub rounds: u32,
    /// Whether a round before them does not.
    pub warm_up: bool,
    /// Whether another round looks at memory.
    pub memory: bool,
    /// How much memory it takes.
    pub needs: Needs,
}

impl Set {
    /// The workload and its sizes, as on the command line.
    pub fn name(&self) -> String {
        format!("{} {}", self.workload, self.params).trim_end().to_owned()
    }
}

/// What a run is made for.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Turn {
    /// Warming up; it does not count.
    WarmUp,
    /// The times, in the round of this number.
    Round(u32),
    /// The memory; the times do not count.
    Memory,
}

/// One run to be made: places in the list of sets, and in its list of peers.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Which set.
    pub set: usize,
    /// Which of its peers.
    pub peer: usize,
    /// What for.
    pub turn: Turn,
}

/// All runs in their order.
pub fn steps(sets: &[Set]) -> Vec<Step> {
    let most = sets.iter().map(|set| set.rounds).max().unwrap_or(0);
    let turns = [Turn::WarmUp].into_iter().chain((0..most).map(Turn::Round)).chain([Turn::Memory]);
    let mut steps = Vec::new();
    for turn in turns {
        for (place, set) in sets.iter().enumerate() {
            let first = match turn {
                Turn::WarmUp if set.warm_up => 0,
                // A set with fewer rounds than others has its last ones together with theirs: what matters most is measured first.
                Turn::Round(round) if round + set.rounds >= most => (round + set.rounds - most) as usize,
                Turn::Memory if set.memory => 0,
                _ => continue,
            };
            let turn = if let Turn::Round(_) = turn { Turn::Round(first as u32) } else { turn };
            let count = set.peers.len();
            steps.extend((0..count).map(|k| Step { set: place, peer: (first + k) % count, turn }));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(workload: &str, rounds: u32, warm_up: bool, memory: bool) -> Set {
        Set {
            part: Part::Programs,
            workload: workload.into(),
            params: "1".into(),
            arguments: vec![workload.into(), "1".into()],
            x: 0.0,
            peers: ["a", "b", "c"].map(|name| Peer::program(name, name)).into(),
            rounds,
            warm_up,
            memory,
            needs: Needs { live_mib: 1.0, total_mib: 1.0 },
        }
    }

    #[test]
    fn a_round_runs_every_peer_and_the_next_begins_with_another() {
        let steps = steps(&[set("graph", 4, true, true)]);
        assert_eq!(steps.len(), 3 * (1 + 4 + 1));
        let order = |turn| -> Vec<usize> {
            steps.iter().filter(|step| step.turn == turn).map(|step| step.peer).collect()
        };
        assert_eq!(order(Turn::WarmUp), [0, 1, 2]);
        assert_eq!(order(Turn::Round(0)), [0, 1, 2]);
        assert_eq!(order(Turn::Round(1)), [1, 2, 0]);
        assert_eq!(order(Turn::Round(2)), [2, 0, 1]);
        assert_eq!(order(Turn::Round(3)), [0, 1, 2]);
        assert_eq!(order(Turn::Memory), [0, 1, 2]);
    }

    #[test]
    fn rounds_go_over_all_sets_and_warm_ups_come_first() {
        let steps = steps(&[set("graph", 2, true, false), set("churn", 2, false, true)]);
        let turns: Vec<(usize, Turn)> = steps.iter().step_by(3).map(|step| (step.set, step.turn)).collect();
        assert_eq!(
            turns,
            [
                (0, Turn::WarmUp),
                (0, Turn::Round(0)),
                (1, Turn::Round(0)),
                (0, Turn::Round(1)),
                (1, Turn::Round(1)),
                (1, Turn::Memory),
            ]
        );
    }

    #[test]
    fn a_set_with_fewer_rounds_has_them_last_and_counts_them_from_zero() {
        let steps = steps(&[set("graph", 3, false, false), set("churn", 1, false, false)]);
        let turns: Vec<(usize, Turn)> = steps.iter().step_by(3).map(|step| (step.set, step.turn)).collect();
        assert_eq!(
            turns,
            [(0, Turn::Round(0)), (0, Turn::Round(1)), (0, Turn::Round(2)), (1, Turn::Round(0))]
        );
    }

    #[test]
    fn nothing_to_run_is_no_steps() {
        assert!(steps(&[]).is_empty());
        let nobody = Set { peers: Vec::new(), ..set("graph", 3, true, true) };
        assert!(steps(&[nobody]).is_empty());
    }
}
