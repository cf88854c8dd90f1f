//! A thread that holds back the very signal by which it would be told.

use crate::conformance::{Delivery, Doing, Facts, Question, SMALL_PAGES, SYNCHRONOUS, Setting, Trouble};
use crate::kernel::process::{self, Ended};
use crate::kernel::signals;
use crate::watch::{self, Watch, Wish};
use std::time::Duration;

/// A blocked signal.
pub static BLOCKED: Question = Question {
    name: "blocked-signal",
    asks: "What happens to a thread that writes to an armed page while all its signals are blocked?",
    source: "kernel/signal.c, force_sig_info_to_task: a fault's signal that is blocked gets its default action",
    memory: SMALL_PAGES,
    delivery: SYNCHRONOUS,
    expected: |setting| match setting.delivery {
        Delivery::Sigbus => {
            "the process dies by SIGBUS, although there is a handler: look at a thread's mask when it attaches"
        }
        Delivery::Mprotect => {
            "the process dies by SIGSEGV, although there is a handler: look at a thread's mask when it attaches"
        }
        _ => "nothing: the monitor needs no signal",
    },
    ask: blocked,
};

fn blocked(setting: Setting) -> Result<Facts, Trouble> {
    let mut facts = Facts::new();
    if setting.delivery != Delivery::Mprotect {
        // Only to find out whether there is one: the child needs its own.
        drop(watch::open(setting, &Wish::default())?);
    }
    let child = process::fork(|| write_with_signals_blocked(setting)).doing("forking")?;
    let ended = child.wait(Duration::from_secs(5)).doing("waiting")?;
    let expected = match setting.delivery {
        Delivery::Sigbus => Ended::Killed(libc::SIGBUS),
        Delivery::Mprotect => Ended::Killed(libc::SIGSEGV),
        _ => Ended::Exited(0),
    };
    facts.check("the process ends by", ended, expected);
    Ok(facts)
}

/// The child's part: 0 if the store landed.
fn write_with_signals_blocked(setting: Setting) -> u8 {
    let Ok(watch) = Watch::new(setting, 1, Wish::default()) else { return 2 };
    if watch.arm(0..1).is_err() {
        return 3;
    }
    signals::block_all();
    watch.memory.store(0, 1);
    u8::from(watch.memory.load(0) != 1)
}
