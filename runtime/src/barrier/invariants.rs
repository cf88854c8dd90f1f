//! What has to hold between page words and pre-images, looked at where it costs nothing: a page whose word names a pre-image is
//! its owner, and the other way round. Async-signal-safe.

use super::states::Barrier;
use super::word::{PageWord, Slot};
use crate::crash;
use crate::sync::Ordering;
use crate::unit::{PageIndex, PageRange};

impl Barrier {
    /// Reports a page whose word names a pre-image that is not the page's. The caller is counted in with the handlers, or no
    /// slot is taken back meanwhile.
    #[inline]
    pub(super) fn check_saved(&self, page: PageIndex, state: PageWord) {
        let owner = state.slot().and_then(|slot| self.pool.owner_of(slot));
        if owner != Some(page) {
            let (at, _) = self.heap.span(PageRange::new(page.0, page.0 + 1));
            crash::violated(
                Some(at),
                format_args!("page {} is {state}, which is not a pre-image of it", page.0),
            );
        }
    }

    /// Reports a pre-image in use that is of no page, or of one whose word does not say so. At the end of a snapshot, when no
    /// handler is at work.
    #[inline]
    pub(super) fn check_slot(&self, slot: Slot, page: PageIndex) {
        let state =
            self.words.get(page.0 as usize).map(|word| PageWord::from_raw(word.load(Ordering::Relaxed)));
        match state {
            Some(state) if state.slot() == Some(slot) => {}
            Some(state) => {
                let (at, _) = self.heap.span(PageRange::new(page.0, page.0 + 1));
                crash::violated(
                    Some(at),
                    format_args!(
                        "pre-image {slot} is of page {}, which is {state} at the end of the snapshot",
                        page.0
                    ),
                );
            }
            None => crash::violated(
                None,
                format_args!("pre-image {slot} is of page {}, which does not exist", page.0),
            ),
        }
    }
}
