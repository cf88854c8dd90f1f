//! Weak reads while a snapshot is marked.

#[path = "../../src/weak/ending.rs"]
mod ending;
#[path = "../../src/weak/kept.rs"]
mod kept;
pub(crate) mod models;
#[path = "../../src/weak/reads.rs"]
mod reads;

/// What `kept.rs` refers to in its documentation.
pub(crate) struct WeakRef;
