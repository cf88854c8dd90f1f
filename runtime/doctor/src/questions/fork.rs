//! Fork, and the copies that follow it: what the barrier of the parent hears, and what it must not.
//!
//! A copy-on-write fault can be broken by either side, by a write or, since a pinned page must be one's own, by a read.
//! The barrier tracks what the *program* wrote. So a break that changes no byte in the parent (the child's, or one that a
//! read in the parent enforces) has to leave the parent's page as it was: armed, not written, not told of.

use super::kernel_writes::needs_copy_own;
use crate::conformance::{
    BY_UFFD, Delivery, Doing, EVERY_DELIVERY, Facts, Memory, Question, SMALL_PAGES, Setting, Trouble,
};
use crate::kernel::memory::board;
use crate::kernel::outcome;
use crate::kernel::process::{self, Child, Ended, Way};
use crate::watch::log::{self, Notice};
use crate::watch::{Watch, Wish};
use linux_raw_sys::general::UFFD_FEATURE_EVENT_FORK;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(5);
const EXIT_OK: Ended = Ended::Exited(0);

/// A child that waits until a word of the board is raised. Allocates nothing.
fn child_until(word: &'static AtomicU64) -> Result<Child, Trouble> {
    process::fork(|| {
        while word.load(Ordering::Acquire) == 0 {
            std::thread::sleep(Duration::from_micros(100));
        }
        0
    })
    .doing("forking")
}

/// A write in the parent.
pub static IN_PARENT: Question = Question {
    name: "fork-then-parent-writes",
    asks: "Is a write of the parent to a page armed before fork noticed, while the child still shares the page?",
    source: "mm/memory.c, do_wp_page: write-protection by uffd is looked at before copy-on-write",
    memory: SMALL_PAGES,
    delivery: EVERY_DELIVERY,
    expected: |_| "noticed once, like without a fork",
    ask: |setting| {
        let watch = Watch::new(setting, 2, Wish::default())?;
        let mut facts = Facts::new();
        let release = &board().doing("mapping")?[0];
        watch.arm(0..2)?;
        let child = child_until(release)?;
        watch.memory.store(0, 1);
        facts.check("noticed", watch.noticed(0)?, 1);
        watch.memory.store(0, 2);
        facts.check("after a second store", watch.noticed(0)?, 1);
        facts.check("the other page still armed", watch.is_armed(1)?, true);
        release.store(1, Ordering::Release);
        facts.check("the child", child.wait(LIMIT).doing("waiting")?, EXIT_OK);
        Ok(facts)
    },
};

/// A write in the child.
pub static IN_CHILD: Question = Question {
    name: "fork-then-child-writes",
    asks: "Is a write of the child to a page that the parent armed noticed, by the child or by the parent?",
    source: "fs/userfaultfd.c, dup_userfaultfd: without UFFD_FEATURE_EVENT_FORK the child's mappings lose their context",
    memory: SMALL_PAGES,
    delivery: EVERY_DELIVERY,
    expected: |setting| match (setting.delivery, setting.memory) {
        (Delivery::Mprotect, _) => {
            "SIGSEGV in the child, which inherits the protection; the parent hears nothing, its page stays armed"
        }
        (_, Memory::Shared) => {
            "by nobody: the child is not registered, and the parent's page stays armed though its bytes changed"
        }
        _ => "by nobody: the child is not registered, and the parent's page stays armed and unchanged",
    },
    ask: in_child,
};

