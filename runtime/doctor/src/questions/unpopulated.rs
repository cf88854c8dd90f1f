//! Pages that never existed: there is no page table entry to protect, unless something stands in for it.

use crate::conformance::{
    BY_UFFD, Delivery, EVERY_DELIVERY, Facts, Memory, Question, SMALL_PAGES, Setting, Trouble,
};
use crate::watch::{Watch, Wish};
use linux_raw_sys::general::UFFD_FEATURE_WP_UNPOPULATED;

/// Without the feature.
pub static WITHOUT: Question = Question {
    name: "unpopulated",
    asks: "Is the first write to a page noticed that did not exist when it was armed?",
    source: "Documentation/admin-guide/mm/userfaultfd.rst, WP_UNPOPULATED; fs/userfaultfd.c, userfaultfd_api: WP_ASYNC \
             implies it",
    memory: SMALL_PAGES,
    delivery: EVERY_DELIVERY,
    expected: |setting| {
        if is_noticed_without(setting) {
            "noticed once, also after a read"
        } else {
            "not noticed, nor after a read: arming skips what does not exist"
        }
    },
    ask: |setting| ask(setting, 0, usize::from(is_noticed_without(setting))),
};

/// With it.
pub static WITH: Question = Question {
    name: "unpopulated-feature",
    asks: "The same with UFFD_FEATURE_WP_UNPOPULATED?",
    source: "Documentation/admin-guide/mm/userfaultfd.rst, UFFD_FEATURE_WP_UNPOPULATED (6.4)",
    memory: SMALL_PAGES,
    delivery: BY_UFFD,
    expected: |_| "noticed once, also after a read",
    ask: |setting| ask(setting, UFFD_FEATURE_WP_UNPOPULATED.into(), 1),
};

/// Shared memory always gets markers; asynchronous tracking implies the feature; `mprotect` protects addresses.
fn is_noticed_without(setting: Setting) -> bool {
    setting.memory != Memory::Anonymous || matches!(setting.delivery, Delivery::Async | Delivery::Mprotect)
}

fn ask(setting: Setting, features: u64, times: usize) -> Result<Facts, Trouble> {
    let watch = Watch::new(setting, 2, Wish { features, populated: false, ..Wish::default() })?;
    let mut facts = Facts::new();
    watch.arm(0..2)?;
    if setting.delivery == Delivery::Async {
        facts.check("written before", watch.pages_noticed(0..2)?, 0);
    }
    watch.memory.store(0, 1);
    facts.check("noticed", watch.noticed(0)?, times);
    facts.check("its value", watch.memory.load(0), 1);
    facts.check("a read gives", watch.memory.load(1), 0);
    watch.memory.store(1, 1);
    facts.check("noticed after it", watch.noticed(1)?, times);
    Ok(facts)
}
