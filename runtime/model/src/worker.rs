//! The worker's side: its view of the snapshot, and the roll of its crew.

#[path = "../../src/worker/record.rs"]
pub mod record;
pub(crate) mod record_model;
#[path = "../../src/worker/roll.rs"]
pub mod roll;
#[path = "../../src/worker/view.rs"]
pub mod view;

pub use roll::{Crew, MAX_WORKERS};
pub use view::{InheritedView, OwnedPage, ReadSide, Reason, SnapshotView};

impl Crew {
    /// What the parent does when it has reaped a sibling.
    pub fn has_died(&self, sibling: usize) {
        self.note_gone(sibling);
    }
}

/// A worker among others.
#[derive(Debug)]
pub struct Member<'a> {
    pub index: usize,
    pub crew: &'a Crew,
}

impl<'a> Member<'a> {
    pub fn index(&self) -> usize {
        self.index
    }

    pub fn crew(&self) -> Option<&'a Crew> {
        Some(self.crew)
    }

    pub fn advance(&self) {}

    pub fn step(&self) {}

    pub fn is_orphan(&self) -> bool {
        false
    }
}
