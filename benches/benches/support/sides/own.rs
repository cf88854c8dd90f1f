//! Our side of first writes: a barrier or a tracker over some pages, without a collector above it.

use std::error::Error;
use std::sync::Arc;

use palimpsest_runtime::barrier::{Barrier, Choice, Contents, DeliveryKind, Tracker};
use palimpsest_runtime::mapping::{Backing, HeapMapping};
use palimpsest_runtime::{Bytes, PAGE_SIZE, PageRange};

use super::{AsyncSide, PAGES, Side};

const SIZE: Bytes = Bytes(PAGES as usize * PAGE_SIZE);

/// A heap's memory, all pages of its traced half populated.
fn populated(backing: Backing) -> Result<Arc<HeapMapping>, Box<dyn Error>> {
    let heap = HeapMapping::reserve(SIZE, backing)?;
    assert_eq!(heap.half(), SIZE);
    // SAFETY: the traced half; nobody else knows it.
    unsafe { heap.base().as_ptr::<u8>().write_bytes(1, SIZE.0) };
    Ok(Arc::new(heap))
}

/// A barrier.
pub(crate) struct Armed(Arc<Barrier>);

impl Armed {
    /// A barrier with this delivery, or why this machine has none.
    pub(crate) fn new(delivery: DeliveryKind) -> Result<Self, Box<dyn Error>> {
        let barrier = Barrier::new(populated(Backing::Shared)?, delivery, None, SIZE)?;
        barrier.note_dirty(PageRange::new(0, PAGES));
        Ok(Self(barrier))
    }

    /// The barrier itself.
    pub(crate) fn barrier(&self) -> &Arc<Barrier> {
        &self.0
    }

    /// Takes the barrier away.
    pub(crate) fn retire(self) {
        self.0.retire();
    }
}

impl Side for Armed {
    fn base(&self) -> *mut u8 {
        self.0.heap().base().as_ptr()
    }

    fn arm(&self, step: u32) {
        assert_eq!(self.0.arm_round(|_| Choice::All).expect("protecting pages"), PAGES / step);
    }

    fn arm_first(&self, pages: u32) {
        assert_eq!(self.0.arm_round(|_| Choice::All).expect("protecting pages"), pages);
    }

    fn open(&self, pages: PageRange) {
        self.0.open(pages, Contents::Nothing);
    }

    fn save(&self, pages: PageRange) {
        self.0.open(pages, Contents::Objects);
    }

    fn settle(&self) {
        self.0.settle();
    }

    fn begin_snapshot(&self) {
        let armed = self.0.begin_snapshot(|_| Choice::All).expect("no page is pinned");
        assert_eq!(armed, 0, "all were armed before");
    }

    fn end_snapshot(&self, copied: u32) {
        assert_eq!(self.0.end_snapshot(), copied, "each page was saved once");
    }
}

/// A tracker.
pub(crate) struct Tracked {
    tracker: Tracker,
    heap: Arc<HeapMapping>,
}

impl Tracked {
    /// A tracker, or why this machine has none.
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let heap = populated(Backing::Private)?;
        let tracked = Self { tracker: Tracker::new(heap.clone(), None)?, heap };
        tracked.arm();
        Ok(tracked)
    }
}

impl AsyncSide for Tracked {
    fn base(&self) -> *mut u8 {
        self.heap.base().as_ptr()
    }

    fn arm(&self) {
        self.tracker.arm(PageRange::new(0, PAGES)).expect("protecting pages");
    }

    fn take_written(&mut self) -> u32 {
        self.tracker.take_written(PageRange::new(0, PAGES), |_| ()).expect("scanning")
    }
}
