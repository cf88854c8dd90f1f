//! The models: each is a protocol's code with a few threads, and what must hold in every schedule.

use palimpsest_runtime::explore::Model;

/// All of them.
pub const ALL: &[Model] = &[
    crate::mark::models::PACKETS,
    crate::mark::models::END,
    crate::mark::models::END_OF_TWO,
    crate::mark::models::DEATH,
    crate::weak::models::READS,
    crate::colours::FLIP,
    crate::colours::TWICE,
    crate::colours::CLAIM,
    crate::mailbox::MAILBOX,
];
