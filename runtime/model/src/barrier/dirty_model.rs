//! A model of the dirty map, whose items are the barrier's own.

use super::dirty::DirtyMap;
use crate::explore::Model;
use crate::models::{join_all, spawn};
use crate::sync::{AtomicU32, Ordering};
use std::sync::Arc;

/// Two threads change a word each and raise the flags, while a scan lowers them and looks: what it does not see in the words is
/// found by the next scan.
pub const DIRTY: Model = Model {
    name: "dirty map",
    preemptions: 4,
    mistakes: &[("dirty: the group's flag first", "a change is not found")],
    orders: &[("barrier/dirty.rs", "if chunk.load(Ordering::SeqCst) == 0", "a change is not found")],
    deaths: false,
    run: dirty,
};

fn dirty() {
    let shared = Arc::new((DirtyMap::new(2).unwrap(), [AtomicU32::new(0), AtomicU32::new(0)]));
    let writers = [0, 1].map(|page| {
        let shared = shared.clone();
        spawn(move || {
            shared.1[page as usize].store(1, Ordering::Release);
            shared.0.mark_chunk(page);
        })
    });
    let mut seen = [0, 0];
    let mut scan = || {
        let looked = shared.0.drain(|chunk| {
            seen[chunk as usize] = shared.1[chunk as usize].load(Ordering::Acquire);
            Ok::<_, ()>(())
        });
        assert_eq!(looked, Ok(()));
    };
    scan();
    join_all(writers);
    scan();
    assert_eq!(seen, [1, 1], "a change is not found");
}
