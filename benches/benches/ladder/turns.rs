//! Two sides that take turns, and what comes out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the rounds of one side took, in seconds.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) median: f64,
    pub(crate) longest: f64,
}

/// Both sides of one measurement.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Compared {
    pub(crate) own: Figures,
    pub(crate) floor: Figures,
}

impl Compared {
    /// The same for one of `count` things that a round is made of.
    pub(crate) fn each_of(self, count: u32) -> Self {
        let each = |side: Figures| Figures {
            median: side.median / f64::from(count),
            longest: side.longest / f64::from(count),
        };
        Self { own: each(self.own), floor: each(self.floor) }
    }
}

/// Runs a round of each side in turn, and which begins changes too. A round measures `N` things. The first turn populates and
/// warms what it touches and is not counted.
pub(crate) fn in_turns<const N: usize>(
    rounds: usize,
    mut own: impl FnMut() -> [Duration; N],
    mut floor: impl FnMut() -> [Duration; N],
) -> [Compared; N] {
    own();
    floor();
    let (mut owns, mut floors) = (Vec::new(), Vec::new());
    for round in 0..rounds.max(1) {
        if round % 2 == 0 {
            owns.push(own());
            floors.push(floor());
        } else {
            floors.push(floor());
            owns.push(own());
        }
    }
    std::array::from_fn(|k| {
        let side = |rounds: &[[Duration; N]]| figures(rounds.iter().map(|round| round[k]).collect());
        Compared { own: side(&owns), floor: side(&floors) }
    })
}

fn figures(mut rounds: Vec<Duration>) -> Figures {
    rounds.sort_unstable();
    let [median, longest] = [rounds.len() / 2, rounds.len() - 1].map(|k| rounds[k].as_secs_f64());
    Figures { median, longest }
}
