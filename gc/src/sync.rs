//! Where the small protocols have their atomics from: packets, the end of marking, weak reads, mark bytes.
//!
//! Here they are the standard library's. The crate `gc/model` compiles the same files over those of a model checker, as
//! `runtime/model` does with the runtime's; there `mutation!("name")`, which is `false` here, makes a mistake on purpose.

pub(crate) use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// Whether the mistake of this name is to be made: never, but in a model, and in a build for `palimpsest_runtime::mistakes`.
#[cfg(not(palimpsest_mutations))]
macro_rules! mutation {
    ($name:literal) => {
        false
    };
}
#[cfg(palimpsest_mutations)]
macro_rules! mutation {
    ($name:literal) => {
        palimpsest_runtime::mistakes::is_made($name)
    };
}
pub(crate) use mutation;
