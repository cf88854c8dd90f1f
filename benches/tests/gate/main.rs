//! The regression gate: what is counted, not timed, is held to the bounds in `gate.toml`.
//!
//! The program `counted` does fixed pieces of work. Some figures the library counts itself; the system calls, the forks and the
//! instructions are counted by a tracer ([`trace`]), which needs neither `perf` nor `valgrind`. A machine that is busy gives the
//! same figures as one that is idle: of nine cycles the least of each figure counts, since a race among threads adds a wait now and
//! then and takes none away.
//!
//! What a machine does not have (a rung, tracing) is skipped, with a line that says so. So are the instructions, unless
//! `PALIMPSEST_COUNTED` names a `counted` that was built as the library ships, as `.ci/gate` does: this test is built with
//! assertions and less optimisation, and so is the program beside it.
//!
//! `PALIMPSEST_GATE=write` enters what was counted where that is out of bounds.
// The tracer asks for system calls in a way that the C library has to know.
#![cfg(target_env = "gnu")]

mod bounds;
mod figures;
mod measure;
mod trace;

use std::env::consts::ARCH;
use std::path::Path;

use bounds::Bounds;
use figures::Figures;

/// Says "write" where out-of-bounds values are to be replaced.
const ACCEPT: &str = "PALIMPSEST_GATE";

/// What accepts new values; the file's own head says it too.
const HOW: &str = "PALIMPSEST_GATE=write cargo test -p palimpsest-bench --test gate";

#[test]
fn what_is_counted_is_within_its_bounds() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("gate.toml");
    let mut bounds = Bounds::read(&path).expect("the file of bounds");
    let accept = std::env::var(ACCEPT).is_ok_and(|value| value == "write");
    let mut figures = Figures::default();
    if accept || bounds.has(&["instructions", ARCH]) {
        measure::instructions(&mut figures);
    } else {
        println!("skipped: instructions: there are no bounds for {ARCH}");
    }
    measure::rungs(&mut figures);
    println!("{figures}");
    let broken = bounds.check(&figures);
    if broken.is_empty() {
        return;
    }
    let list: String = broken.iter().map(|broken| format!("\n  {broken}")).collect();
    if accept {
        bounds.accept(&broken);
        bounds.write(&path).expect("the file of bounds is written");
        println!("accepted:{list}");
    } else {
        panic!("out of bounds:{list}\nIf that is meant, accept it: {HOW}");
    }
}
