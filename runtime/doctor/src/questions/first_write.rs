//! The barrier's foundation: the first write to an armed page is noticed, once, whichever instruction makes it.

use crate::conformance::{Delivery, EVERY_DELIVERY, Facts, Memory, Question, Setting, Trouble};
use crate::kernel::process;
use crate::watch::{Watch, Wish};
use std::sync::atomic::Ordering::Relaxed;

/// Plain stores.
pub static PLAIN: Question = Question {
    name: "first-write",
    asks: "Is the first plain store to an armed page noticed, exactly once, and none to an open page?",
    source: "Documentation/admin-guide/mm/userfaultfd.rst, Write Protect Notifications",
    memory: &[Memory::Anonymous, Memory::Shared, Memory::Hugetlb],
    delivery: EVERY_DELIVERY,
    expected: |setting| match setting.delivery {
        Delivery::Async => {
            "the first store makes the page written; later ones and reads fault no more until it is armed again"
        }
        _ => {
            "one notification at the first store, none later, none for reads or open pages, one after arming again"
        }
    },
    ask: plain,
};

/// What one store costs the page: a notification, and in async delivery (which cannot count) whether it faulted.
fn plain(setting: Setting) -> Result<Facts, Trouble> {
    let watch = Watch::new(setting, 4, Wish::default())?;
    let mut facts = Facts::new();
    watch.arm(0..3)?;
    watch.memory.load(0);
    facts.check("armed and read", watch.noticed(0)?, 0);
    watch.memory.store(0, 1);
    facts.check("first store", watch.noticed(0)?, 1);
    let before = process::faults();
    watch.memory.store(0, 2);
    facts.check("after a second", watch.noticed(0)?, 1);
    facts.check("faults of the second", process::faults() - before, 0);
    facts.check("the neighbour", watch.noticed(1)?, 0);
    watch.forget();
    watch.open(2..3)?;
    let before = process::faults();
    watch.memory.store(2, 3);
    if setting.delivery == Delivery::Async {
        // An open page counts as written anyhow. Storing to it may fault once more, where the kernel left it read-only.
        let faults = process::faults() - before;
        facts.check_that("faults of an opened page", faults, faults <= 1);
    } else {
        facts.check("an opened page", watch.noticed(2)?, 0);
    }
    watch.arm(0..3)?;
    watch.forget();
    facts.check("armed again", watch.noticed(0)?, 0);
    watch.memory.store(0, 4);
    facts.check("first store then", watch.noticed(0)?, 1);
    facts.check("the value", watch.memory.load(0), 4);
    Ok(facts)
}

/// Atomic instructions.
pub static ATOMIC: Question = Question {
    name: "first-atomic",
    asks: "Is the first atomic operation on an armed page noticed once, and done once?",
    source: "Intel SDM, LOCK CMPXCHG: the destination gets a write cycle whatever the comparison says",
    memory: &[Memory::Anonymous, Memory::Shared],
    delivery: EVERY_DELIVERY,
    expected: |_| {
        if cfg!(target_arch = "x86_64") {
            "noticed once and done once; a compare-and-exchange that fails is a write as well on x86"
        } else {
            "noticed once and done once; for a compare-and-exchange that fails architectures differ"
        }
    },
    ask: atomic,
};

fn atomic(setting: Setting) -> Result<Facts, Trouble> {
    let watch = Watch::new(setting, 3, Wish::default())?;
    let mut facts = Facts::new();
    watch.arm(0..3)?;
    let word = |page| watch.memory.word(page, 0);
    word(0).fetch_add(5, Relaxed);
    facts.check("fetch_add", watch.noticed(0)?, 1);
    facts.check("the sum", word(0).load(Relaxed), 5);
    let swapped = word(1).compare_exchange(0, 7, Relaxed, Relaxed);
    facts.check("compare_exchange", watch.noticed(1)?, 1);
    facts.check_that("it succeeds", swapped.is_ok(), swapped.is_ok() && word(1).load(Relaxed) == 7);
    let refused = word(2).compare_exchange(1, 9, Relaxed, Relaxed);
    let noticed = watch.noticed(2)?;
    if cfg!(target_arch = "x86_64") {
        facts.check("one that fails", noticed, 1);
    } else {
        facts.note("one that fails", noticed);
    }
    facts.check_that("it changes nothing", refused.is_err(), refused.is_err() && word(2).load(Relaxed) == 0);
    Ok(facts)
}
