//! The heap's address range, and the tables beside it.
//!
//! Three kinds of memory, by what a fork does to them:
//!
//! * the **heap** ([`heap::HeapMapping`]) is never inherited by a child; a worker maps its traced half itself,
//!   read-only;
//! * a **shared table** ([`table::Shared`]) is the same memory in parent and worker: page states, pre-images,
//!   metadata, packets;
//! * a **private table** ([`table::Private`]) is the parent's alone and not inherited, so that it costs a fork
//!   nothing.

pub mod heap;
pub mod table;

pub use heap::HeapMapping;
pub use table::{Private, Shared, Zeroed};
