//! The shadow graph: identities and edges, and what follows from them.
//!
//! An object is *reachable* if the program can get at it from a root, and *alive* if it is reachable or something that waits for its
//! finalizer leads to it. One that is neither may be there or not: a weak reference may still lead to it and make it reachable
//! again. It is kept in mind until somebody was told that it is dead, or a full cycle has ended that began since.
//!
//! Time is counted in operations. Of each object the model knows when it was last unreachable: a weak reference that was made
//! after that has to lead to it.

use super::language::Plan;
use palimpsest::Address;
use std::collections::{BTreeMap, BTreeSet};

/// Which object.
pub type Id = u64;

/// When.
pub type Time = u64;

/// How many maps there are.
pub const MAPS: usize = 2;

/// An object.
#[derive(Debug)]
pub struct Node {
    pub at: Address,
    pub plan: Plan,
    /// By the word that a reference is in; the others are empty.
    pub edges: BTreeMap<usize, Id>,
    pub salt: u64,
    /// When it was last unreachable.
    pub unreachable: Time,
}

/// What refers to an object and does not keep it, and since when.
#[derive(Copy, Clone, Debug)]
pub struct Since {
    pub id: Id,
    pub time: Time,
}

/// A program's heap, as it has to be.
#[derive(Debug, Default)]
pub struct Model {
    pub now: Time,
    pub nodes: BTreeMap<Id, Node>,
    /// Roots of all kinds, one entry each.
    pub roots: Vec<Id>,
    /// Of each map: keys and values.
    pub maps: [BTreeMap<Id, Id>; MAPS],
    /// Keys and values.
    pub ephemerons: Vec<(Id, Id)>,
    /// What is registered for finalization and was not taken, by token.
    pub registered: BTreeMap<u64, Since>,
    /// Tokens of those among them that are known to be in the queue.
    pub queued: BTreeSet<u64>,
    /// What is reachable, in order.
    pub reachable: Vec<Id>,
    pub alive: BTreeSet<Id>,
}

impl Model {
    /// What is reachable from these, through edges, and from keys through maps and ephemerons.
    fn reach(&self, from: impl IntoIterator<Item = Id>) -> Result<BTreeSet<Id>, String> {
        let mut reached = BTreeSet::new();
        let mut to_do: Vec<Id> = from.into_iter().collect();
        while let Some(id) = to_do.pop() {
            if reached.insert(id) {
                let node = self.nodes.get(&id).ok_or_else(|| format!("{id} was dead, and can be reached"))?;
                to_do.extend(node.edges.values());
                to_do.extend(self.maps.iter().filter_map(|map| map.get(&id)));
                to_do.extend(self.ephemerons.iter().filter(|(key, _)| *key == id).map(|(_, value)| *value));
            }
        }
        Ok(reached)
    }

    /// After an operation: notes what has become unreachable.
    pub fn settle(&mut self) -> Result<(), String> {
        self.now += 1;
        let reachable = self.reach(self.roots.iter().copied())?;
        let waiting = self.registered.values().map(|since| since.id);
        self.alive = self.reach(self.roots.iter().copied().chain(waiting))?;
        for (id, node) in &mut self.nodes {
            if !reachable.contains(id) {
                node.unreachable = self.now;
            }
        }
        self.reachable = reachable.into_iter().collect();
        Ok(())
    }

    /// What objects that wait for a finalizer, or may, lead to. Once they are in the queue it is a root, and this is not found to
    /// be dead. Whether they were in it before a cycle is not always known: one of the young, or in the background, may have put
    /// them there. An object with a single registration that is not known to be in the queue is not kept by that.
    pub fn kept_in_the_queue(&self) -> Result<BTreeSet<Id>, String> {
        let mut kept = BTreeSet::new();
        for (token, since) in self.registered.iter().filter(|(_, since)| !self.is_reachable(since.id)) {
            let mut led_to = self.reach([since.id])?;
            let others = self.registered.iter().any(|(other, also)| other != token && also.id == since.id);
            if !others && !self.queued.contains(token) {
                led_to.remove(&since.id);
            }
            kept.append(&mut led_to);
        }
        Ok(kept)
    }

    /// After a full cycle that began when the program was where it is now: forgets what is dead.
    pub fn sweep(&mut self) {
        let alive = std::mem::take(&mut self.alive);
        self.nodes.retain(|id, _| alive.contains(id));
        self.alive = alive;
        self.forget_entries();
    }

    /// Somebody was told that an object is dead.
    pub fn bury(&mut self, id: Id) {
        self.nodes.remove(&id);
        self.forget_entries();
    }

    fn forget_entries(&mut self) {
        let nodes = &self.nodes;
        self.maps.iter_mut().for_each(|map| map.retain(|key, _| nodes.contains_key(key)));
        for (key, value) in &mut self.ephemerons {
            if !nodes.contains_key(key) {
                (*key, *value) = (NOBODY, NOBODY);
            }
        }
    }

    /// A reachable object.
    pub fn pick(&self, k: u8) -> Option<Id> {
        (!self.reachable.is_empty()).then(|| self.reachable[usize::from(k) % self.reachable.len()])
    }

    pub fn at(&self, id: Id) -> Address {
        self.nodes[&id].at
    }

    /// Which object is here, among those that this entry or reference may lead to.
    pub fn is_at(&self, id: Id, at: Address) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.at == at)
    }

    /// Whether a weak reference has to lead to its target.
    pub fn must_lead(&self, weak: Since) -> bool {
        self.nodes.get(&weak.id).is_some_and(|node| node.unreachable <= weak.time)
    }

    /// Whether an object may be in the queue of finalizers: one that was unreachable since it was registered.
    pub fn may_be_queued(&self, id: Id) -> bool {
        let of_it = |since: &&Since| since.id == id;
        self.registered.values().filter(of_it).any(|since| !self.must_lead(*since))
    }

    pub fn is_reachable(&self, id: Id) -> bool {
        self.reachable.binary_search(&id).is_ok()
    }

    /// A reference that is made now.
    pub fn since(&self, id: Id) -> Since {
        Since { id, time: self.now }
    }

    pub fn register(&mut self, token: u64, id: Id) {
        self.registered.insert(token, self.since(id));
    }

    /// Drops a root to this object.
    pub fn unroot(&mut self, id: Id) {
        if let Some(at) = self.roots.iter().position(|root| *root == id) {
            self.roots.swap_remove(at);
        }
    }
}

/// An identity that no object has.
pub const NOBODY: Id = 0;
