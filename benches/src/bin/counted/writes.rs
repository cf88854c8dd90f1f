//! One cycle while whose snapshot is kept the program writes to every 32nd page of nodes: each costs one trap and one pre-image.
//!
//! The snapshot is held open from within: among the objects is one that native code traces, and that code waits, in the worker,
//! until the program has written.

use std::error::Error;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use palimpsest::{Address, Embedder, Frozen, Layout, PlainPointers, Snapshot, StackScan, Tracer, Wish};
use serde_json::{Value, json};

use crate::graph::Graph;
use crate::shared::Shared;

/// References are plain addresses, and an object of the native layout holds up the marking.
struct Holding(&'static Shared);

// SAFETY: as plain pointers, which depend on the word alone. The native object has no references. What `trace` writes to is no
// memory of a heap, and no second worker does the same.
unsafe impl Embedder for Holding {
    fn decode(&self, word: u64) -> Option<Address> {
        PlainPointers.decode(word)
    }

    fn trace(&self, _: u16, _: &Frozen<'_>, _: &mut Tracer<'_>) {
        self.0.hold();
    }
}

pub fn run(rung: Wish) -> Result<Value, Box<dyn Error>> {
    let shared = Shared::new()?;
    let mut graph = Graph::new(Holding(shared), rung)?;
    let heap = graph.mutator.heap().clone();
    if heap.ladder().chosen().snapshot == Snapshot::StopTheWorld {
        return Err("the world is stopped as long as it is marked: nobody can write".into());
    }
    let gate = graph.mutator.alloc(heap.define_layout(Layout::native(0))?, 16)?;
    let _gate = heap.handle(Address::from_ptr(gate.as_ptr()));
    let before = heap.stats();
    let (written, record) = thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let mut mutator = heap.attach(StackScan::None).expect("attached");
            mutator.collect()
        });
        while shared.began.load(SeqCst) == 0 {
            graph.mutator.poll();
        }
        let written = graph.write(16, 32);
        shared.may_end.store(1, SeqCst);
        // A cycle ends without this thread.
        let record = graph.mutator.blocking(|| collector.join().expect("the cycle ended"));
        (written, record)
    });
    let after = heap.stats();
    if let Some(why) = record.failure.or(record.fallback) {
        return Err(format!("a cycle that does not count: {why}").into());
    }
    Ok(json!({
        "pages written in the snapshot": written,
        "traps in the snapshot": after.traps_in_snapshot - before.traps_in_snapshot,
        "pre-images of a snapshot written to": record.preimages,
        "marked objects, with one that native code traces": record.marked_objects,
    }))
}
