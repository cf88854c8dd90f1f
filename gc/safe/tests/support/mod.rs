//! What several tests need.
#![allow(dead_code, reason = "each test uses some of it")]

use palimpsest_safe::{Arena, ArenaBuilder, Root, Rootable, Trace};
use std::cell::Cell;
use std::rc::Rc;

/// Every kind of rung there is; those that this machine does not allow are skipped, with a line that says so.
pub fn rungs() -> Vec<&'static str> {
    let all = ["preimage/signal", "preimage/monitor", "preimage/protect", "forkcow", "stw"];
    if let Ok(forced) = std::env::var("PALIMPSEST_RUNG") {
        return vec![Box::leak(forced.into_boxed_str())];
    }
    let holds = |rung: &&str| {
        let made = Arena::<Rootable![()]>::builder().limit(1 << 20).options(&format!("rung={rung}"));
        match made.expect("the name of a rung").build(|_| ()) {
            Ok(_) => true,
            Err(why) => {
                eprintln!("skipped: {why}");
                false
            }
        }
    };
    all.into_iter().filter(holds).collect()
}

/// An arena on this rung that collects as often as it can, verifies, and poisons what it frees.
pub fn stressed<R: for<'a> Rootable<'a>>(rung: &str) -> ArenaBuilder<R>
where
    for<'a> Root<'a, R>: Trace,
{
    let options = format!("rung={rung},limit=64M,stress=1,verify=on,poison=on");
    Arena::builder().options(&options).expect("options")
}

/// A small one.
pub fn small<R: for<'a> Rootable<'a>>() -> ArenaBuilder<R>
where
    for<'a> Root<'a, R>: Trace,
{
    Arena::builder().options("limit=32M,verify=on,poison=on").expect("options")
}

/// Counts how often values are dropped.
#[derive(Clone, Default, Debug)]
pub struct Drops(Rc<Cell<usize>>);

impl Drops {
    pub fn count(&self) -> usize {
        self.0.get()
    }

    pub fn one(&self) -> Dropped {
        Dropped(self.clone(), Cell::new(false))
    }
}

/// Counts itself when it is dropped, and refuses to be dropped twice. It does not implement `Trace`.
#[derive(Debug)]
pub struct Dropped(Drops, Cell<bool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        assert!(!self.1.replace(true), "dropped twice");
        self.0.0.set(self.0.0.get() + 1);
    }
}
