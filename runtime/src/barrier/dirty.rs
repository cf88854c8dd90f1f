//! Which pages may have become dirty, found without looking at all of them.
//!
//! One flag a chunk of pages, and one flag a group of chunks: a scan of a heap of 4 GiB looks at a thousand
//! bytes and then only at what is flagged. A flag is a hint to look at the chunk's page words; raising it twice
//! costs nothing and the map never overflows.
//!
//! Whoever changes a word to `Open` raises the chunk's flag afterwards and the group's after that. The
//! scan lowers the group's first, then the chunk's, and then reads the words. So a change whose flag was lowered
//! is seen in the words, and one that is not seen raises its flags again. A trap, whose writer may go on the moment the page
//! is opened, raises the flags before that, with the word at `Saving`: a scan that sees such a word raises them again. And the
//! end of a snapshot, which makes `Saved` words `Open`, raises the flags of all of them.

use crate::error::Error;
use crate::mapping::Private;
use crate::sizes::GROUP;
use crate::sync::{AtomicU8, Ordering, mutation};
use crate::unit::{CHUNK_PAGES, PageRange};

#[derive(Debug)]
pub(super) struct DirtyMap {
    chunks: Private<AtomicU8>,
    groups: Private<AtomicU8>,
}

impl DirtyMap {
    /// A clean map for this many pages.
    pub(super) fn new(pages: usize) -> Result<Self, Error> {
        let chunks = pages.div_ceil(CHUNK_PAGES as usize);
        Ok(Self { chunks: Private::new(chunks)?, groups: Private::new(chunks.div_ceil(GROUP))? })
    }

    /// Raises the flags of these pages' chunks. Async-signal-safe.
    #[inline]
    pub(super) fn mark(&self, pages: PageRange) {
        if pages.is_empty() {
            return;
        }
        let last = (pages.end.0 - 1) / CHUNK_PAGES;
        for chunk in pages.start.chunk()..=last {
            self.mark_chunk(chunk);
        }
    }

    /// Raises one chunk's flags. Async-signal-safe.
    #[inline]
    pub(super) fn mark_chunk(&self, chunk: u32) {
        // SeqCst, as in `drain`: the two flags and the page words are changed and read in opposite orders.
        if mutation!("dirty: the group's flag first") {
            self.groups[chunk as usize / GROUP].store(1, Ordering::SeqCst);
            return self.chunks[chunk as usize].store(1, Ordering::SeqCst);
        }
        self.chunks[chunk as usize].store(1, Ordering::SeqCst);
        self.groups[chunk as usize / GROUP].store(1, Ordering::SeqCst);
    }

    /// Lowers all flags and passes each flagged chunk on, in ascending order. The chunk for which `visit` fails, and all
    /// after it, stay flagged.
    pub(super) fn drain<E>(&self, mut visit: impl FnMut(u32) -> Result<(), E>) -> Result<(), E> {
        let mut result = Ok(());
        for (g, group) in self.groups.iter().enumerate() {
            if group.load(Ordering::Relaxed) == 0 || group.swap(0, Ordering::SeqCst) == 0 {
                continue;
            }
            let first = g * GROUP;
            let last = (first + GROUP).min(self.chunks.len());
            for (k, chunk) in self.chunks[first..last].iter().enumerate() {
                // SeqCst, though it is a glance: the group's flag is lowered, and if this missed a chunk's that was raised
                // before that, nobody would look again. Several threads raise the group's, and the swap above may have read
                // another one's, which alone tells nothing of this chunk.
                if chunk.load(Ordering::SeqCst) == 0 || chunk.swap(0, Ordering::SeqCst) == 0 {
                    continue;
                }
                let index = (first + k) as u32;
                if result.is_ok() {
                    result = visit(index);
                }
                if result.is_err() {
                    self.mark_chunk(index);
                }
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(map: &DirtyMap) -> Vec<u32> {
        let mut seen = Vec::new();
        map.drain(|chunk| {
            seen.push(chunk);
            Ok::<_, ()>(())
        })
        .unwrap();
        seen
    }

    #[test]
    fn every_marked_chunk_is_drained_once_and_in_order() {
        let map = DirtyMap::new(100_000).unwrap();
        for page in [99_999, 3, 17, 16, 5_000] {
            map.mark(PageRange::new(page, page + 1));
        }
        map.mark(PageRange::new(8, 8));
        assert_eq!(drained(&map), [0, 1, 312, 6_249]);
        assert_eq!(drained(&map), []);
    }

    #[test]
    fn what_a_failed_drain_did_not_finish_stays_marked() {
        let map = DirtyMap::new(100_000).unwrap();
        map.mark(PageRange::new(0, 3 * CHUNK_PAGES));
        assert_eq!(map.drain(|chunk| if chunk == 1 { Err("no") } else { Ok(()) }), Err("no"));
        assert_eq!(drained(&map), [1, 2]);
    }
}
