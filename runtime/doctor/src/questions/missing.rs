//! A range that is registered for missing pages as well: two different events for what looks like one first write.

use crate::conformance::{BY_UFFD, Delivery, Facts, Question, SMALL_PAGES};
use crate::watch::log::{self, Notice};
use crate::watch::{Watch, Wish};

/// Missing, then write-protected.
pub static MISSING: Question = Question {
    name: "missing-and-armed",
    asks: "What is told of the first write to a page that does not exist, in a range registered for both?",
    source: "Documentation/admin-guide/mm/userfaultfd.rst: UFFDIO_COPY with UFFDIO_COPY_MODE_WP maps a page write-protected",
    memory: SMALL_PAGES,
    delivery: BY_UFFD,
    expected: |setting| match setting.delivery {
        Delivery::Async => "that it is missing; filled protected it is armed, and the write makes it written",
        _ => {
            "first that it is missing, and once it is filled protected, that it is protected; a read is told of as missing only"
        }
    },
    ask: |setting| {
        let watch = Watch::new(setting, 2, Wish { missing: true, populated: false, ..Wish::default() })?;
        let mut facts = Facts::new();
        let both: &[Notice] = match setting.delivery {
            Delivery::Sigbus => &[Notice::Missing, Notice::Bus],
            Delivery::Monitor => &[Notice::Missing, Notice::Protected],
            _ => &[Notice::Missing],
        };
        watch.memory.store(0, 1);
        facts.check("a store", log::in_words(0), log::words(both));
        facts.check("noticed", watch.noticed(0)?, 1);
        facts.check("a load gives", watch.memory.load(1), 0);
        facts.check("a load", log::in_words(1), log::words(&[Notice::Missing]));
        facts.check("armed after it", watch.is_armed(1)?, true);
        facts.check("noticed before a store", watch.noticed(1)?, 0);
        watch.memory.store(1, 1);
        facts.check("and after", watch.noticed(1)?, 1);
        Ok(facts)
    },
};
