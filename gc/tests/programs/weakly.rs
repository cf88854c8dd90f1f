//! Operations that concern what does not keep its object: weak references, maps, ephemerons, the table, finalizers.
//!
//! Whoever is given an object by one of them has it until the next safepoint, and longer if he makes a root of it: so an object that was
//! unreachable becomes reachable again.

use super::language::{Language, coded, identity};
use super::model::{Id, NOBODY, Since};
use super::ops::Op;
use super::world::{World, no_room, nth};
use palimpsest::{Address, Ephemeron, Mutator, WeakMap, WeakRef, WeakSlot};

/// A weak reference, and what it has to lead to.
pub struct Weak {
    pub kind: WeakKind,
    pub target: Since,
    /// Whether its target may have been in the queue of finalizers already, which goes on to keep it.
    pub to_queued: bool,
    /// Whether it is known to be cut.
    pub cut: bool,
}

pub enum WeakKind {
    Native(WeakRef),
    /// With the owner.
    Owned(WeakSlot, Id),
}

/// An entry of the weak table.
#[derive(Copy, Clone)]
pub struct Interned {
    pub hash: u64,
    pub id: Id,
}

impl World {
    pub(super) fn act_weakly(&mut self, m: &mut Mutator<Language>, op: Op) -> Result<(), String> {
        match op {
            Op::Weak { object } => {
                if let Some(id) = self.model.pick(object) {
                    let kind = WeakKind::Native(WeakRef::new(m, self.model.at(id)).map_err(no_room)?);
                    self.weak.push(self.weak_to(id, kind));
                }
            }
            Op::Slot { owner, object } => {
                if let (Some(owner), Some(id)) = (self.model.pick(owner), self.model.pick(object)) {
                    let slot = WeakSlot::new(m, self.model.at(owner), self.model.at(id)).map_err(no_room)?;
                    let kind = WeakKind::Owned(slot, owner);
                    self.weak.push(self.weak_to(id, kind));
                }
            }
            Op::Upgrade { weak, keep } => {
                if let Some(k) = self.pick_weak(weak)
                    && let Some(id) = self.read_weak(m, k)?
                    && keep % 2 == 1
                {
                    self.root(id);
                }
            }
            Op::Retarget { weak, object } => {
                if let (Some(k), Some(id)) = (self.pick_weak(weak), self.model.pick(object)) {
                    let at = self.model.at(id);
                    match &self.weak[k].kind {
                        WeakKind::Native(weak) => weak.set(m, at),
                        WeakKind::Owned(slot, _) => slot.set(m, at),
                    }
                    let (target, to_queued) = (self.model.since(id), self.model.may_be_queued(id));
                    let weak = &mut self.weak[k];
                    (weak.target, weak.to_queued, weak.cut) = (target, to_queued, false);
                }
            }
            Op::Unweak { weak } => {
                if let Some(k) = self.pick_weak(weak) {
                    self.weak.swap_remove(k);
                }
            }
            Op::Ephemeron { key, value } => {
                if let (Some(key), Some(value)) = (self.model.pick(key), self.model.pick(value)) {
                    let word = coded(self.model.at(value));
                    self.ephemerons.push(Ephemeron::new(m, self.model.at(key), word).map_err(no_room)?);
                    self.model.ephemerons.push((key, value));
                }
            }
            Op::Visit { ephemeron, keep } => {
                if let Some(k) = nth(ephemeron, self.ephemerons.len())
                    && let Some((key, value)) = self.read_ephemeron(m, k)?
                    && keep % 2 == 1
                {
                    self.root(key);
                    self.root(value);
                }
            }
            Op::Change { ephemeron, value } => {
                if let (Some(k), Some(value)) =
                    (nth(ephemeron, self.ephemerons.len()), self.model.pick(value))
                {
                    self.change(m, k, value)?;
                }
            }
            Op::Unephemeron { ephemeron } => {
                if let Some(k) = nth(ephemeron, self.ephemerons.len()) {
                    self.ephemerons.swap_remove(k);
                    self.model.ephemerons.swap_remove(k);
                }
            }
            Op::Intern { object } => {
                if let Some(id) = self.model.pick(object) {
                    // Half of the hashes are shared by others.
                    let hash = if id % 2 == 0 { id.wrapping_mul(0x9e37_79b9_7f4a_7c15) } else { id % 8 };
                    self.table.insert(m, hash, self.model.at(id)).map_err(no_room)?;
                    self.interned.push(Interned { hash, id });
                }
            }
            Op::Find { entry, keep } => {
                if let Some(k) = nth(entry, self.interned.len())
                    && let Some(id) = self.find(m, self.interned[k])?
                    && keep % 2 == 1
                {
                    self.root(id);
                }
            }
            Op::Insert { .. }
            | Op::Remove { .. }
            | Op::Lookup { .. }
            | Op::Keys { .. }
            | Op::Forget { .. } => {
                self.act_on_map(m, op)?;
            }
            Op::Finalize { object } => {
                if let Some(id) = self.model.pick(object) {
                    self.tokens += 1;
                    let finalizer = m.register_finalizer(self.model.at(id), self.tokens).map_err(no_room)?;
                    self.finalizers.push((finalizer, self.tokens));
                    self.model.register(self.tokens, id);
                }
            }
            Op::Unfinalize { registration } => self.unfinalize(m, registration)?,
            Op::Take { keep } => {
                if let Some(id) = self.take(m)?
                    && keep % 2 == 1
                {
                    self.root(id);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn act_on_map(&mut self, m: &mut Mutator<Language>, op: Op) -> Result<(), String> {
        match op {
            Op::Insert { map, key, value } => {
                let map = usize::from(map) % self.maps.len();
                if let (Some(key), Some(value)) = (self.model.pick(key), self.model.pick(value)) {
                    let word = coded(self.model.at(value));
                    let was = self.maps[map].insert(m, self.model.at(key), word).map_err(no_room)?;
                    let is = self.model.maps[map].insert(key, value);
                    self.same_value(map, key, was, is)?;
                }
            }
            Op::Remove { map, key } => {
                let map = usize::from(map) % self.maps.len();
                if let Some(key) = self.model.pick(key) {
                    let was = self.maps[map].remove(m, self.model.at(key));
                    let is = self.model.maps[map].remove(&key);
                    self.same_value(map, key, was, is)?;
                }
            }
            Op::Lookup { map, key, keep } => {
                let map = usize::from(map) % self.maps.len();
                if let Some(key) = self.model.pick(key) {
                    let is = self.model.maps[map].get(&key).copied();
                    self.same_value(map, key, self.maps[map].get(m, self.model.at(key)), is)?;
                    if let (Some(value), 1) = (is, keep % 2) {
                        self.root(value);
                    }
                }
            }
            Op::Keys { map } => {
                let map = usize::from(map) % self.maps.len();
                let keys = self.maps[map].keys(m).map_err(no_room)?;
                self.same_keys(map, &keys)?;
            }
            Op::Forget { map } => {
                let map = usize::from(map) % self.maps.len();
                self.maps[map] = WeakMap::new(m).map_err(no_room)?;
                self.model.maps[map].clear();
            }
            _ => {}
        }
        Ok(())
    }

    fn pick_weak(&mut self, k: u8) -> Option<usize> {
        self.drop_orphans();
        nth(k, self.weak.len())
    }

    /// A weak reference that is made now.
    fn weak_to(&self, id: Id, kind: WeakKind) -> Weak {
        Weak { kind, target: self.model.since(id), to_queued: self.model.may_be_queued(id), cut: false }
    }

    /// Forgets weak references whose owners the program cannot reach: they go with them.
    pub(super) fn drop_orphans(&mut self) {
        let model = &self.model;
        self.weak.retain(|weak| match weak.kind {
            WeakKind::Native(_) => true,
            WeakKind::Owned(_, owner) => model.is_reachable(owner),
        });
    }

    /// Reads a weak reference, and says what it leads to.
    pub(super) fn read_weak(&mut self, m: &mut Mutator<Language>, k: usize) -> Result<Option<Id>, String> {
        let Weak { kind, target, cut, .. } = &mut self.weak[k];
        let found = match kind {
            WeakKind::Native(weak) => weak.get(m),
            WeakKind::Owned(slot, _) => slot.get(m),
        };
        let id = target.id;
        match found {
            Some(at) if *cut => Err(format!("a weak reference to {id} was cut, and leads to {at}")),
            Some(at) if self.model.is_at(id, at) => Ok(Some(id)),
            Some(at) => Err(format!("a weak reference to {id}, which is dead or elsewhere, leads to {at}")),
            None if self.model.must_lead(*target) => {
                Err(format!("a weak reference to {id}, which was reachable all the time, leads nowhere"))
            }
            None => {
                *cut = true;
                Ok(None)
            }
        }
    }

    pub(super) fn read_ephemeron(
        &mut self,
        m: &mut Mutator<Language>,
        k: usize,
    ) -> Result<Option<(Id, Id)>, String> {
        let (key, value) = self.model.ephemerons[k];
        match self.ephemerons[k].get(m) {
            Some((at, word)) => {
                let value_at = Address::new(word as usize - 1);
                if self.model.is_at(key, at) && self.model.is_at(value, value_at) {
                    return Ok(Some((key, value)));
                }
                Err(format!("the ephemeron of {key} and {value} leads to {at} and {word:#x}"))
            }
            None if self.model.alive.contains(&key) => {
                Err(format!("the ephemeron of {key}, which is alive, leads nowhere"))
            }
            None => {
                self.model.bury(key);
                Ok(None)
            }
        }
    }

    fn change(&mut self, m: &mut Mutator<Language>, k: usize, value: Id) -> Result<(), String> {
        let (key, _) = self.model.ephemerons[k];
        let changed = self.ephemerons[k].set_value(m, coded(self.model.at(value)));
        match (changed, self.model.nodes.contains_key(&key)) {
            (true, true) => self.model.ephemerons[k].1 = value,
            (true, false) => return Err(format!("the ephemeron of {key}, which is dead, takes a value")),
            (false, _) if self.model.alive.contains(&key) => {
                return Err(format!("the ephemeron of {key}, which is alive, takes no value"));
            }
            (false, _) => self.model.ephemerons[k] = (NOBODY, NOBODY),
        }
        Ok(())
    }

    pub(super) fn find(
        &mut self,
        m: &mut Mutator<Language>,
        Interned { hash, id }: Interned,
    ) -> Result<Option<Id>, String> {
        // SAFETY: an object of the table, dead perhaps, but not yet taken away.
        match self.table.find(m, hash, |at| unsafe { identity(at) } == id) {
            Some(at) if self.model.is_at(id, at) => Ok(Some(id)),
            Some(at) => Err(format!("the table has {id}, which is dead or elsewhere, at {at}")),
            None if self.model.alive.contains(&id) => {
                Err(format!("the table does not have {id}, which is alive"))
            }
            None => {
                self.model.bury(id);
                Ok(None)
            }
        }
    }

    fn unfinalize(&mut self, m: &mut Mutator<Language>, registration: u8) -> Result<(), String> {
        let Some(k) = nth(registration, self.finalizers.len()) else { return Ok(()) };
        let (finalizer, token) = self.finalizers.swap_remove(k);
        let there = m.unregister_finalizer(finalizer);
        match self.model.registered.get(&token) {
            _ if there && self.model.queued.contains(&token) => {
                Err(format!("registration {token} is in the queue, and is taken back"))
            }
            None if there => Err(format!("registration {token} was taken from the queue, and is there")),
            Some(since) if !there && self.model.must_lead(*since) => {
                Err(format!("registration {token} of {}, which was always reachable, is gone", since.id))
            }
            _ => {
                if there {
                    self.model.registered.remove(&token);
                }
                Ok(())
            }
        }
    }

    /// Takes an object from the queue, that was unreachable.
    fn take(&mut self, m: &mut Mutator<Language>) -> Result<Option<Id>, String> {
        let taken = self.take_any(m)?;
        match taken {
            Some(since) if self.model.must_lead(since) => {
                Err(format!("{}, which was always reachable, is to be finalized", since.id))
            }
            _ => Ok(taken.map(|since| since.id)),
        }
    }

    /// Takes an object from the queue.
    pub(super) fn take_any(&mut self, m: &mut Mutator<Language>) -> Result<Option<Since>, String> {
        let Some((at, token)) = m.take_finalizable() else { return Ok(None) };
        let Some(since) = self.model.registered.remove(&token) else {
            return Err(format!("registration {token} is taken a second time, or was taken back"));
        };
        self.model.queued.remove(&token);
        if !self.model.is_at(since.id, at) {
            return Err(format!("registration {token} of {} is for what is at {at}", since.id));
        }
        Ok(Some(since))
    }
}
