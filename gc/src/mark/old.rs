//! What a cycle of the young begins with beside the roots: old objects that may refer to young ones.

use super::marker::{Entry, Marker};
use super::scan::BATCH;
use super::source::Source;
use crate::embedder::Embedder;
use crate::kind::{Kind, Layout};
use crate::roots::RootVisitor;
use crate::space::BlockState;
use crate::unit::GRANULE;
use palimpsest_runtime::{Address, PAGE_SIZE, PageIndex};

/// Remembered pages between two signs of life, and looks at the deadline, at most.
const PAGES_BETWEEN_LOOKS: u32 = 16;

/// Granules of a page.
const PAGE_GRANULES: usize = PAGE_SIZE / GRANULE;

impl<E: Embedder, S: Source> Marker<'_, E, S> {
    /// For a cycle of the young: discovers what old objects refer to that may have been written to since the last snapshot.
    pub(crate) fn visit_remembered(&mut self) {
        let (mut at, mut visited) = (0, 0);
        while !self.late
            && let Some(page) = self.core.remembered.next(at)
        {
            self.visit_page(page);
            // Packets hold what one page refers to, and what that reaches, and not what all do.
            self.work();
            at = page.0 + 1;
            visited += 1;
            if visited % PAGES_BETWEEN_LOOKS == 0 {
                self.now_and_then();
            }
        }
    }

    fn visit_page(&mut self, page: PageIndex) {
        let start = page.0 as usize * PAGE_GRANULES;
        let block = self.core.geometry.block_of(start);
        if self.core.blocks.get(block) == BlockState::Free {
            return;
        }
        if let Some(head) = self.core.blocks.large_head(block) {
            let object = head.granule();
            if let Some(kind) = self.marked(self.core.metadata.get(object)) {
                self.tally.remembered += 1;
                let layout = self.layout_at(object, kind);
                if let Some(id) = layout.native_id() {
                    // All of it, whatever part was written to: once.
                    let first = object / PAGE_GRANULES;
                    if self.core.remembered.next(first as u32) == Some(page) {
                        self.scan_native(object, id);
                    }
                    return;
                }
                let words = (start - object) * 2;
                self.scan_part(object, kind, layout, words, words + PAGE_SIZE / 8);
            }
            return;
        }
        // The object that reaches into the page is scanned with the page it begins in, or, where that was not written to, with
        // the first one after it that was.
        if let Some(object) = self.core.metadata.start_of(start)
            && object != start
            && !(object / PAGE_GRANULES..page.0 as usize)
                .any(|earlier| self.core.remembered.has(PageIndex(earlier as u32)))
        {
            self.visit_old(object);
        }
        for at in (start..start + PAGE_GRANULES).step_by(64) {
            let mut marked = self.core.metadata.marked(at, self.living);
            while marked != 0 {
                self.visit_old(at + marked.trailing_zeros() as usize);
                marked &= marked - 1;
            }
        }
    }

    /// Scans what starts here, if it is old.
    fn visit_old(&mut self, granule: usize) {
        if let Some(kind) = self.marked(self.core.metadata.get(granule)) {
            self.tally.remembered += 1;
            self.scan(Entry::new(granule, kind.bits()));
        }
    }

    /// Scans an old object, whether its pages were written to or not: it has references outside of the heap.
    pub(crate) fn visit_external(&mut self, object: Address) {
        if let Some(granule) = self.core.geometry.start_granule(object.as_usize()) {
            self.visit_old(granule);
        }
    }

    /// Scans those of an object's words that lie in a part of it.
    fn scan_part(&mut self, granule: usize, kind: Kind, layout: Layout, from: usize, to: usize) {
        let to = to.min(self.core.size_at(granule).0 * 2);
        let mut buffer = [0u64; BATCH];
        let mut at = from;
        while at < to {
            let words = &mut buffer[..BATCH.min(to - at)];
            let n = words.len();
            self.source.load(self.core.geometry.address(granule).add(at * 8), words);
            for (k, &word) in buffer[..n].iter().enumerate() {
                if !layout.has(at + k) {
                } else if kind == Kind::CONSERVATIVE {
                    self.word(word);
                } else if let Some(object) = self.core.embedder.decode(word) {
                    self.discover(object);
                }
            }
            at += n;
        }
    }
}