fn in_child(setting: Setting) -> Result<Facts, Trouble> {
    let watch = Watch::new(setting, 1, Wish::default())?;
    let mut facts = Facts::new();
    let seen = board().doing("mapping")?;
    watch.arm(0..1)?;
    let child = process::fork(|| {
        watch.memory.store(0, 7);
        seen[0].store((log::total(Notice::Bus) + log::total(Notice::Protected)) as u64, Ordering::Release);
        seen[1].store(log::total(Notice::Segv) as u64, Ordering::Release);
        u8::from(watch.memory.load(0) != 7)
    })
    .doing("forking")?;
    facts.check("the child", child.wait(LIMIT).doing("waiting")?, EXIT_OK);
    facts.check("uffd told it", seen[0].load(Ordering::Acquire), 0);
    let signals = u64::from(setting.delivery == Delivery::Mprotect);
    facts.check("SIGSEGV in it", seen[1].load(Ordering::Acquire), signals);
    facts.check("the parent is told", watch.noticed(0)?, 0);
    facts.check("still armed there", watch.is_armed(0)?, true);
    facts.check("the parent reads", watch.memory.load(0), if setting.memory.is_private() { 0 } else { 7 });
    watch.memory.store(0, 9);
    facts.check("noticed when it writes", watch.noticed(0)?, 1);
    Ok(facts)
}

/// With the event.
pub static WITH_EVENT: Question = Question {
    name: "fork-event",
    asks: "With UFFD_FEATURE_EVENT_FORK, who hears of the child's writes?",
    source: "Documentation/admin-guide/mm/userfaultfd.rst, Non-cooperative userfaultfd; fs/userfaultfd.c, userfaultfd_api: \
             the event needs CAP_SYS_PTRACE",
    memory: SMALL_PAGES,
    delivery: &[Delivery::Monitor],
    expected: |_| "the parent's monitor gets the child's descriptor, and by it the child's write; its own page stays armed",
    ask: |setting| {
        let wish = Wish { features: UFFD_FEATURE_EVENT_FORK.into(), ..Wish::default() };
        let watch = Watch::new(setting, 1, wish)?;
        let mut facts = Facts::new();
        watch.arm(0..1)?;
        let child = process::fork(|| {
            watch.memory.store(0, 7);
            0
        })
        .doing("forking")?;
        facts.check("the child", child.wait(LIMIT).doing("waiting")?, EXIT_OK);
        facts.check("fork messages", log::total(Notice::Fork), 1);
        facts.check("its write, by its descriptor", log::total(Notice::InChild), 1);
        facts.check("by the parent's", watch.noticed(0)?, 0);
        facts.check("still armed there", watch.is_armed(0)?, true);
        watch.memory.store(0, 9);
        facts.check("noticed when it writes", watch.noticed(0)?, 1);
        Ok(facts)
    },
};

/// A copy that a read enforces.
pub static ENFORCED_COW: Question = Question {
    name: "read-breaks-cow",
    asks: "Pinning a page for reading gives the parent its own copy of a page it shares with a child. Does the barrier care?",
    source: "mm/memory.c, do_wp_page and wp_page_copy: with FAULT_FLAG_UNSHARE uffd is not asked and its bit is carried over",
    memory: &[Memory::Anonymous],
    delivery: BY_UFFD,
    expected: |_| "no: the page is copied silently, and is neither told of nor written; it stays armed for the first real write",
    ask: enforced_cow,
};

fn enforced_cow(setting: Setting) -> Result<Facts, Trouble> {
    needs_copy_own()?;
    let watch = Watch::new(setting, 1, Wish { kernel_writes: true, ..Wish::default() })?;
    let mut facts = Facts::new();
    let release = &board().doing("mapping")?[0];
    watch.memory.store(0, 3);
    watch.arm(0..1)?;
    let child = child_until(release)?;
    let span = watch.memory.span(0..1);
    let is_own =
        || watch.pagemap.entry(span.at).doing("reading the pagemap").map(|entry| entry.is_exclusive());
    facts.check("its own before", is_own()?, false);
    let mut bytes = [0; 8];
    let read = process::copy_own(Way::Read, span, &mut bytes);
    facts.check("process_vm_readv", outcome(&read), "ok".into());
    facts.check("it reads", u64::from_ne_bytes(bytes), 3);
    facts.check("its own after", is_own()?, true);
    facts.check("noticed", watch.noticed(0)?, 0);
    facts.check("still armed", watch.is_armed(0)?, true);
    watch.memory.store(0, 4);
    facts.check("noticed at the first store", watch.noticed(0)?, 1);
    release.store(1, Ordering::Release);
    facts.check("the child", child.wait(LIMIT).doing("waiting")?, EXIT_OK);
    Ok(facts)
}
