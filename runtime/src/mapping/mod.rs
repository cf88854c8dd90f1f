//! The heap's address range, and the tables beside it.
//!
//! Three kinds of memory, by what a worker has of them. Children that the host forks inherit none.
//!
//! * the **heap** ([`heap::HeapMapping`]): a worker maps the traced half itself, read-only, where that is shared, and
//!   inherits a copy where it is private;
//! * a **shared table** ([`table::Shared`]) is the same memory in parent and worker, who maps it: page states, pre-images,
//!   metadata, packets;
//! * a **private table** ([`table::Private`]) is the parent's alone.

pub mod heap;
#[cfg_attr(miri, path = "under_miri.rs")]
pub mod table;
mod zeroed;

pub(crate) use heap::Live;
pub use heap::{Backing, HeapMapping};
pub use table::{Private, Region, Shared};
pub use zeroed::Zeroed;
