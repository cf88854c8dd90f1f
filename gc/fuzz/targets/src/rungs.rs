//! The rungs of this machine.

use palimpsest::{Heap, PlainPointers, Wish};
use std::sync::OnceLock;

/// Those that make a difference to what is fuzzed, from the best to the one that every machine has.
const RUNGS: [&str; 4] = ["preimage/signal", "preimage/protect", "forkcow/async", "stw"];

/// One of those that hold here.
pub fn pick(k: u8) -> Wish {
    static HERE: OnceLock<Vec<Wish>> = OnceLock::new();
    let here = HERE.get_or_init(|| {
        let rungs = RUNGS.iter().map(|rung| rung.parse::<Wish>().expect("the name of a rung"));
        rungs.filter(|rung| Heap::builder(PlainPointers).limit(1 << 20).rung(*rung).build().is_ok()).collect()
    });
    here[usize::from(k) % here.len()]
}
