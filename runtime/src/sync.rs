//! Where the small protocols have their atomics from: the page states, the epochs, the pool, the dirty map, the pins, the
//! handshake, the lock and the bell.
//!
//! Here they are the standard library's. The crate `runtime/model` compiles the same files over those of a model checker,
//! which tries the schedules of threads, and what each load may return under the memory model. It can also make a mistake on
//! purpose: where the code says `mutation!("name")`, which is `false` here, and wherever a memory order is named. What counts
//! only, and orders nothing, uses the standard library everywhere.

pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
pub(crate) use std::thread::available_parallelism;
pub(crate) use std::thread_local;

/// Whether the mistake of this name is to be made: never, but in a model, and in a build for [`crate::mistakes`].
#[cfg(not(palimpsest_mutations))]
macro_rules! mutation {
    ($name:literal) => {
        false
    };
}
#[cfg(palimpsest_mutations)]
macro_rules! mutation {
    ($name:literal) => {
        $crate::mistakes::is_made($name)
    };
}
pub(crate) use mutation;
