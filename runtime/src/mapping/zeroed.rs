//! What tables may hold.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

/// Types that are valid when all their bytes are zero and that several processes may use at once.
///
/// # Safety
/// All-zero is a valid value, and every access goes through atomics: no padding, no pointer, no destructor.
pub unsafe trait Zeroed: Sync {}
// SAFETY: an atomic integer of zero bytes is zero.
unsafe impl Zeroed for AtomicU8 {}
// SAFETY: as above.
unsafe impl Zeroed for AtomicU16 {}
// SAFETY: as above.
unsafe impl Zeroed for AtomicU32 {}
// SAFETY: as above.
unsafe impl Zeroed for AtomicU64 {}
// SAFETY: an array of such values is one after another of them.
unsafe impl<T: Zeroed, const N: usize> Zeroed for [T; N] {}
