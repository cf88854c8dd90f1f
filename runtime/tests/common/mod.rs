//! What several tests need.
#![allow(dead_code, reason = "each test uses some of it")]

use palimpsest_runtime::barrier::DeliveryKind;
use palimpsest_runtime::ladder::Machine;
use palimpsest_runtime::mapping::Backing;
use std::process::{Command, ExitStatus};

/// The synchronous deliveries that can be had here over such memory. Says which cannot.
pub fn deliveries(backing: Backing) -> Vec<DeliveryKind> {
    let machine = Machine::look();
    let held = |delivery: &DeliveryKind| match machine.delivers(*delivery, None, backing) {
        Ok(()) => true,
        Err(missing) => {
            eprintln!("skipped: {delivery} over {backing}: {missing}");
            false
        }
    };
    DeliveryKind::ALL.into_iter().filter(|delivery| delivery.is_synchronous()).filter(held).collect()
}

const MARK: &str = "PALIMPSEST_TEST_CASE";

/// Runs `case` in a process of its own and returns how that ended, or nothing in that process, where `case` did not end it.
///
/// For what is the process's: signal handlers, limits, and its end. `name` is the test's.
pub fn alone(name: &str, case: impl FnOnce()) -> Option<ExitStatus> {
    if std::env::var(MARK).is_ok_and(|marked| marked == name) {
        case();
        return None;
    }
    let this = std::env::current_exe().expect("this program");
    let args = ["--exact", name, "--nocapture", "--test-threads", "1"];
    Some(Command::new(this).args(args).env(MARK, name).status().expect("this program again"))
}
