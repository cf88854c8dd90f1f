//! A marker that decides, and threads that read through weak references.

use super::ending::{self, Ending};
use super::kept::Kept;
use super::reads::{Reading, WeakReads};
use crate::kind::Kind;
use crate::metadata::{Living, Metadata};
use crate::unit::Granules;
use palimpsest_runtime::explore::Model;
use palimpsest_runtime::models::{join_all, spawn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Two threads read an object that nothing else refers to, one through a weak reference and one through a table's entry, while the
/// marker drains, decides, keeps it for a finalizer, and closes. Whoever was told that it is alive finds it marked at the end; and
/// a reference was not told so once the object was kept for its finalizer only.
pub(crate) const READS: Model = Model {
    name: "weak reads",
    preemptions: 3,
    mistakes: &[("weak: closed though something waits", "said to be alive, and dead in the end")],
    orders: &[
        ("weak/kept.rs", "fence(Release)", "what was alive is dead"),
        ("weak/kept.rs", "fence(Acquire)", "what was alive is dead"),
    ],
    deaths: false,
    run: reads,
};

const OBJECT: usize = 1;

struct Shared {
    reads: WeakReads,
    kept: Kept,
    metadata: Metadata,
    living: Living,
}

impl Shared {
    fn is_dead(&self, reading: Reading) -> bool {
        !self.living.has(self.metadata.get(OBJECT))
            || (reading == Reading::Reference && self.kept.has(OBJECT))
    }

    fn read(&self, reading: Reading) -> bool {
        self.reads.read(OBJECT, reading, || self.is_dead(reading), || false)
    }

    fn paint(&self) {
        let meta = self.metadata.get(OBJECT);
        if !self.living.has(meta) {
            self.metadata.paint(OBJECT, meta, self.living.marked);
        }
    }
}

/// The marker, for which nothing is reachable but what is read.
struct Marking<'a>(&'a Shared);

impl Ending for Marking<'_> {
    fn drain(&mut self) -> bool {
        true
    }

    fn look_further(&mut self) -> bool {
        let any = self.0.reads.pop().is_some();
        if any {
            // As in `Marker::attend`.
            if self.0.kept.has_begun() && self.0.is_dead(Reading::Entry) {
                self.0.kept.note(OBJECT);
            }
            self.0.paint();
        }
        any
    }

    fn resurrect(&mut self) {
        self.0.kept.begin();
    }
}

fn reads() {
    let metadata = Metadata::new(8).unwrap();
    metadata.record(OBJECT, Granules(1), Kind::UNIFORM, Living::FIRST.young);
    let shared = Arc::new(Shared {
        reads: WeakReads::new().unwrap(),
        kept: Kept::new(8).unwrap(),
        metadata,
        living: Living::FIRST.renew(),
    });
    shared.reads.begin_marking();
    let readings = [Reading::Reference, Reading::Entry];
    // What each reader was told; not part of the protocol.
    let told_alive = Arc::new([const { AtomicBool::new(false) }; 2]);
    let readers = [0, 1].map(|k| {
        let (shared, told_alive) = (shared.clone(), told_alive.clone());
        spawn(move || {
            if shared.read(readings[k]) {
                assert!(shared.read(readings[k]), "what was alive is dead");
                told_alive[k].store(true, Ordering::Relaxed);
            }
        })
    });
    assert!(ending::end(&shared.reads, &mut Marking(&shared)));
    join_all(readers);
    for (reading, told) in readings.into_iter().zip(told_alive.iter()) {
        let is_dead = shared.is_dead(reading);
        assert!(!is_dead || !told.load(Ordering::Relaxed), "said to be alive, and dead in the end");
    }
    let is_dead = shared.is_dead(Reading::Entry);
    shared.reads.begin_clearing();
    assert_eq!(shared.read(Reading::Entry), !is_dead);
}
