//! Armed addresses that are unmapped, mapped again or moved: protection belongs to a mapping and not to its addresses.

use crate::conformance::{Delivery, Doing, EVERY_DELIVERY, Facts, Question, SMALL_PAGES, Setting, Trouble};
use crate::watch::{Watch, Wish, trap};

/// Unmapped, and mapped again.
pub static AGAIN: Question = Question {
    name: "unmap-and-map",
    asks: "An armed range is unmapped, and the same memory is mapped at the same place: is it armed?",
    source: "fs/userfaultfd.c, userfaultfd_unmap_prep; a registration is a mapping's",
    memory: SMALL_PAGES,
    delivery: EVERY_DELIVERY,
    expected: |_| "no, and nothing is registered there: writes go unnoticed until the new mapping is registered and armed",
    ask: |setting| {
        let watch = Watch::new(setting, 2, Wish::default())?;
        let mut facts = Facts::new();
        watch.arm(0..2)?;
        watch.memory.unmap().doing("munmap")?;
        watch.memory.map_again().doing("mmap")?;
        facts.check("armed", watch.is_armed(0)?, false);
        watch.memory.store(0, 1);
        // Nobody tracks it any more, so what a scan says of it means nothing.
        if setting.delivery != Delivery::Async {
            facts.check("a store is noticed", watch.noticed(0)?, 0);
        }
        facts.check("its value", watch.memory.load(0), 1);
        if let Some(uffd) = &watch.uffd {
            facts.check(
                "arming it",
                crate::kernel::outcome(&uffd.protect(watch.memory.all())),
                "ENOENT".into(),
            );
        }
        Ok(facts)
    },
};

/// Moved.
pub static MOVED: Question = Question {
    name: "mremap",
    asks: "An armed range is moved by mremap: is it armed where it arrives?",
    source: "fs/userfaultfd.c, mremap_userfaultfd_prep: without UFFD_FEATURE_EVENT_REMAP the registration ends",
    memory: SMALL_PAGES,
    delivery: EVERY_DELIVERY,
    expected: |setting| match setting.delivery {
        Delivery::Mprotect => "yes: the mapping's protection moves with it",
        _ => "no: the registration ends, and writes go unnoticed",
    },
    ask: moved,
};

fn moved(setting: Setting) -> Result<Facts, Trouble> {
    let mut watch = Watch::new(setting, 2, Wish::default())?;
    let mut facts = Facts::new();
    watch.memory.store(0, 3);
    watch.arm(0..2)?;
    watch.memory = Box::leak(Box::new(watch.memory.move_away().doing("mremap")?));
    trap::aim(watch.memory);
    facts.check("it holds", watch.memory.load(0), 3);
    let stays = setting.delivery == Delivery::Mprotect;
    if stays {
        facts.check("armed", watch.is_armed(0)?, true);
    } else {
        // Before 6.13 the page table's bit was left behind, without a meaning.
        facts.note("armed", watch.is_armed(0)?);
    }
    watch.memory.store(0, 4);
    if setting.delivery == Delivery::Async {
        let range = watch.memory.all();
        let scan = watch.pagemap.written(range, crate::kernel::pagemap::Then::Rearm, 2);
        facts.check("re-arming by a scan", crate::kernel::outcome(&scan), "EPERM".into());
    } else {
        facts.check("a store is noticed", watch.noticed(0)?, usize::from(stays));
    }
    facts.check("its value", watch.memory.load(0), 4);
    Ok(facts)
}
