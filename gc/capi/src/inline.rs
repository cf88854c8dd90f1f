//! Where compiled code finds the words of the allocation fast path. The header has the path itself, in C, as a function that is
//! inlined; its text is in `cbindgen.toml`.

use crate::mutator::{palimpsest_mutator, running};
use crate::opaque::out;
use crate::status::{entry, palimpsest_status};
use palimpsest::InlineAlloc;

/// The largest object that the fast path allocates, in bytes.
pub const PALIMPSEST_SMALL_MAX: usize = 32768;

/// In the metadata byte of the granule in which an object ends.
pub const PALIMPSEST_METADATA_END: u8 = 0x80;

const _: () = assert!(PALIMPSEST_SMALL_MAX == palimpsest::SMALL_MAX);
const _: () = assert!(PALIMPSEST_METADATA_END == InlineAlloc::END && palimpsest::GRANULE == 16);

/// The words of a thread's allocation fast path, for compilers that put it into their code; `palimpsest_alloc_inline` is the path in
/// C. They stay where they are until the thread detaches; other threads do not touch
/// them.
///
/// To allocate a small object (`PALIMPSEST_SMALL_MAX` bytes) of `n` granules of 16 bytes and kind `k`:
///
/// 1. If the word at `poll` is not 0, call `palimpsest_alloc_uninit` instead.
/// 2. Load `at` from `cursor`. If the difference between what is at `limit` and `at` is less than `16 * n`, likewise.
/// 3. Store `at + 16 * n` to `cursor`.
/// 4. Store the byte `k | colour` at `metadata + at / 16`, `colour` being the byte at `colour`. If `n` is 1, add
///    `PALIMPSEST_METADATA_END` to it; otherwise store `PALIMPSEST_METADATA_END` at `metadata + at / 16 + n - 1`.
/// 5. Before the next safepoint, write every word that may be a reference, also one that the size leaves over in the last
///    granule.
///
/// There is no safepoint from 2 to 4. What is at the addresses changes at safepoints, and is loaded again after each.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct palimpsest_inline_alloc {
    /// Where the next object goes.
    pub cursor: *mut usize,
    /// No object reaches beyond.
    pub limit: *const usize,
    /// The colour of new objects.
    pub colour: *const u8,
    /// The metadata byte of the granule at address 0, if there were one.
    pub metadata: *mut u8,
    /// Not 0 if the thread is to call `palimpsest_poll`, or to allocate by a call.
    pub poll: *const u32,
}

/// Stores where this thread's words are: for objects of the kind `PALIMPSEST_LEAF`, or for all others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_inline_alloc_words(
    mutator: *mut palimpsest_mutator,
    leaf: bool,
    words: *mut palimpsest_inline_alloc,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, place) = unsafe { (running(mutator)?, out(words, "words")?) };
        let (words, poll) = attached.with(|mutator| (mutator.inline_alloc(leaf), mutator.poll_address()));
        let InlineAlloc { cursor, limit, colour, metadata } = words;
        place.write(palimpsest_inline_alloc { cursor, limit, colour, metadata, poll });
        Ok(())
    })
}
