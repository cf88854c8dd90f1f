//! Checks the whole heap against its metadata, in a stopped world.
//!
//! An independent walk from the roots, with marks of its own: every precise reference must lead to the start of an object,
//! every reachable object must have the colour of the live, and the metadata of every block must be a row of objects and
//! free granules. What is wrong here would crash the program later, far away; so it is reported, with the world still stopped,
//! and the process ends. Poisoned memory is recognised and called that.

use crate::core::Core;
use crate::cycle::standing::Stage;
use crate::embedder::Embedder;
use crate::kind::Kind;
use crate::mark::{Frozen, Live, Source, Told, Tracer};
use crate::poison::POISON;
use crate::roots::RootVisitor;
use crate::space::BlockState;
use crate::stats::{CycleRecord, ms};
use crate::unit::{BLOCK_GRANULES, BlockIndex};
use crate::weak::Ephemerons;
use palimpsest_runtime::Address;
use palimpsest_runtime::crash::violated;
use palimpsest_runtime::mutator::StoppedWorld;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// What is wrong with a heap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A precise reference leads to no object. Where it was found: the object, or nothing for a root. Whether the memory there is
    /// poisoned.
    NoObject { reference: Address, held_by: Option<Address>, poisoned: bool },
    /// A word in the place of a reference is poison.
    Poison { word: Address, held_by: Address },
    /// A reachable object is painted as dead.
    Lost { object: Address, held_by: Option<Address> },
    /// A block's metadata is no row of objects and free granules.
    Metadata { block: BlockIndex, granule: usize },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holder =
            |held_by: &Option<Address>| held_by.map_or("a root".into(), |a| format!("the object at {a}"));
        match self {
            Violation::NoObject { reference, held_by, poisoned } => {
                write!(f, "{} refers to {reference}, where no object starts", holder(held_by))?;
                f.write_str(if *poisoned { ": what was there has been freed, and is poison" } else { "" })
            }
            Violation::Poison { word, held_by } => {
                write!(
                    f,
                    "the object at {held_by} has poison in the place of a reference, at {word}: it was not initialised \
                     before a safepoint, or is freed memory"
                )
            }
            Violation::Lost { object, held_by } => {
                write!(f, "the object at {object} is reachable from {} and not marked", holder(held_by))
            }
            Violation::Metadata { block, granule } => {
                write!(f, "block {}: granule {granule} ends an object that does not start", block.0)
            }
        }
    }
}

impl Violation {
    /// Where to look.
    fn at<E>(&self, core: &Core<E>) -> Address {
        match self {
            Violation::NoObject { reference, .. } => *reference,
            Violation::Poison { word, .. } => *word,
            Violation::Lost { object, .. } => *object,
            Violation::Metadata { granule, .. } => core.geometry.address(*granule),
        }
    }
}

/// Stops the world and verifies the heap; if something is wrong, reports it and ends the process. Called on the collector's
/// thread, between cycles. The cycle's record has the time that the world was stopped.
pub(crate) fn or_abort<E: Embedder>(core: &Core<E>, record: &mut CycleRecord) {
    stopped(core, record, |world| verify(core, world));
}

/// The same for the metadata alone: what an embedder cannot have got wrong, and what can be looked at without memory for it.
pub(crate) fn metadata_or_abort<E: Embedder>(core: &Core<E>, record: &mut CycleRecord) {
    stopped(core, record, |_| check_blocks(core));
}

fn stopped<E: Embedder>(
    core: &Core<E>,
    record: &mut CycleRecord,
    check: impl FnOnce(&StoppedWorld<'_>) -> Result<(), Violation>,
) {
    core.standing.enter(Stage::Verifying);
    let start = Instant::now();
    let world = core.registry.stop_world();
    if let Err(violation) = check(&world) {
        violated(Some(violation.at(core)), format_args!("{violation}"));
    }
    drop(world);
    record.verify_ms += ms(start.elapsed());
}

fn verify<E: Embedder>(core: &Core<E>, world: &StoppedWorld<'_>) -> Result<(), Violation> {
    check_blocks(core)?;
    let mut walk = Walk {
        core,
        seen: vec![0; 2 * core.geometry.half.0 / crate::unit::GRANULE / 64],
        to_scan: Vec::new(),
        holder: None,
        settled: core.settled.load(Ordering::Acquire),
        violation: None,
    };
    // SAFETY: the world is stopped.
    unsafe { core.roots.lock().visit(&core.embedder, world.threads(), &mut walk) };
    // SAFETY: the world is stopped until `world` drops.
    let heap = unsafe { Live::new() };
    walk.scan_all(&heap);
    while walk.reach_values(&core.roots.lock().ephemerons) {
        walk.scan_all(&heap);
    }
    walk.violation.map_or(Ok(()), Err)
}

fn check_blocks<E: Embedder>(core: &Core<E>) -> Result<(), Violation> {
    for block in core.traced.used_blocks().chain(core.leaf.used_blocks()) {
        if matches!(core.blocks.get(block), BlockState::LargeHead | BlockState::LargeTail) {
            continue;
        }
        let (mut at, end) = (block.granule(), block.granule() + BLOCK_GRANULES);
        while at < end {
            at = core.metadata.skip_zero(at, end);
            if at < end {
                if core.metadata.get(at).start().is_none() || core.blocks.get(block) == BlockState::Free {
                    return Err(Violation::Metadata { block, granule: at });
                }
                at += core.metadata.size(at).0;
            }
        }
    }
    Ok(())
}

struct Walk<'a, E> {
    core: &'a Core<E>,
    /// A bit a granule: objects that were reached.
    seen: Vec<u64>,
    to_scan: Vec<usize>,
    /// The object being scanned.
    holder: Option<Address>,
    /// Whether everything reachable has the live colour, as after a cycle that ended well.
    settled: bool,
    violation: Option<Violation>,
}

