//! The checker's atomics.

pub(crate) use palimpsest_runtime::mutation;
pub(crate) use palimpsest_runtime::sync::{
    AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
};
