//! Sizes with which all schedules can be tried.

/// What a sweep looks at in one step is the least.
pub(crate) const BLOCK: usize = 64 * crate::unit::GRANULE;
pub(crate) const PACKET: usize = 2;
pub(crate) const LOOKS: u32 = 1;
pub(crate) const WEAK_READS: u64 = 2;
pub(crate) const RECENT: usize = 1;
