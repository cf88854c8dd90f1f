//! Sizes and numbers of rounds that the small protocols do not depend on. The models (`runtime/model`) compile the protocols
//! with smaller ones, so that all their schedules can be tried.

/// Bytes in a page. The barrier works on the kernel's base pages; [`crate::ladder`] refuses kernels built with
/// another size, for which none of this has been measured.
pub const PAGE_SIZE: usize = 4096;

/// Pages in a chunk: the unit in which dirty pages are looked for. The collector's blocks are one chunk.
pub const CHUNK_PAGES: u32 = 16;

/// Chunks in a group of the dirty map: 4 MiB of heap.
pub(crate) const GROUP: usize = 64;

/// How often a thread looks at a lock that is held before it goes to sleep.
pub(crate) const LOCK_SPINS: u32 = 100;

/// How often one looks that waits for the world to stop or to go on.
pub(crate) const STOP_SPINS: u32 = 200;
