//! The barrier's states over a modelled kernel.

#[path = "../../src/barrier/causes.rs"]
mod causes;
pub mod delivery;
#[path = "../../src/barrier/dirty.rs"]
mod dirty;
pub(crate) mod dirty_model;
#[path = "../../src/barrier/epoch.rs"]
pub mod epoch;
#[path = "../../src/barrier/invariants.rs"]
mod invariants;
#[path = "../../src/barrier/pins.rs"]
mod pins;
#[path = "../../src/barrier/pool.rs"]
mod pool;
mod retries;
#[path = "../../src/barrier/rounds.rs"]
mod rounds;
#[path = "../../src/barrier/states.rs"]
mod states;
#[path = "../../src/barrier/trap.rs"]
mod trap;
#[path = "../../src/barrier/word.rs"]
pub mod word;

pub use causes::{Traps, Use};
pub use delivery::{Delivery, DeliveryKind};
pub use pool::Pool;
pub use rounds::{Choice, Round};
pub use states::{Barrier, Contents, Counts, Pinned};
pub(crate) use trap::prepare_thread;

use crate::mapping::HeapMapping;
use crate::unit::{Bytes, PAGE_SIZE, PAGE_WORDS, PageIndex, PageRange};
use std::sync::Arc;

impl Barrier {
    /// A barrier over a heap with these pages, all of them open and perhaps written to, and room for so many pre-images.
    pub fn of(pages: &[[u64; PAGE_WORDS]], slots: usize) -> Arc<Self> {
        let heap = Arc::new(HeapMapping::of(pages));
        let kernel = Box::new(delivery::Kernel(heap.clone()));
        let barrier = Self::over(heap, kernel, Bytes(slots * PAGE_SIZE)).unwrap();
        barrier.note_dirty(PageRange::new(0, pages.len() as u32));
        Arc::new(barrier)
    }

    /// A mutator's store: one instruction, which is executed again after each trap.
    pub fn write(&self, page: u32, word: usize, value: u64) {
        let mut traps = 0;
        while !self.heap().store(page, word, value) {
            assert!(self.fault(page), "a write to page {page} cannot be resolved");
            traps += 1;
            // Each lets all others run, as far as they can.
            assert!(traps < 100, "a write traps for ever");
        }
    }

    /// What the handler of a fault does, once it has found the barrier.
    pub fn fault(&self, page: u32) -> bool {
        let _inside = self.enter();
        self.trap(PageIndex(page))
    }

    /// What a monitor does for a fault that it has read.
    pub fn event(&self, page: u32) -> bool {
        let _inside = self.enter();
        self.resolve_for(PageIndex(page))
    }
}
