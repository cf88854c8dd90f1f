//! Eight bytes of a table in one load. The models (`gc/model`) load them one by one, which allows for more.

use crate::sync::{AtomicU8, AtomicU64, Ordering::Relaxed};

/// Those from `at`, a multiple of 8, on: the first in the lowest bits. The table is aligned, as a mapping is, and has them.
#[inline(always)]
pub(crate) fn eight(bytes: &[AtomicU8], at: usize) -> u64 {
    debug_assert!(at.is_multiple_of(8) && at + 8 <= bytes.len());
    // SAFETY: inside the table and aligned. Bytes written meanwhile by others are not looked at by the callers, or may be seen either
    // way.
    u64::from_le(unsafe { (*bytes.as_ptr().add(at).cast::<AtomicU64>()).load(Relaxed) })
}
