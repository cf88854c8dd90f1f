//! Sizes with which all schedules can be tried.

pub const PAGE_SIZE: usize = 16;
pub const CHUNK_PAGES: u32 = 1;
pub(crate) const GROUP: usize = 2;
pub(crate) const LOCK_SPINS: u32 = 1;
pub(crate) const STOP_SPINS: u32 = 0;
