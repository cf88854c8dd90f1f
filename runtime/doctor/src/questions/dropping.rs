//! Pages that are given back to the kernel while they are armed.

use crate::conformance::{
    Delivery, Doing, EVERY_DELIVERY, Facts, Memory, Question, SMALL_PAGES, Setting, Trouble,
};
use crate::watch::{Watch, Wish};

/// `MADV_DONTNEED`.
pub static DONTNEED: Question = Question {
    name: "madvise-dontneed",
    asks: "Is the first write after MADV_DONTNEED of an armed page noticed?",
    source: "mm/memory.c, zap_install_uffd_wp_if_needed: a marker keeps the protection of file pages, not of anonymous ones",
    memory: SMALL_PAGES,
    delivery: EVERY_DELIVERY,
    expected: |setting| match (setting.memory, setting.delivery) {
        (_, Delivery::Mprotect) => "noticed: the protection is the mapping's",
        (Memory::Anonymous, Delivery::Async) => {
            "the protection is dropped, and the page is written once it is written to"
        }
        (Memory::Anonymous, _) => "not noticed: the protection is dropped with the page",
        _ => "noticed: only the mapping forgot the page, and its protection is kept",
    },
    ask: |setting| {
        let kept = setting.memory != Memory::Anonymous || setting.delivery == Delivery::Mprotect;
        drop_armed(
            setting,
            libc::MADV_DONTNEED,
            kept,
            if setting.memory == Memory::Anonymous { 0 } else { 3 },
        )
    },
};

/// A hole in the file.
pub static HOLE: Question = Question {
    name: "hole-punch",
    asks: "Is the first write after a hole was punched (MADV_REMOVE) where an armed page was noticed?",
    source: "mm/shmem.c, shmem_fallocate unmaps by unmap_mapping_range, which leaves markers; the folio that is removed \
             after that is mapped nowhere",
    memory: &[Memory::Shared],
    delivery: EVERY_DELIVERY,
    expected: |_| "noticed: the page is gone, its protection is not",
    ask: |setting| drop_armed(setting, libc::MADV_REMOVE, true, 0),
};

/// Drops an armed page whose word is 3, and writes to it again.
fn drop_armed(setting: Setting, advice: i32, kept: bool, word: u64) -> Result<Facts, Trouble> {
    let watch = Watch::new(setting, 2, Wish::default())?;
    let mut facts = Facts::new();
    watch.memory.store(0, 3);
    watch.arm(0..2)?;
    watch.memory.advise(0..1, advice).doing("madvise")?;
    facts.check("armed", watch.is_armed(0)?, kept);
    watch.memory.store(0, watch.memory.load(0) + 1);
    // What is not protected is written as soon as it exists, as far as asynchronous tracking is concerned.
    let told = kept || setting.delivery == Delivery::Async;
    facts.check("a store is noticed", watch.noticed(0)?, usize::from(told));
    facts.check("the page held", watch.memory.load(0) - 1, word);
    facts.check("the neighbour still armed", watch.is_armed(1)?, true);
    Ok(facts)
}
