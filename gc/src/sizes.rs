//! Sizes and numbers of rounds that the small protocols do not depend on; the models (`gc/model`) have smaller ones.

/// Bytes in a block. See [`unit`](crate::unit).
pub(crate) const BLOCK: usize = palimpsest_runtime::CHUNK_SIZE;

/// Entries in a packet.
pub(crate) const PACKET: usize = 510;

/// How often a marker without work looks for it before it waits for the bell.
pub(crate) const LOOKS: u32 = 100;

/// Weak reads that can wait at a time.
pub(crate) const WEAK_READS: u64 = 1 << 14;

/// Weak reads that are remembered, so that a favourite is not queued over and over.
pub(crate) const RECENT: usize = 256;
