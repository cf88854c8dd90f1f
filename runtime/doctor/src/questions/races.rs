//! Faults that something comes in between: signals, or another thread on the same page.

use crate::conformance::{
    Delivery, Doing, EVERY_DELIVERY, Facts, Question, SMALL_PAGES, SYNCHRONOUS, Setting, Trouble,
};
use crate::kernel::signals;
use crate::watch::{Watch, Wish};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Signals.
pub static SIGNALS: Question = Question {
    name: "signal-storm",
    asks: "Signals arrive all the time while pages are written to for the first time: is every page noticed, once?",
    source: "fs/userfaultfd.c, handle_userfault: a waiter that a signal wakes returns and faults again",
    memory: SMALL_PAGES,
    delivery: SYNCHRONOUS,
    expected: |setting| match setting.delivery {
        Delivery::Monitor => {
            "every page, every store lands; a page may be told of again when a signal ends its writer's wait"
        }
        _ => "every page exactly once, and every store lands",
    },
    ask: storm,
};

fn storm(setting: Setting) -> Result<Facts, Trouble> {
    const PAGES: usize = 4096;
    let watch = Watch::new(setting, PAGES, Wish::default())?;
    let mut facts = Facts::new();
    watch.arm(0..PAGES)?;
    let ((), signals) = signals::under_alarms(Duration::from_micros(50), || {
        for page in 0..PAGES {
            watch.memory.store(page, page as u64 + 1);
        }
    })
    .doing("setting a timer")?;
    facts.check_that("signals", signals, signals > 0);
    told(&mut facts, &watch, PAGES, if setting.delivery == Delivery::Monitor { usize::MAX } else { 1 })?;
    let right = (0..PAGES).filter(|page| watch.memory.load(*page) == *page as u64 + 1).count();
    facts.check("stores landed", right, PAGES);
    Ok(facts)
}

/// How often the pages were told of: each, and none more often than `most`.
fn told(facts: &mut Facts, watch: &Watch, pages: usize, most: usize) -> Result<(), Trouble> {
    let counts = (0..pages).map(|page| watch.noticed(page)).collect::<Result<Vec<_>, _>>()?;
    let again = counts.iter().filter(|count| **count > 1).count();
    facts.check("pages noticed", counts.iter().filter(|count| **count > 0).count(), pages);
    facts.check_that("more than once", again, counts.iter().all(|count| *count <= most));
    Ok(())
}

/// Two writers.
pub static TWO_WRITERS: Question = Question {
    name: "two-writers",
    asks: "Two threads write to one armed page at the same time: do both writes land, and how often is it noticed?",
    source: "mm/memory.c, do_wp_page: each thread that faults before the page is opened is told",
    memory: SMALL_PAGES,
    delivery: EVERY_DELIVERY,
    expected: |setting| match setting.delivery {
        Delivery::Async => "both land, and the page is written",
        _ => "both land; noticed once or twice",
    },
    ask: two_writers,
};

fn two_writers(setting: Setting) -> Result<Facts, Trouble> {
    const PAGES: usize = 512;
    let watch = Watch::new(setting, PAGES, Wish::default())?;
    let mut facts = Facts::new();
    watch.arm(0..PAGES)?;
    let arrived = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for word in [1, 2] {
            let (watch, arrived) = (&watch, &arrived);
            scope.spawn(move || {
                for page in 0..PAGES {
                    // Both threads at the same page at the same time, as far as the scheduler allows.
                    arrived.fetch_add(1, Ordering::AcqRel);
                    while arrived.load(Ordering::Acquire) < 2 * (page + 1) {
                        std::thread::yield_now();
                    }
                    watch.memory.word(page, word).store(word as u64, Ordering::Relaxed);
                }
            });
        }
    });
    told(&mut facts, &watch, PAGES, 2)?;
    let landed = |word: usize| {
        (0..PAGES)
            .filter(|page| watch.memory.word(*page, word).load(Ordering::Relaxed) == word as u64)
            .count()
    };
    facts.check("the first's stores", landed(1), PAGES);
    facts.check("the second's", landed(2), PAGES);
    Ok(facts)
}
