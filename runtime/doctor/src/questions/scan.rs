//! `PAGEMAP_SCAN`, by which asynchronous tracking is read and armed again.

use crate::conformance::{Delivery, Doing, Facts, Question, SMALL_PAGES, Trouble};
use crate::kernel::memory::{Span, forbidden};
use crate::kernel::outcome;
use crate::kernel::pagemap::Then;
use crate::watch::{Watch, Wish};

const ASYNC: &[Delivery] = &[Delivery::Async];
const SOURCE: &str =
    "Documentation/admin-guide/mm/pagemap.rst, PAGEMAP_SCAN IOCTL; fs/proc/task_mmu.c, do_pagemap_scan";

/// Get and arm in one walk.
pub static REARM: Question = Question {
    name: "scan-rearm",
    asks: "Does a scan with PM_SCAN_WP_MATCHING report each written page once, and arm it in the same walk?",
    source: SOURCE,
    memory: SMALL_PAGES,
    delivery: ASYNC,
    expected: |_| "the written pages and no others; they are armed then, reported no more, and again after the next write",
    ask: |setting| {
        let watch = Watch::new(setting, 8, Wish::default())?;
        let mut facts = Facts::new();
        watch.arm(0..8)?;
        facts.check("clean", pages(&watch, &rearm(&watch, 8)?), "none".into());
        watch.memory.store(1, 1);
        watch.memory.store(2, 1);
        watch.memory.store(6, 1);
        facts.check("written", pages(&watch, &rearm(&watch, 8)?), "1-2 6".into());
        facts.check("armed again", watch.is_armed(1)? && watch.is_armed(6)?, true);
        facts.check("once more", pages(&watch, &rearm(&watch, 8)?), "none".into());
        watch.memory.store(2, 2);
        facts.check("written again", pages(&watch, &rearm(&watch, 8)?), "2".into());
        Ok(facts)
    },
};

fn rearm(watch: &Watch, room: usize) -> Result<Vec<Span>, Trouble> {
    Ok(watch.pagemap.written(watch.memory.all(), Then::Rearm, room).doing("PAGEMAP_SCAN")?.regions)
}

/// Which pages these are, in words.
fn pages(watch: &Watch, regions: &[Span]) -> String {
    let page = |at: usize| (at - watch.memory.all().at) / watch.memory.unit();
    let each = regions.iter().map(|region| (page(region.at), page(region.at + region.len - 1)));
    let words: Vec<_> = each
        .map(|(first, last)| if first == last { format!("{first}") } else { format!("{first}-{last}") })
        .collect();
    if words.is_empty() { "none".into() } else { words.join(" ") }
}

/// A vector that is too small.
pub static RESUME: Question = Question {
    name: "scan-resume",
    asks: "The output vector is too small for all regions: can the scan be resumed where it ended, with nothing lost?",
    source: SOURCE,
    memory: SMALL_PAGES,
    delivery: ASYNC,
    expected: |_| "walk_end says where to go on; pages behind it are neither reported nor armed yet; all come once",
    ask: |setting| {
        const PAGES: usize = 16;
        let watch = Watch::new(setting, PAGES, Wish::default())?;
        let mut facts = Facts::new();
        watch.arm(0..PAGES)?;
        (0..PAGES).step_by(2).for_each(|page| watch.memory.store(page, 1));
        let all = watch.memory.all();
        let (mut at, mut found, mut walks) = (all.at, Vec::new(), 0);
        while at < all.at + all.len && walks < PAGES {
            let rest = Span { at, len: all.at + all.len - at };
            let walk = watch.pagemap.written(rest, Then::Rearm, 3).doing("PAGEMAP_SCAN")?;
            if walks == 0 {
                facts.check("first walk", pages(&watch, &walk.regions), "0 2 4".into());
                facts.check_that("not all", walk.end < all.at + all.len, walk.end < all.at + all.len);
                facts.check("page 8 armed", watch.is_armed(8)?, false);
            }
            found.extend(walk.regions);
            at = walk.end;
            walks += 1;
        }
        facts.check("all walks", pages(&watch, &found), "0 2 4 6 8 10 12 14".into());
        facts.note("walks", walks);
        Ok(facts)
    },
};

/// Where nobody tracks asynchronously.
pub static NOT_ASYNC: Question = Question {
    name: "scan-not-async",
    asks: "What does a scan do where the range is not tracked asynchronously?",
    source: SOURCE,
    memory: SMALL_PAGES,
    delivery: &[Delivery::Sigbus, Delivery::Monitor, Delivery::Mprotect],
    expected: |_| "EPERM with PM_SCAN_WP_MATCHING and PM_SCAN_CHECK_WPASYNC, and nothing is armed; looking is allowed",
    ask: |setting| {
        let watch = Watch::new(setting, 2, Wish::default())?;
        let mut facts = Facts::new();
        watch.needs_scan()?;
        let all = watch.memory.all();
        facts.check("re-arming", outcome(&watch.pagemap.written(all, Then::Rearm, 2)), "EPERM".into());
        let armed = watch.pagemap.entry(all.at).doing("reading the pagemap")?.is_armed();
        facts.check("armed by that", armed, false);
        let looked = watch.pagemap.written(all, Then::Look, 2);
        facts.check("looking", outcome(&looked), "ok".into());
        facts.note("written, it says", looked.map(|found| pages(&watch, &found.regions)).unwrap_or_default());
        Ok(facts)
    },
};

/// A vector that cannot be written.
pub static LOST: Question = Question {
    name: "scan-lost",
    asks: "The output vector cannot be written to: are the pages armed all the same?",
    source: SOURCE,
    memory: SMALL_PAGES,
    delivery: ASYNC,
    expected: |_| "EFAULT, and they are: what was written is lost, so the vector must be populated beforehand",
    ask: |setting| {
        let watch = Watch::new(setting, 2, Wish::default())?;
        let mut facts = Facts::new();
        watch.arm(0..2)?;
        watch.memory.store(0, 1);
        facts.check("written", watch.noticed(0)?, 1);
        let nowhere = Span { len: 8, ..forbidden().doing("mapping")? };
        let answer = watch.pagemap.written_into(watch.memory.all(), Then::Rearm, nowhere);
        facts.check("the scan", outcome(&answer), "EFAULT".into());
        facts.check("armed", watch.is_armed(0)?, true);
        facts.check("still reported as written", watch.noticed(0)?, 0);
        Ok(facts)
    },
};
