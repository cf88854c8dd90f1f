//! Eight bytes, one after the other: loom's are not bytes next to each other. Others may write between two of these loads, as they
//! may not between the bytes of one.

use crate::sync::{AtomicU8, Ordering::Relaxed};

pub(crate) fn eight(bytes: &[AtomicU8], at: usize) -> u64 {
    (0..8).fold(0, |word, k| word | u64::from(bytes[at + k].load(Relaxed)) << (8 * k))
}
