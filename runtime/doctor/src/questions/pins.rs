//! Pins: a device (or io_uring, on its behalf) that took a page before it was armed writes past the page table.

use super::kernel_writes::{FILL, filled};
use crate::conformance::{Doing, EVERY_DELIVERY, Facts, Question, SMALL_PAGES, Trouble};
use crate::kernel::memory::Span;
use crate::kernel::outcome;
use crate::kernel::ring::Ring;
use crate::watch::{Watch, Wish};

/// A ring, or why there is none.
pub fn ring() -> Result<Ring, Trouble> {
    Ring::new()
        .map_err(|errno| Trouble::NotAvailable(format!("no io_uring ({errno}), so nothing to pin with")))
}

/// A write through a pin that is older than the protection.
pub static THROUGH: Question = Question {
    name: "write-through-pin",
    asks: "Is a write noticed that goes through a pin (an io_uring buffer) taken before the page was armed?",
    source: "Documentation/core-api/pin_user_pages.rst: a pin's holder writes to the page, not to an address",
    memory: SMALL_PAGES,
    delivery: EVERY_DELIVERY,
    expected: |_| "no: the bytes change and nobody is told, so pinned pages must count as written; the next store is noticed",
    ask: |setting| {
        let watch = Watch::new(setting, 1, Wish::default())?;
        let mut facts = Facts::new();
        let (ring, file) = (ring()?, filled()?);
        let span = Span { len: FILL.len(), ..watch.memory.span(0..1) };
        ring.pin(span).doing("pinning")?;
        watch.arm(0..1)?;
        facts.check("the read", outcome(&ring.read(&file, span)), "ok".into());
        facts.check("bytes changed", watch.memory.load(0) == u64::from_ne_bytes([FILL[0]; 8]), true);
        facts.check("noticed", watch.noticed(0)?, 0);
        facts.check("still armed", watch.is_armed(0)?, true);
        watch.memory.store(0, 1);
        facts.check("a store then", watch.noticed(0)?, 1);
        Ok(facts)
    },
};
