//! Two protections on one page: userfaultfd's and the mapping's. The kernel looks at the mapping first.

use crate::conformance::{BY_UFFD, Delivery, Doing, Facts, Question, SMALL_PAGES, Setting, Trouble};
use crate::watch::log::{self, Notice};
use crate::watch::{Watch, Wish};

const SOURCE: &str = "arch/*/mm/fault.c: the mapping's permissions are checked before handle_mm_fault, which is what asks uffd";

/// Read-only.
pub static READ_ONLY: Question = Question {
    name: "mprotect-read-only",
    asks: "An armed page is made read-only with mprotect and written to: which notification comes first, and does arming last?",
    source: SOURCE,
    memory: SMALL_PAGES,
    delivery: BY_UFFD,
    expected: |_| "SIGSEGV; once the mapping is writable again, uffd tells as well; write-protection survives the round trip",
    ask: |setting| both(setting, libc::PROT_READ),
};

/// No access.
pub static NO_ACCESS: Question = Question {
    name: "mprotect-none",
    asks: "The same with PROT_NONE?",
    source: SOURCE,
    memory: SMALL_PAGES,
    delivery: BY_UFFD,
    expected: |_| "SIGSEGV first, for reads as well; then the same",
    ask: |setting| both(setting, libc::PROT_NONE),
};

/// No access, and nothing there.
pub static NO_ACCESS_MISSING: Question = Question {
    name: "mprotect-none-missing",
    asks: "A page that is registered for missing faults and does not exist is under PROT_NONE: which comes first?",
    source: SOURCE,
    memory: SMALL_PAGES,
    delivery: BY_UFFD,
    expected: |_| "SIGSEGV, then the missing page, then write-protection",
    ask: |setting| {
        let watch = Watch::new(setting, 1, Wish { missing: true, populated: false, ..Wish::default() })?;
        let mut facts = Facts::new();
        watch.memory.allow(0..1, libc::PROT_NONE).doing("mprotect")?;
        watch.memory.store(0, 1);
        facts.check("in order", log::in_words(0), after_segv(setting, &[Notice::Missing]));
        facts.check("noticed", watch.noticed(0)?, 1);
        Ok(facts)
    },
};

/// What is told of a first write to a page that is armed and that `mprotect` guards, with `between` in between.
fn after_segv(setting: Setting, between: &[Notice]) -> String {
    let last = match setting.delivery {
        Delivery::Sigbus => Some(Notice::Bus),
        Delivery::Monitor => Some(Notice::Protected),
        _ => None,
    };
    log::words(&[&[Notice::Segv], between, last.as_slice()].concat())
}

fn both(setting: Setting, access: i32) -> Result<Facts, Trouble> {
    let watch = Watch::new(setting, 3, Wish::default())?;
    let mut facts = Facts::new();
    watch.arm(0..3)?;
    watch.memory.allow(0..3, access).doing("mprotect")?;
    watch.memory.store(0, 1);
    facts.check("a store", log::in_words(0), after_segv(setting, &[]));
    facts.check("noticed", watch.noticed(0)?, 1);
    if access == libc::PROT_NONE {
        watch.memory.load(1);
        facts.check("a load", log::in_words(1), log::words(&[Notice::Segv]));
    }
    watch.memory.allow(0..3, libc::PROT_READ | libc::PROT_WRITE).doing("mprotect")?;
    facts.check("writable again, still armed", watch.is_armed(2)?, true);
    watch.memory.store(2, 1);
    facts.check("noticed then", watch.noticed(2)?, 1);
    Ok(facts)
}
