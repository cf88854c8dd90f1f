//! Descriptors that a child inherits: they keep acting on the process that opened them.

use crate::conformance::{BY_UFFD, Delivery, Doing, Facts, Question, SMALL_PAGES, Setting, Trouble};
use crate::kernel::memory::{Mapping, board};
use crate::kernel::pagemap::{Pagemap, Then};
use crate::kernel::process::{self, Ended};
use crate::watch::{Watch, Wish};
use std::sync::atomic::Ordering;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);
const EXIT_OK: Ended = Ended::Exited(0);

/// `/proc/self/pagemap`.
pub static PAGEMAP: Question = Question {
    name: "inherited-pagemap",
    asks: "A child scans through a pagemap descriptor opened before fork: whose pages does it see and arm?",
    source: "fs/proc/task_mmu.c, pagemap_open: the file holds the address space of who opened it",
    memory: SMALL_PAGES,
    delivery: &[Delivery::Async],
    expected: |_| "the parent's: a worker can read, and must not by accident re-arm, what its parent wrote",
    ask: inherited_pagemap,
};

fn inherited_pagemap(setting: Setting) -> Result<Facts, Trouble> {
    let watch = Watch::new(setting, 4, Wish::default())?;
    let mut facts = Facts::new();
    let words = board().doing("mapping")?;
    watch.arm(0..4)?;
    let child = process::fork(|| {
        while words[0].load(Ordering::Acquire) == 0 {
            std::thread::sleep(Duration::from_micros(100));
        }
        let parents = written_pages(&watch.pagemap, watch.memory, Then::Rearm);
        // Its own mapping is registered nowhere, so all of it counts as it is; armed it cannot be.
        let own = Pagemap::open().and_then(|pagemap| pagemap.written(watch.memory.all(), Then::Rearm, 4));
        words[1].store(parents as u64, Ordering::Release);
        words[2].store(u64::from(own.is_err()), Ordering::Release);
        0
    })
    .doing("forking")?;
    watch.memory.store(0, 1);
    watch.memory.store(2, 1);
    words[0].store(1, Ordering::Release);
    facts.check("the child", child.wait(LIMIT).doing("waiting")?, EXIT_OK);
    facts.check("written pages it saw", words[1].load(Ordering::Acquire), 2);
    facts.check("refused by one it opened", words[2].load(Ordering::Acquire), 1);
    facts.check("armed again in the parent", watch.is_armed(0)? && watch.is_armed(2)?, true);
    facts.check("written in the parent", watch.pages_noticed(0..4)?, 0);
    Ok(facts)
}

fn written_pages(pagemap: &Pagemap, memory: &Mapping, then: Then) -> usize {
    pagemap
        .written(memory.all(), then, memory.pages())
        .map_or(usize::MAX, |found| found.regions.iter().map(|region| region.len / memory.unit()).sum())
}

/// A userfaultfd.
pub static UFFD: Question = Question {
    name: "inherited-uffd",
    asks: "A child arms and opens pages through a userfaultfd made before fork: whose pages are they?",
    source: "fs/userfaultfd.c, new_userfaultfd: the context holds the address space of who made it",
    memory: SMALL_PAGES,
    delivery: BY_UFFD,
    expected: |_| "the parent's; the child's own mapping is not touched, so it writes there freely",
    ask: inherited_uffd,
};

fn inherited_uffd(setting: Setting) -> Result<Facts, Trouble> {
    let watch = Watch::new(setting, 2, Wish::default())?;
    let mut facts = Facts::new();
    let words = board().doing("mapping")?;
    watch.arm(1..2)?;
    facts.check("armed before", watch.is_armed(0)?, false);
    let child = process::fork(|| {
        let done = watch.arm(0..1).is_ok() && watch.open(1..2).is_ok();
        let own = Pagemap::open().and_then(|pagemap| pagemap.entry(watch.memory.all().at));
        words[0].store(u64::from(own.is_ok_and(|entry| entry.is_armed())), Ordering::Release);
        u8::from(!done)
    })
    .doing("forking")?;
    facts.check("the child", child.wait(LIMIT).doing("waiting")?, EXIT_OK);
    facts.check("armed in the child", words[0].load(Ordering::Acquire), 0);
    facts.check("armed in the parent", watch.is_armed(0)?, true);
    facts.check("opened in the parent", !watch.is_armed(1)?, true);
    watch.memory.store(0, 1);
    facts.check("noticed there", watch.noticed(0)?, 1);
    Ok(facts)
}
