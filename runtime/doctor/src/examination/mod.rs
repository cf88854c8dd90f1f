//! What this machine offers a heap, which rung of the ladder one would stand on, and what to change for a better one.
//!
//! The answer is found with the runtime's own ladder: it is climbed as a heap with default options would, and left again.
//! So what is printed here is what a program gets, the environment variable that forces a rung included.

mod text;

use crate::kernel::process;
use palimpsest_runtime::barrier::DeliveryKind;
use palimpsest_runtime::ladder::{self, By, Ladder, Machine, Snapshot, Wish};
use palimpsest_runtime::sys::limits;
use palimpsest_runtime::sys::uffd::{Door, Feature};
use palimpsest_runtime::{Bytes, Error};
use serde::{Deserialize, Serialize};

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Examination {
    /// The kernel's release.
    pub kernel: String,
    /// The processor's architecture.
    pub architecture: String,
    /// Whether this is root.
    pub privileged: bool,
    /// Bytes in a page.
    pub page_size: usize,
    /// The limit of a heap with default options, in bytes.
    pub heap_limit: usize,
    /// How many mappings a process may have.
    pub most_mappings: usize,
    /// The ways to a userfaultfd.
    pub doors: Vec<Offer>,
    /// Its features, where there is one.
    pub features: Vec<Offer>,
    /// The ways to notice writes.
    pub deliveries: Vec<Offer>,
    /// What a collection needs besides.
    pub others: Vec<Offer>,
    /// The rung that such a heap stands on. `None`: it cannot be made.
    pub rung: Option<String>,
    /// Who chose it: the default, or the environment.
    pub chosen_by: String,
    /// What to change: for a better rung, or for one at all.
    pub changes: Vec<String>,
}

/// Something that is here or not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Offer {
    /// What.
    pub name: String,
    /// What that is, in a few words.
    pub what: String,
    /// Why it is not there. `None`: it is.
    pub refused: Option<String>,
}

impl Offer {
    fn new(name: impl Into<String>, what: impl Into<String>, refused: Option<String>) -> Self {
        Self { name: name.into(), what: what.into(), refused }
    }
}

impl Examination {
    /// Looks. Makes a heap's memory and takes it away again.
    pub fn look() -> Self {
        let machine = Machine::look();
        // As a heap does whose options say nothing.
        let heap_limit = Bytes(limits::physical_memory().0 / 2);
        let fork = machine.fork.err();
        let mut others = vec![Offer::new(
            "memory files",
            "what the heap consists of",
            machine.memory_file.err().map(|errno| errno.to_string()),
        )];
        others.push(Offer::new("fork", "a worker marks while the program runs", fork.map(|e| e.to_string())));
        let (rung, chosen_by, mut changes) = climb(heap_limit);
        if fork.is_some() && !changes.iter().any(|change| change.contains("fork")) {
            changes.push("allow fork (ulimit -u, the pids cgroup, seccomp): without it each cycle marks in the stopped world".into());
        }
        Self {
            kernel: machine.release.clone(),
            architecture: std::env::consts::ARCH.into(),
            privileged: process::is_root(),
            page_size: machine.page_size,
            heap_limit: heap_limit.0,
            most_mappings: machine.most_mappings,
            doors: doors(&machine),
            features: features(&machine),
            deliveries: deliveries(&machine),
            others,
            rung,
            chosen_by: chosen_by.to_string(),
            changes,
        }
    }

    /// Whether a heap can be made here.
    pub fn can_run(&self) -> bool {
        self.rung.is_some()
    }
}

fn doors(machine: &Machine) -> Vec<Offer> {
    let offer = |door: &Door, refused| Offer::new(door.name(), door.to_string(), refused);
    machine.doors.iter().map(|(door, answer)| offer(door, answer.err().map(|e| e.to_string()))).collect()
}

fn features(machine: &Machine) -> Vec<Offer> {
    let Some(got) = machine.doors.iter().find_map(|(_, answer)| answer.ok()) else { return Vec::new() };
    [
        (Feature::WRITE_PROTECT, "write-protection of private memory"),
        (Feature::SHARED, "write-protection of memory files"),
        (Feature::SIGBUS, "the writing thread handles its own faults"),
        (Feature::UNPOPULATED, "protection of private pages that do not exist yet"),
        (Feature::ASYNC, "the kernel keeps book of written pages"),
    ]
    .into_iter()
    .map(|(feature, what)| {
        let refused = (!got.has(feature)).then(|| format!("needs Linux {}", feature.since));
        Offer::new(feature.name, what, refused)
    })
    .collect()
}

fn deliveries(machine: &Machine) -> Vec<Offer> {
    DeliveryKind::ALL
        .into_iter()
        .map(|delivery| {
            let what = match delivery {
                DeliveryKind::Signal => "SIGBUS in the writing thread",
                DeliveryKind::Monitor => "a thread reads events, the writer waits",
                DeliveryKind::Protect => "mprotect, and SIGSEGV in the writing thread",
                DeliveryKind::Async => "asked for afterwards; keeps no snapshot",
            };
            // What keeps a snapshot does it for memory files; tracking alone goes with private memory.
            let snapshot = if delivery.is_synchronous() { Snapshot::Preimage } else { Snapshot::ForkCow };
            let refused = machine.delivers(delivery, None, snapshot.backing()).err();
            Offer::new(delivery.name(), what, refused.map(|why| why.to_string()))
        })
        .collect()
}

/// Climbs the ladder as a heap of this limit would: the rung, who chose it, and what to change.
fn climb(limit: Bytes) -> (Option<String>, By, Vec<String>) {
    let (wish, by) = match ladder::from_environment() {
        Ok(None) => (Wish::default(), By::Default),
        Ok(Some(wish)) => (wish, By::Environment(ladder::VARIABLE)),
        Err(why) => return (None, By::Environment(ladder::VARIABLE), vec![why.to_string()]),
    };
    // The collector reserves twice its limit, and stores pre-images of at most half of it.
    match ladder::climb(wish, by, Bytes(limit.0.saturating_mul(2)), Bytes(limit.0 / 2)) {
        Ok((footing, ladder)) => {
            footing.leave();
            (Some(ladder.chosen().to_string()), by, improvements(&ladder))
        }
        Err(Error::Refused(refused)) => {
            let why = refused.steps().iter().filter_map(|step| step.refused.as_ref().map(Error::to_string));
            (None, by, distinct(why))
        }
        Err(why) => (None, by, vec![why.to_string()]),
    }
}

/// Why better rungs were refused, which says what to change. Another door to the same delivery is no better.
fn improvements(ladder: &Ladder) -> Vec<String> {
    if ladder.degraded().is_none() {
        return Vec::new();
    }
    distinct(ladder.steps().iter().filter_map(|step| step.refused.as_ref().map(Error::to_string)))
}

fn distinct(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut found = Vec::new();
    for text in all {
        if !found.contains(&text) {
            found.push(text);
        }
    }
    found
}
