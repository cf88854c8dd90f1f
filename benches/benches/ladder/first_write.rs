//! What a delivery costs, a page.
//!
//! For those that resolve a write while the writer waits ([`Side`]):
//!
//! * the first write *between snapshots*: the write is noticed and the page opened;
//! * the first write *in a snapshot*: the page is copied before;
//! * *opened in bulk*: 16 pages by one call, before they are written to, as the allocator does with a recycled block;
//! * *arming*, contiguous as after allocation, and every second page, which takes a call for each.
//!
//! For the one that is asked afterwards ([`AsyncSide`]): the write, arming, and the scan that finds the written pages and arms
//! them again, where all were written and where every second was.
//!
//! Pages are written in a scattered order, as a program's are. One thread writes.

use std::error::Error;
use std::time::Duration;

use palimpsest_runtime::barrier::DeliveryKind;
use palimpsest_runtime::{CHUNK_PAGES, PageRange};

use crate::sides::floor::afterwards::AsyncFloor;
use crate::sides::floor::waiting::Floor;
use crate::sides::own::{Armed, Tracked};
use crate::sides::{ARMED_AT_ONCE, AsyncSide, PAGES, Side, time, write_pages};
use crate::table::{Row, Subject};
use crate::turns::in_turns;

/// Measures one delivery.
pub(crate) fn measure(delivery: DeliveryKind, rounds: usize) -> Result<Vec<Row>, Box<dyn Error>> {
    if delivery == DeliveryKind::Async {
        return measure_async(rounds);
    }
    let own = Armed::new(delivery)?;
    let floor = Floor::new(delivery)?;
    let [between, saved, bulk, arm_all, arm_some] = in_turns(rounds, || round(&own), || round(floor));
    own.retire();
    let (waiting, call) = match delivery {
        DeliveryKind::Signal => ("a `SIGBUS` handler", "`UFFDIO_WRITEPROTECT`"),
        DeliveryKind::Monitor => ("a thread that waits in `read`", "`UFFDIO_WRITEPROTECT`"),
        _ => ("a `SIGSEGV` handler", "`mprotect`"),
    };
    let (write, arm) = (Subject::FirstWrite, Subject::Arming);
    Ok(vec![
        Row::new(
            write,
            format!("first write, {delivery}, between snapshots"),
            between.each_of(PAGES),
            format!("{waiting}, {call}"),
        ),
        Row::new(
            write,
            format!("first write, {delivery}, in a snapshot"),
            saved.each_of(PAGES),
            "the same with a copy of the page",
        ),
        Row::new(
            Subject::Bulk,
            format!("16 pages opened together and written, {delivery}"),
            bulk.each_of(PAGES),
            format!("{call} of 16 pages"),
        ),
        Row::new(
            arm,
            format!("arming, {delivery}"),
            arm_all.each_of(PAGES),
            format!("{call} of {ARMED_AT_ONCE} pages"),
        ),
        Row::new(
            arm,
            format!("arming every second page, {delivery}"),
            arm_some.each_of(PAGES / 2),
            format!("{call} of each"),
        ),
    ])
}

fn round(side: &impl Side) -> [Duration; 5] {
    side.begin_turn();
    let arm_all = time(|| side.arm(1));
    let between = write_all(side);
    side.arm(1);
    side.begin_snapshot();
    let saved = write_all(side);
    side.end_snapshot(PAGES);
    side.arm(1);
    for page in (0..PAGES).step_by(2) {
        side.open(PageRange::new(page, page + 1));
    }
    let arm_some = time(|| side.arm(2));
    let bulk = time(|| {
        for page in (0..PAGES).step_by(CHUNK_PAGES as usize) {
            side.open(PageRange::new(page, page + CHUNK_PAGES));
        }
        write_pages(side.base(), 1);
    });
    side.end_turn();
    [between, saved, bulk, arm_all, arm_some]
}

fn write_all(side: &impl Side) -> Duration {
    let spent = time(|| write_pages(side.base(), 1));
    side.settle();
    spent
}

fn measure_async(rounds: usize) -> Result<Vec<Row>, Box<dyn Error>> {
    let (mut own, mut floor) = (Tracked::new()?, AsyncFloor::new()?);
    let [write, arm, scan_all, scan_some] =
        in_turns(rounds, || round_async(&mut own), || round_async(&mut floor));
    Ok(vec![
        Row::new(
            Subject::FirstWrite,
            "first write, async",
            write.each_of(PAGES),
            "the write alone: the kernel resolves it",
        ),
        Row::new(Subject::Arming, "arming, async", arm.each_of(PAGES), "`UFFDIO_WRITEPROTECT` of all pages"),
        Row::new(
            Subject::Scan,
            "finding written pages and arming them, async, all were written",
            scan_all.each_of(PAGES),
            "`PAGEMAP_SCAN` with `PM_SCAN_WP_MATCHING`, `PM_SCAN_CHECK_WPASYNC`",
        ),
        Row::new(
            Subject::Scan,
            "finding written pages and arming them, async, every second was written",
            scan_some.each_of(PAGES / 2),
            "the same, with room for 512 regions",
        ),
    ])
}

fn round_async(side: &mut impl AsyncSide) -> [Duration; 4] {
    write_pages(side.base(), 1);
    let arm = time(|| side.arm());
    let write = time(|| write_pages(side.base(), 1));
    let mut found = 0;
    let scan_all = time(|| found = side.take_written());
    assert_eq!(found, PAGES, "all were written");
    write_pages(side.base(), 2);
    let scan_some = time(|| found = side.take_written());
    assert_eq!(found, PAGES / 2, "every second was written");
    [write, arm, scan_all, scan_some]
}
