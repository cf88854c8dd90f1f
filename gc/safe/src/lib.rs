//! docs
#![cfg(target_os = "linux")]

// The derive names this crate from the outside.
#[allow(unused_extern_crates, reason = "unit tests and examples in this crate derive too")]
extern crate self as palimpsest_safe;

mod arena;
mod builder;
mod context;
mod error;
mod gc;
mod rootable;
mod shape;
mod stash;
mod traces;
mod types;
mod weak;

pub use arena::Arena;
pub use builder::ArenaBuilder;
pub use context::Mutation;
pub use error::Error;
pub use gc::Gc;
pub use palimpsest::{OutOfMemory, Tracer};
pub use palimpsest_derive::Trace;
pub use rootable::{Root, Rootable};
pub use shape::Shape;
pub use stash::Stashed;
pub use traces::{Static, Trace};
pub use types::Types;
pub use weak::GcWeak;

#[doc(hidden)]
pub use palimpsest_derive::__rootable_elided;
#[doc(hidden)]
pub use rootable::ForEveryBrand;
#[doc(hidden)]
pub use traces::MustNotImplementDrop;