impl<E: Embedder> Walk<'_, E> {
    fn reach(&mut self, granule: usize) {
        let meta = self.core.metadata.get(granule);
        let object = self.core.geometry.address(granule);
        if meta.start().is_none() {
            self.no_object(object);
            return;
        }
        let (word, bit) = (granule / 64, 1 << (granule % 64));
        if self.seen[word] & bit != 0 {
            return;
        }
        self.seen[word] |= bit;
        if self.settled && !self.core.is_live(granule) {
            let held_by = self.holder;
            self.violation.get_or_insert(Violation::Lost { object, held_by });
        }
        self.to_scan.push(granule);
    }

    fn no_object(&mut self, reference: Address) {
        let (held_by, poisoned) = (self.holder, self.core.is_poisoned(reference));
        self.violation.get_or_insert(Violation::NoObject { reference, held_by, poisoned });
    }

    fn has_seen(&self, object: Address) -> bool {
        let granule = self.core.geometry.start_granule(object.as_usize());
        granule.is_some_and(|granule| self.seen[granule / 64] >> (granule % 64) & 1 != 0)
    }

    /// Reaches the values of ephemerons whose keys were reached. Whether there are any that were not.
    fn reach_values(&mut self, ephemerons: &Ephemerons) -> bool {
        // SAFETY: the world is stopped.
        unsafe {
            ephemerons.visit(|key, value| {
                if self.has_seen(key)
                    && let Some(value) = self.core.embedder.decode(value)
                    && !self.has_seen(value)
                {
                    self.holder = Some(key);
                    self.object(value);
                }
            });
        }
        !self.to_scan.is_empty()
    }

    fn scan_all(&mut self, heap: &Live) {
        while let Some(granule) = self.to_scan.pop() {
            let object = self.core.geometry.address(granule);
            self.holder = Some(object);
            let Some(kind) = self.core.metadata.get(granule).start() else { continue };
            if kind == Kind::LEAF {
                continue;
            }
            let mut words = vec![0; self.core.size_at(granule).0 * 2];
            heap.load(object, &mut words);
            let layout = match kind.layout() {
                Some(k) => self.core.layout(k),
                None if kind == Kind::HEADED => self.core.embedder.layout(words[0]),
                None => crate::kind::Layout::words(),
            };
            if let Some(id) = layout.native_id() {
                let frozen = Frozen::new(object, words.len(), heap);
                self.core.embedder.trace(id, &frozen, &mut Tracer::new(self));
                continue;
            }
            for (k, word) in words.into_iter().enumerate() {
                if kind == Kind::CONSERVATIVE {
                    self.word(word);
                } else if layout.has(k)
                    && let Some(target) = self.core.embedder.decode(word)
                {
                    if word == POISON && self.core.options.poison {
                        let word = object.add(k * 8);
                        self.violation.get_or_insert(Violation::Poison { word, held_by: object });
                        continue;
                    }
                    self.object(target);
                }
            }
        }
    }
}

impl<E: Embedder> Told for Walk<'_, E> {
    fn precise(&mut self, object: Address) {
        RootVisitor::object(self, object);
    }

    fn coded(&mut self, word: u64) {
        if let Some(object) = self.core.embedder.decode(word) {
            RootVisitor::object(self, object);
        }
    }

    fn conservative(&mut self, word: u64) {
        RootVisitor::word(self, word);
    }

    fn goes_on(&mut self) -> bool {
        true
    }
}

impl<E: Embedder> RootVisitor for Walk<'_, E> {
    fn object(&mut self, start: Address) {
        match self.core.geometry.start_granule(start.as_usize()) {
            Some(granule) => self.reach(granule),
            None => self.no_object(start),
        }
    }

    fn word(&mut self, word: u64) {
        // A stale word may lead to an object that died and is not swept yet; it kept nothing alive.
        let live = |granule: &usize| !self.settled || self.core.is_live(*granule);
        if let Some(granule) = self.core.find_object(word as usize).filter(live) {
            self.reach(granule);
        }
    }
}
