//! Marking: from the roots to everything they reach, in packets of references.
//!
//! One marker's state is a packet of objects that are marked and not yet scanned, and two short queues that hide the
//! latency of memory: what is discovered waits in the first while its metadata byte is fetched, what is taken from the
//! packets waits in the second while its contents are (Cher, Hosking and Vijaykumar, "Software Prefetching for Mark-Sweep
//! Garbage Collection", 2004). Full packets go to a list in shared memory, from which any marker takes; several markers, each in
//! a worker of its own, are a [`team`].
//!
//! **Everything here runs in a forked worker** as well as in the stopped world: it allocates nothing, locks nothing, and
//! does not panic. Where packets run out, the object stays marked, its block is noted, and the block's marked objects are
//! scanned again when all packets are empty: marking gets slower, and never wrong.

mod attend;
mod marker;
mod native;
mod old;
mod packets;
mod scan;
mod share;
mod source;
mod tally;
pub(crate) mod team;
mod waiting;

pub(crate) use marker::Marker;
pub(crate) use native::Told;
pub use native::{Frozen, Tracer};
pub(crate) use packets::{PACKET_BYTES, Packets};
pub(crate) use source::{Live, Source};
pub(crate) use tally::Tally;
pub(crate) use team::Team;
