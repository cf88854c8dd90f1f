//! The command line, and the parts that make up the table.

use std::fmt;
use std::str::FromStr;

use clap::Parser;
use palimpsest::Snapshot;
use palimpsest_runtime::barrier::DeliveryKind;

/// Measures what each delivery and each snapshot costs beside its bare system calls, and prints a table in Markdown.
///
/// Progress is on standard error. It takes some minutes and 10 GiB of memory, with --quick one minute and 4 GiB; what there
/// is no memory for is left out, and the table says so. Run it on an idle machine: it needs two processors for itself.
#[derive(Parser)]
#[command(name = "ladder")]
pub(crate) struct Options {
    /// Fewer rounds, and no heap of 4 GiB
    #[arg(long)]
    quick: bool,

    /// Only the parts in whose name this occurs: first-write/signal, or pause/forkcow/1024
    filter: Option<String>,

    /// What `cargo bench` passes. Without it, as under `cargo test --benches`, everything runs once with little memory.
    #[arg(long, hide = true)]
    bench: bool,

    /// In a process of its own: the part that it measures.
    #[arg(long, hide = true, requires = "rounds")]
    pub(crate) part: Option<Part>,

    /// ... and how often.
    #[arg(long, hide = true, default_value_t = 0)]
    pub(crate) rounds: usize,
}

impl Options {
    /// The parts that were asked for.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let sizes: &[usize] = match (self.bench, self.quick) {
            (false, _) => &[32],
            (true, true) => &[256, 1024],
            (true, false) => &[256, 1024, 4096],
        };
        let pauses = Snapshot::ALL
            .into_iter()
            .flat_map(|snapshot| sizes.iter().map(move |&mib| Part::Pause(snapshot, mib)));
        let asked_for =
            |part: &Part| self.filter.as_ref().is_none_or(|filter| part.to_string().contains(filter));
        DeliveryKind::ALL.into_iter().map(Part::FirstWrite).chain(pauses).filter(asked_for).collect()
    }

    /// How many rounds of a part are counted.
    pub(crate) fn rounds_of(&self, part: Part) -> usize {
        match (part, self.quick) {
            _ if !self.bench => 1,
            (Part::FirstWrite(_), false) => 31,
            (Part::FirstWrite(_), true) => 9,
            // Each takes seconds, and they differ little.
            (Part::Pause(Snapshot::StopTheWorld, 4096..), _) => 3,
            (Part::Pause(_, ..4096), false) => 20,
            (Part::Pause(..), _) => 10,
        }
    }

    /// What to say of this run.
    pub(crate) fn effort(&self) -> &'static str {
        match (self.bench, self.quick) {
            (false, _) => "a trial run, whose figures mean nothing",
            (true, true) => "a quick run",
            (true, false) => "a full run",
        }
    }
}

/// What is measured in one process.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    /// First writes with this delivery.
    FirstWrite(DeliveryKind),
    /// Pauses with this snapshot of so many MiB.
    Pause(Snapshot, usize),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstWrite(delivery) => write!(f, "first-write/{delivery}"),
            Self::Pause(snapshot, mib) => write!(f, "pause/{snapshot}/{mib}"),
        }
    }
}

impl FromStr for Part {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match *text.split('/').collect::<Vec<_>>() {
            ["first-write", delivery] => Ok(Self::FirstWrite(delivery.parse()?)),
            ["pause", snapshot, mib] => {
                Ok(Self::Pause(snapshot.parse()?, mib.parse().map_err(|_| "a number of MiB")?))
            }
            _ => Err("no such part".into()),
        }
    }
}
