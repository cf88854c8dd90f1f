//! What the first write to an armed page costs the writer, a page: the price of having no barrier in the code.
//!
//! * `open`: the page is not armed; the write alone, for comparison.
//! * `armed`: between snapshots. The trap, and opening the page.
//! * `saved`: during a snapshot. The same, with a copy of the page before.
//! * `floor_armed`, `floor_saved`: the same two by the smallest program that does it ([`floor`]).
//! * `bulk`: pages of a recycled block, opened together before the first write as the allocator does it.
//!
//! Pages are written in a scattered order, as a program's are. One thread writes; nothing else runs.
//!
//! criterion measures one after the other, and on a shared machine minutes differ by more than the barrier from its
//! floor. So at the end the two are measured once more in turns, and their ratio is printed: 1.15 is the goal.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use palimpsest_runtime::barrier::Contents;
use palimpsest_runtime::{CHUNK_PAGES, PageRange};

#[path = "support/armed.rs"]
mod armed;
#[path = "support/floor.rs"]
mod floor;
use armed::{Armed, PAGES};
use floor::Floor;

/// Rounds of each side in the comparison.
const TURNS: usize = 20;

fn first_write(criterion: &mut Criterion) {
    let armed = match Armed::new() {
        Ok(armed) => armed,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let floor = match Floor::new() {
        Ok(floor) => floor,
        Err(why) => return eprintln!("skipped: the floor has no userfaultfd: {why}"),
    };
    let mut group = criterion.benchmark_group("first_write");
    group.throughput(Throughput::Elements(PAGES.into()));
    let mut bench = |name, round: &dyn Fn() -> Duration| {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|rounds| (0..rounds).map(|_| round()).sum());
        });
    };
    bench("open", &|| time(|| armed.write_all()));
    bench("armed", &|| write_armed(&armed));
    bench("floor_armed", &|| floor.armed());
    bench("saved", &|| write_saved(&armed));
    bench("floor_saved", &|| floor.saved());
    bench("bulk", &|| write_in_bulk(&armed));
    group.finish();
    compare(&armed, floor);
}

fn write_armed(armed: &Armed) -> Duration {
    armed.arm_all();
    time(|| armed.write_all())
}

fn write_saved(armed: &Armed) -> Duration {
    armed.arm_all();
    armed.barrier.begin_snapshot();
    let spent = time(|| armed.write_all());
    assert_eq!(armed.barrier.end_snapshot(), PAGES, "each page was saved once");
    spent
}

fn write_in_bulk(armed: &Armed) -> Duration {
    armed.arm_all();
    time(|| {
        for page in (0..PAGES).step_by(CHUNK_PAGES as usize) {
            armed.barrier.open(PageRange::new(page, page + CHUNK_PAGES), Contents::Nothing);
        }
        armed.write_all();
    })
}

/// Prints the barrier's cost against the floor's.
fn compare(armed: &Armed, floor: &Floor) {
    let by_state = [
        in_turns(|| write_armed(armed), || floor.armed()),
        in_turns(|| write_saved(armed), || floor.saved()),
    ];
    let [a, s] = by_state.map(|(own, floor)| own.as_secs_f64() / floor.as_secs_f64());
    println!(
        "first_write ratio: armed {a:.2} x floor, saved {s:.2} x floor (medians of {TURNS} interleaved rounds)"
    );
    let [a, s] = by_state.map(|(_, floor)| floor.as_secs_f64() * 1e6 / f64::from(PAGES));
    println!("first_write floor: armed {a:.2} us, saved {s:.2} us a page");
}

/// The medians of both sides' rounds, which take turns; who begins changes too.
fn in_turns(own: impl Fn() -> Duration, floor: impl Fn() -> Duration) -> (Duration, Duration) {
    let (mut owns, mut floors) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        if turn % 2 == 0 {
            owns.push(own());
            floors.push(floor());
        } else {
            floors.push(floor());
            owns.push(own());
        }
    }
    (median(owns), median(floors))
}

fn median(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort_unstable();
    rounds[rounds.len() / 2]
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

criterion_group!(benches, first_write);
criterion_main!(benches);
