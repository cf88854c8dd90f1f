//! The models: each is a protocol's code with a few threads, and what must hold in every schedule.

use palimpsest_runtime::explore::{Model, NotCaught};

/// All of them.
pub const ALL: &[Model] = &[
    crate::mark::models::PACKETS,
    crate::mark::models::END,
    crate::mark::models::DEATH,
    crate::weak::models::READS,
];

/// Orders that no model shows to be needed, and why they are there.
pub const NOT_CAUGHT: &[NotCaught] = &[];
