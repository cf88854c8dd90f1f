//! Transparent huge pages: one entry of the page table for 512 pages, of which the barrier wants to know one by one.

use crate::conformance::{Doing, EVERY_DELIVERY, Facts, Memory, Question, Setting, Trouble};
use crate::kernel::memory;
use crate::watch::{Watch, Wish};

const HUGE: &[Memory] = &[Memory::AnonymousHuge, Memory::SharedHuge];
const SOURCE: &str = "mm/mprotect.c, pgtable_split_needed: uffd-wp keeps huge pages of anonymous memory whole where all of one is \
                      armed; mm/memory.c, wp_huge_pmd";

/// All of it.
pub static WHOLE: Question = Question {
    name: "huge-whole",
    asks: "A whole transparent huge page is armed: are writes to its small pages noticed one by one?",
    source: SOURCE,
    memory: HUGE,
    delivery: EVERY_DELIVERY,
    expected: |_| "each small page once, when it is written to; whether the huge page survives arming is the kernel's business",
    ask: |setting| {
        let (watch, mut facts) = one_huge(setting)?;
        let pages = watch.memory.pages();
        watch.arm(0..pages)?;
        facts.note("whole when armed", is_whole(&watch)?);
        facts.check("noticed before", watch.pages_noticed(0..pages)?, 0);
        watch.memory.store(5, 1);
        facts.check("noticed", watch.noticed(5)?, 1);
        facts.check("others", watch.pages_noticed(0..pages)? - 1, 0);
        facts.note("whole when written", is_whole(&watch)?);
        facts.check("the neighbour still armed", watch.is_armed(6)?, true);
        watch.memory.store(6, 1);
        facts.check("noticed there", watch.noticed(6)?, 1);
        watch.memory.store(pages - 1, 1);
        facts.check("at the end", watch.noticed(pages - 1)?, 1);
        Ok(facts)
    },
};

/// A part.
pub static PART: Question = Question {
    name: "huge-part",
    asks: "One small page of a transparent huge page is armed: is a write to its neighbour noticed?",
    source: SOURCE,
    memory: HUGE,
    delivery: EVERY_DELIVERY,
    expected: |_| "no, and a write to the page is: the mapping of the huge page is split",
    ask: |setting| {
        let (watch, mut facts) = one_huge(setting)?;
        let pages = watch.memory.pages();
        // Asynchronous tracking takes what was never armed for written, so there the state before counts.
        let before = watch.noticed(6)?;
        watch.arm(5..6)?;
        facts.check("whole when armed", is_whole(&watch)?, false);
        facts.check("the neighbour armed", watch.is_armed(6)?, false);
        watch.memory.store(6, 1);
        facts.check("noticed there", watch.noticed(6)? - before, 0);
        facts.check("before a store", watch.noticed(5)?, 0);
        watch.memory.store(5, 1);
        facts.check("after it", watch.noticed(5)?, 1);
        facts.check("others", watch.pages_noticed(0..pages)? - 1, if before == 0 { 0 } else { pages - 1 });
        Ok(facts)
    },
};

/// A populated huge page, or why there is none.
fn one_huge(setting: Setting) -> Result<(Watch, Facts), Trouble> {
    let pages = memory::huge_page_size() / memory::page_size();
    let watch = Watch::new(setting, pages.max(1), Wish::default())?;
    watch.needs_scan()?;
    if !is_whole(&watch)? {
        let file = if setting.memory.is_private() { "enabled" } else { "shmem_enabled" };
        return Err(Trouble::NotAvailable(format!(
            "the kernel gave no huge page: see /sys/kernel/mm/transparent_hugepage/{file}, or memory is fragmented"
        )));
    }
    Ok((watch, Facts::new()))
}

fn is_whole(watch: &Watch) -> Result<bool, Trouble> {
    let all = watch.memory.all();
    Ok(watch.pagemap.huge(all).doing("PAGEMAP_SCAN")? == all.len)
}
