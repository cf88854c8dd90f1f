//! The models: each is a protocol's code with a few threads, and what must hold in every schedule.

use palimpsest_runtime::explore::Model;

/// All of them, the longest first.
pub const ALL: &[Model] = &[
    crate::mark::models::DEATH,
    crate::colours::TWICE,
    crate::mark::models::END_OF_TWO,
    crate::mailbox::MAILBOX,
    crate::weak::models::READS,
    crate::mark::models::END,
    crate::mark::models::PACKETS,
    crate::colours::FLIP,
    crate::colours::CLAIM,
];
