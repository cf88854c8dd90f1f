//! One cycle, in figures.

use crate::events::Pause;
use palimpsest_runtime::Bytes;
use palimpsest_runtime::ladder::Snapshot;
use std::fmt;

/// How much a cycle looks at.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Scope {
    /// All that is reachable. Whatever is not is reclaimed.
    Full,
    /// What was allocated since the snapshot of the last cycle, as far as it is reachable from the roots and from old objects
    /// that were written to since. Old objects stay, dead ones too.
    Young,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scope::Full => "full",
            Scope::Young => "young",
        })
    }
}

/// A round of arming before the pause.
#[derive(Copy, Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ArmRound {
    /// When it began, in milliseconds since the heap was made.
    pub began_ms: f64,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// Pages that it armed: in the first round those that were open, later those that were written to since.
    pub pages: u32,
}

/// One cycle.
///
/// Moments, whose names end with `began_ms` and `ended_ms`, count from when the heap was made, as [`Heap::age`](crate::Heap::age)
/// does.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CycleRecord {
    /// Its number; the heap's first is 1.
    pub number: u64,
    /// How much it looked at.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::text"))]
    pub scope: Scope,
    /// How the heap was kept while it was marked.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::text"))]
    pub snapshot: Snapshot,
    /// Why the cycle marked in the stopped world although the heap is set to do better.
    pub fallback: Option<String>,
    /// Why the cycle failed. Nothing was reclaimed then, and nothing lost.
    pub failure: Option<String>,
    /// When it began.
    pub began_ms: f64,
    /// When it ended, before sweeping.
    pub ended_ms: f64,
    /// Rounds of arming before the pause.
    pub rounds: u32,
    /// Each of them.
    pub arm_rounds: Vec<ArmRound>,
    /// Pages armed before the pause.
    pub armed_pages: u64,
    /// Pages armed in the pause.
    pub armed_in_pause: u32,
    /// When the pause began; the second one, where marking in the first was given up.
    pub pause_began_ms: f64,
    /// From the request to stop until the threads ran again, in milliseconds.
    pub pause_ms: f64,
    /// The part of the pause until all threads had stopped.
    pub stop_ms: f64,
    /// The part of the pause that armed pages.
    pub arm_ms: f64,
    /// The part of the pause that forked the worker.
    pub fork_ms: f64,
    /// The part of the pause after the threads were let go, until the last of them ran again. Where more threads are ready to run
    /// than there are processors, the last waits for the others' time slices, as it does without a pause.
    pub wake_ms: f64,
    /// From the snapshot until marking was complete, in milliseconds.
    pub mark_ms: f64,
    /// Whether all was marked in the pause, which was short enough for that.
    pub in_pause: bool,
    /// Objects that were marked in the pause when that took too long, before a worker was forked in another one.
    pub handed_over: u64,
    /// How long that pause was, in milliseconds.
    pub tried_ms: f64,
    /// How long the world was stopped to verify the heap, in milliseconds: after each cycle with
    /// [`HeapBuilder::verify`](crate::HeapBuilder::verify), and after a cycle whose worker said that something is wrong. No pause counts it.
    pub verify_ms: f64,
    /// What listeners are told of its pauses.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) pauses: Vec<Pause>,
    /// Bytes that had been allocated in the heap's life when the snapshot was taken.
    pub allocated_bytes: u64,
    /// CPU time of the worker, in milliseconds.
    pub worker_cpu_ms: f64,
    /// Workers that were to mark; 0 in the stopped world.
    pub workers_wanted: u32,
    /// Workers that marked.
    pub workers: u32,
    /// Why there were fewer than wanted.
    pub fewer_workers: Option<String>,
    /// Workers that ended in the middle of marking, which went on without them.
    pub lost_workers: u32,
    /// How often the first worker took over what one of those held, and marked again from what was marked.
    pub takeovers: u32,
    /// Packets of references that were passed on to workers with nothing to do.
    pub shared_packets: u64,
    /// Objects marked by each of several workers. Of a lost one, and in [`CycleRecord::marked_objects`], what it marked since it
    /// last had nothing to do is missing.
    pub worker_objects: Vec<u64>,
    /// Objects marked: all that are reachable, or the reachable young ones.
    pub marked_objects: u64,
    /// Bytes they occupy.
    pub marked_bytes: u64,
    /// Pages that may have been written to since the last snapshot; what a cycle of the young looks at beside the roots.
    pub remembered_pages: u64,
    /// Old objects on them, and pieces of large ones, that a cycle of the young scanned.
    pub remembered_objects: u64,
    /// Pre-images stored for this snapshot.
    pub preimages: u32,
    /// Pages of the heap that the worker inherited, in a snapshot that the kernel keeps.
    pub inherited_pages: u64,
    /// Pages that were written since the last cycle, where the heap tracks that afterwards (delivery `async`).
    pub written_pages: Option<u64>,
    /// Why those are not known, although the heap tracks them.
    pub untracked: Option<String>,
    /// Blocks that were scanned again because packets ran out.
    pub rescanned_blocks: u64,
    /// References from precise places to what is not an object: the embedder's mistake.
    pub stray_references: u64,
    /// Memory of the heap in use when the cycle ended, before sweeping.
    pub used_bytes: u64,
    /// The most memory that the worker was seen to have for itself; nothing where it was done before it was looked at.
    pub worker_private_bytes: Option<u64>,
    /// Weak references that were cut: their targets had died, or were queued for finalization.
    pub weak_refs_cleared: u64,
    /// Entries of dead objects that were removed from weak tables and maps.
    pub weak_entries_cleared: u64,
    /// Registrations that were queued for finalization.
    pub finalizers_queued: u64,
    /// Registrations that the program took from the queue since the cycle before was marked.
    pub finalizers_taken: u64,
}

