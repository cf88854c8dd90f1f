//! Comparing the heap with the model.

use super::language::{Language, Plan, Shape, coded};
use super::model::{Id, Model, Node};
use super::world::World;
use palimpsest::{Address, Mutator};

/// The object that workers wait at is marked too, and not in the model.
const GATES: u64 = 1;

impl World {
    /// What holds at any time: all that is alive is whole.
    pub(super) fn compare(&self) -> Result<(), String> {
        for id in &self.model.alive {
            let node = &self.model.nodes[id];
            self.compare_node(*id, node)?;
        }
        Ok(())
    }

    fn compare_node(&self, id: Id, node: &Node) -> Result<(), String> {
        if !self.heap.is_object(node.at) {
            return Err(format!("{id} is alive, and no object starts at {}", node.at));
        }
        let wrong = |k: usize, is: u64, was: u64| {
            let Plan { shape, words, .. } = node.plan;
            Err(format!("{id}, {shape:?} of {words} words at {}: word {k} is {is:#x}, not {was:#x}", node.at))
        };
        // SAFETY: words of an object that is alive; if the collector has reclaimed it, this is what finds out.
        let word = |k: usize| unsafe { node.at.as_ptr::<u64>().add(k).read() };
        if word(0) != node.plan.stamp(id) {
            return wrong(0, word(0), node.plan.stamp(id));
        }
        for k in node.plan.data.clone() {
            if word(k) != Plan::datum(id, node.salt, k) {
                return wrong(k, word(k), Plan::datum(id, node.salt, k));
            }
        }
        for k in node.plan.slots.clone() {
            let wants = node.edges.get(&k).map_or(0, |to| node.plan.reference(self.model.at(*to)));
            // SAFETY: as above.
            let has = unsafe { node.slot(k).read() };
            if has != wants {
                return wrong(k, has, wants);
            }
        }
        Ok(())
    }

    /// What holds after a full cycle that began when the program was where it is now, and marked so many objects.
    pub(super) fn compare_exactly(&mut self, m: &mut Mutator<Language>, marked: u64) -> Result<(), String> {
        self.compare()?;
        let live = self.model.alive.len() as u64 + GATES;
        let queued = self.heap.finalizable() as u64;
        let [waiting, perhaps] = self.waiting()?;
        if self.scanned > 0 {
            // A stack may keep anything that was ever on it.
            if marked < live || queued > waiting + perhaps {
                return Err(format!("{marked} objects marked of {live}, {queued} queued of {waiting}"));
            }
            return Ok(());
        }
        if marked != live {
            return Err(format!("{marked} objects were marked, and {live} are alive"));
        }
        if queued < waiting || queued > waiting + perhaps {
            return Err(format!("{queued} are queued, and {waiting} should be, or {perhaps} more"));
        }
        let kept = self.model.kept_in_the_queue()?;
        let is_dead = |model: &Model, id| !model.is_reachable(id) && !kept.contains(&id);
        let queued = self.model.registered.iter().filter(|(_, since)| is_dead(&self.model, since.id));
        let queued: Vec<u64> = queued.map(|(token, _)| *token).collect();
        self.model.queued.extend(queued);
        self.drop_orphans();
        for k in 0..self.weak.len() {
            // One that was in the queue before the reference was made, when an entry led to it, may still be there.
            let weak = &mut self.weak[k];
            weak.cut |= is_dead(&self.model, weak.target.id) && !weak.to_queued;
        }
        self.model.sweep();
        self.compare_weakly(m)
    }

    /// How many registrations have to be in the queue after a full cycle, and how many more may be: those of objects that were
    /// unreachable once, and that an entry led to in time; and those of objects that something in the queue may have kept.
    fn waiting(&self) -> Result<[u64; 2], String> {
        let kept = self.model.kept_in_the_queue()?;
        let mut counts = [0; 2];
        for (token, since) in &self.model.registered {
            let is_reachable = self.model.is_reachable(since.id);
            if self.model.queued.contains(token) || !is_reachable && !kept.contains(&since.id) {
                counts[0] += 1;
            } else if !is_reachable || !self.model.must_lead(*since) {
                counts[1] += 1;
            }
        }
        Ok(counts)
    }

    /// Reads all that is weak.
    fn compare_weakly(&mut self, m: &mut Mutator<Language>) -> Result<(), String> {
        for k in 0..self.weak.len() {
            self.read_weak(m, k)?;
        }
        for k in 0..self.ephemerons.len() {
            self.read_ephemeron(m, k)?;
        }
        for entry in std::mem::take(&mut self.interned) {
            if self.find(m, entry)?.is_some() {
                self.interned.push(entry);
            }
        }
        for map in 0..self.maps.len() {
            let (is, wants) = (self.maps[map].len(), self.model.maps[map].len());
            if is != wants {
                return Err(format!("map {map} has {is} entries, and should have {wants}"));
            }
        }
        Ok(())
    }

    /// Whether what a map has for a key is what it should have.
    pub(super) fn same_value(
        &self,
        map: usize,
        key: Id,
        is: Option<u64>,
        wants: Option<Id>,
    ) -> Result<(), String> {
        let wants = wants.map(|value| coded(self.model.at(value)));
        if is == wants { Ok(()) } else { Err(format!("map {map} has {is:x?} for {key}, not {wants:x?}")) }
    }

    /// Whether a map has these keys.
    pub(super) fn same_keys(&mut self, map: usize, keys: &[Address]) -> Result<(), String> {
        let all: Vec<Id> = self.model.maps[map].keys().copied().collect();
        let mut known = 0;
        for &key in &all {
            let at = self.model.at(key);
            // Where a later key is now, this one is dead.
            let is_reused = all.iter().any(|&other| other > key && self.model.is_at(other, at));
            if keys.contains(&at) && !is_reused {
                known += 1;
            } else if self.model.alive.contains(&key) {
                return Err(format!("map {map} does not have {key}, which is alive"));
            } else {
                self.model.bury(key);
            }
        }
        if known == keys.len() {
            Ok(())
        } else {
            Err(format!("map {map} has {} keys, of which {known} are known", keys.len()))
        }
    }

    /// At the end: all that is registered is taken once, and then no more.
    pub fn end(&mut self, m: &mut Mutator<Language>) -> Result<(), String> {
        let queued = m.queue_all_finalizers();
        if queued != self.model.registered.len() {
            let wants = self.model.registered.len();
            return Err(format!("{queued} are to be finalized at the end, and {wants} were registered"));
        }
        while self.take_any(m)?.is_some() {}
        match self.model.registered.first_key_value() {
            Some((token, since)) => Err(format!("registration {token} of {} was not taken", since.id)),
            None => Ok(()),
        }
    }
}

impl Node {
    /// Where a reference is kept.
    ///
    /// For an object that is alive: of a bag it reads where its native memory is.
    pub(super) fn slot(&self, k: usize) -> *mut u64 {
        let words = self.at.as_ptr::<u64>();
        if self.plan.shape == Shape::Bag {
            // SAFETY: the second word of a bag.
            let bag = unsafe { words.add(1).read() };
            return std::ptr::with_exposed_provenance_mut::<u64>(bag as usize).wrapping_add(k);
        }
        words.wrapping_add(k)
    }
}
