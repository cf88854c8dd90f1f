//! The allocation fast path for compilers: where its words are, and what their code has to do.

use super::Mutator;
use crate::embedder::Embedder;
use crate::unit::GRANULE;

impl<E: Embedder> Mutator<E> {
    /// The words of the allocation fast path, for compilers that put it into their code.
    ///
    /// # Panics
    /// In a thread that has stepped out.
    pub fn inline_alloc(&self, leaf: bool) -> InlineAlloc {
        self.must_be_in("Mutator::inline_alloc");
        // SAFETY: made by `attach`, freed by `drop`. References to its parts are made only while this is called.
        let local = unsafe { &mut *self.local };
        let colour = local.colour_address();
        let run = &mut local.runs(leaf).main;
        InlineAlloc {
            cursor: &raw mut run.cursor,
            limit: &raw const run.limit,
            colour,
            metadata: self.metadata.cast_mut().cast::<u8>().wrapping_sub(self.base / GRANULE),
        }
    }

    /// The word that a safepoint looks at: 32 bits. Above 0, the thread calls [`Mutator::poll`]. Valid as long as the heap is.
    pub fn poll_address(&self) -> *const u32 {
        self.core().registry.stop_word().as_ptr()
    }
}

/// Where the words of a thread's allocation fast path are, for a compiler that puts it into its code. They stay where they are until
/// the thread detaches. Another thread's are not touched.
///
/// To allocate a small object ([`SMALL_MAX`](crate::SMALL_MAX)) of `n` granules ([`GRANULE`](crate::GRANULE)) and kind `k` in the
/// space that this was asked for, between two safepoints:
///
/// 1. Load `at` from `cursor`. If the difference between what is at `limit` and `at` is less than `16 * n` bytes, call
///    [`Mutator::alloc_uninit`].
/// 2. Store `at + 16 * n` to `cursor`.
/// 3. Store metadata: the byte `k | colour` at `metadata + at / 16`, where `k` is [`Kind::number`](crate::Kind::number) and `colour` the byte at `colour`. If
///    `n` is 1, add [`InlineAlloc::END`] to it; otherwise store [`InlineAlloc::END`] at `metadata + at / 16 + n - 1`.
/// 4. Before the next safepoint, write every word that may be a reference, also one that the size leaves over in the last granule.
///
/// Between the load and the last store is no safepoint. The three words change at safepoints, and so are loaded again after each. The stores
/// are plain: the processor's order between them does not matter, since they are read in a stopped world, or after one.
#[derive(Copy, Clone, Debug)]
pub struct InlineAlloc {
    /// Where the next object goes; 64 bits.
    pub cursor: *mut usize,
    /// No object reaches beyond; 64 bits.
    pub limit: *const usize,
    /// The colour of new objects; 8 bits.
    pub colour: *const u8,
    /// The metadata byte of the granule at address 0, if there were one.
    pub metadata: *mut u8,
}

impl InlineAlloc {
    /// The metadata byte, or part of it, of the granule in which an object ends.
    pub const END: u8 = 0x80;
}