impl CycleRecord {
    pub(crate) fn new(number: u64, scope: Scope, snapshot: Snapshot) -> Self {
        Self {
            number,
            scope,
            snapshot,
            fallback: None,
            failure: None,
            began_ms: 0.0,
            ended_ms: 0.0,
            rounds: 0,
            arm_rounds: Vec::new(),
            armed_pages: 0,
            armed_in_pause: 0,
            pause_began_ms: 0.0,
            pause_ms: 0.0,
            stop_ms: 0.0,
            arm_ms: 0.0,
            fork_ms: 0.0,
            wake_ms: 0.0,
            mark_ms: 0.0,
            in_pause: false,
            handed_over: 0,
            tried_ms: 0.0,
            verify_ms: 0.0,
            pauses: Vec::new(),
            allocated_bytes: 0,
            worker_cpu_ms: 0.0,
            workers_wanted: 0,
            workers: 0,
            fewer_workers: None,
            lost_workers: 0,
            takeovers: 0,
            shared_packets: 0,
            worker_objects: Vec::new(),
            marked_objects: 0,
            marked_bytes: 0,
            remembered_pages: 0,
            remembered_objects: 0,
            preimages: 0,
            inherited_pages: 0,
            written_pages: None,
            untracked: None,
            rescanned_blocks: 0,
            stray_references: 0,
            used_bytes: 0,
            worker_private_bytes: None,
            weak_refs_cleared: 0,
            weak_entries_cleared: 0,
            finalizers_queued: 0,
            finalizers_taken: 0,
        }
    }
}

impl fmt::Display for CycleRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cycle {} {} {}: pause {:.3} ms (stop {:.3}, arm {:.3} for {} pages, fork {:.3}, wake {:.3}); armed {} pages in {} rounds; \
             marked {} objects, {} in {:.1} ms; {} pre-images; {} in use",
            self.number,
            self.scope,
            self.snapshot,
            self.pause_ms,
            self.stop_ms,
            self.arm_ms,
            self.armed_in_pause,
            self.fork_ms,
            self.wake_ms,
            self.armed_pages,
            self.rounds,
            self.marked_objects,
            Bytes(self.marked_bytes as usize),
            self.mark_ms,
            self.preimages,
            Bytes(self.used_bytes as usize),
        )?;
        if self.in_pause {
            f.write_str("; marked in the pause")?;
        }
        if self.tried_ms > 0.0 {
            write!(f, "; {} objects in a pause of {:.3} ms before", self.handed_over, self.tried_ms)?;
        }
        if self.verify_ms > 0.0 {
            write!(f, "; verified in {:.3} ms", self.verify_ms)?;
        }
        if self.scope == Scope::Young {
            write!(f, "; remembered {} pages, {} objects", self.remembered_pages, self.remembered_objects)?;
        }
        if self.inherited_pages > 0 {
            write!(f, "; {} pages inherited", self.inherited_pages)?;
        }
        if let Some(pages) = self.written_pages {
            write!(f, "; {pages} pages written since the last cycle")?;
        }
        if let Some(why) = &self.untracked {
            write!(f, "; written pages unknown: {why}")?;
        }
        if self.weak_refs_cleared + self.weak_entries_cleared > 0 {
            let (refs, entries) = (self.weak_refs_cleared, self.weak_entries_cleared);
            write!(f, "; {refs} weak references and {entries} weak entries cleared")?;
        }
        if self.finalizers_queued > 0 {
            write!(f, "; {} to be finalized", self.finalizers_queued)?;
        }
        if self.workers > 0 && self.workers_wanted > 1 {
            write!(f, "; {} workers marked {:?} objects", self.workers, self.worker_objects)?;
            write!(f, ", {} packets passed on", self.shared_packets)?;
        }
        if self.lost_workers > 0 {
            write!(f, "; {} workers lost, {} taken over from", self.lost_workers, self.takeovers)?;
        }
        if let Some(why) = &self.fewer_workers {
            write!(f, "; fewer workers than {}: {why}", self.workers_wanted)?;
        }
        if self.stray_references > 0 {
            write!(f, "; {} stray references", self.stray_references)?;
        }
        if let Some(why) = &self.fallback {
            write!(f, "; fell back to stop-the-world: {why}")?;
        }
        if let Some(why) = &self.failure {
            write!(f, "; failed: {why}")?;
        }
        Ok(())
    }
}
