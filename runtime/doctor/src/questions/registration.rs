//! Who may track a range, and what becomes of the protection when nobody does any more.

use crate::conformance::{BY_UFFD, Delivery, Doing, Facts, Question, SMALL_PAGES, Setting, Trouble};
use crate::kernel::{outcome, process};
use crate::watch::{self, Watch, Wish};
use linux_raw_sys::general::UFFDIO_REGISTER_MODE_WP;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A second userfaultfd.
pub static SECOND: Question = Question {
    name: "second-uffd",
    asks: "Can a second userfaultfd track a range that one tracks already?",
    source: "fs/userfaultfd.c, userfaultfd_register: EBUSY if another context owns the mapping",
    memory: SMALL_PAGES,
    delivery: BY_UFFD,
    expected: |_| "EBUSY, also for a part of the range; possible once the first has unregistered",
    ask: |setting| {
        let watch = Watch::new(setting, 4, Wish::default())?;
        let second = watch::open(setting, &Wish::default())?;
        let mut facts = Facts::new();
        let register = |pages| outcome(&second.register(watch.memory.span(pages), UFFDIO_REGISTER_MODE_WP));
        facts.check("the same range", register(0..4), "EBUSY".into());
        facts.check("a part of it", register(1..2), "EBUSY".into());
        if let Some(first) = &watch.uffd {
            first.unregister(watch.memory.all()).doing("unregistering")?;
        }
        facts.check("once unregistered", register(0..4), "ok".into());
        Ok(facts)
    },
};

/// Closing the last descriptor.
pub static CLOSE: Question = Question {
    name: "close",
    asks: "What happens to armed pages when the descriptor is closed?",
    source: "fs/userfaultfd.c, userfaultfd_release: the mappings are taken back and their protection is cleared",
    memory: SMALL_PAGES,
    delivery: BY_UFFD,
    expected: |_| "nothing while a duplicate is open; closing the last one opens every page, silently",
    ask: close,
};

fn close(setting: Setting) -> Result<Facts, Trouble> {
    let mut watch = Watch::new(setting, 2, Wish::default())?;
    let mut facts = Facts::new();
    watch.arm(0..2)?;
    watch.stop_monitor()?;
    let duplicate = watch.uffd.as_ref().map(|uffd| uffd.duplicate()).transpose().doing("duplicating")?;
    drop(watch.uffd.take());
    facts.check("armed, with a duplicate open", watch.is_armed(0)?, true);
    drop(duplicate);
    facts.check("armed, with none open", watch.is_armed(0)?, false);
    watch.memory.store(0, 1);
    if setting.delivery != Delivery::Async {
        facts.check("a store is noticed", watch.noticed(0)?, 0);
    }
    facts.check("its value", watch.memory.load(0), 1);
    Ok(facts)
}

/// Closing it while a writer waits.
pub static CLOSE_WAKES: Question = Question {
    name: "close-wakes",
    asks: "Does a writer that waits for the monitor go on when the last descriptor is closed?",
    source: "fs/userfaultfd.c, userfaultfd_release: wakes all waiters after the mappings are taken back",
    memory: SMALL_PAGES,
    delivery: &[Delivery::Monitor],
    expected: |_| "it waits before, and then its store goes through",
    ask: close_wakes,
};

fn close_wakes(setting: Setting) -> Result<Facts, Trouble> {
    let mut watch = Watch::new(setting, 1, Wish::default())?;
    let mut facts = Facts::new();
    watch.arm(0..1)?;
    watch.stop_monitor()?;
    let uffd = watch.uffd.take();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            watch.memory.store(0, 1);
            done.store(true, Ordering::Release);
        });
        let waits = uffd
            .as_ref()
            .is_some_and(|uffd| process::readable([uffd.as_raw_fd()], Duration::from_secs(2)).is_some());
        facts.check("it waits", waits && !done.load(Ordering::Acquire), true);
        drop(uffd);
    });
    // The scope has ended, so the writer has.
    facts.check("it goes on", done.load(Ordering::Acquire), true);
    facts.check("its value", watch.memory.load(0), 1);
    Ok(facts)
}
