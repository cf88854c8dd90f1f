//! A marker that decides, and threads that read through weak references.

use super::kept::Kept;
use super::reads::{Reading, WeakReads};
use crate::kind::Kind;
use crate::metadata::{Living, Metadata};
use crate::unit::Granules;
use palimpsest_runtime::explore::Model;
use palimpsest_runtime::models::{join_all, spawn};
use std::sync::Arc;

/// Two threads read an object that nothing else refers to, one through a weak reference and one through a table's entry, while the
/// marker drains, decides, keeps it for a finalizer, and closes. Whoever was told that it is alive finds it marked at the end; and
/// a reference was not told so once the object was kept for its finalizer only.
pub(crate) const READS: Model = Model {
    name: "weak reads",
    preemptions: 2,
    mistakes: &["weak: closed though something waits"],
    weak_mistakes: &[],
    orders: &[],
    deaths: 0,
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

    /// The marker, as in `weak::complete`. Whether the object was found dead by the decision.
    fn mark(&self) -> bool {
        let mut is_decided = false;
        let mut is_kept = false;
        loop {
            if self.reads.pop().is_some() {
                if is_decided && self.is_dead(Reading::Entry) {
                    self.kept.note(OBJECT);
                    is_kept = true;
                }
                self.paint();
                continue;
            }
            if !is_decided {
                is_decided = self.reads.decide();
                if is_decided {
                    self.kept.begin();
                }
            } else if self.reads.close() {
                return is_kept;
            }
        }
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
    let readers = [Reading::Reference, Reading::Entry].map(|reading| {
        let shared = shared.clone();
        spawn(move || {
            // What it was told holds until its next safepoint, and after that, since it has the reference.
            if shared.read(reading) {
                assert!(shared.read(reading), "what was alive is dead");
                assert!(shared.reads.is_marking());
            }
        })
    });
    shared.mark();
    join_all(readers);
    let is_dead = shared.is_dead(Reading::Entry);
    assert!(is_dead || !shared.is_dead(Reading::Entry));
    shared.reads.begin_clearing();
    assert_eq!(shared.read(Reading::Entry), !is_dead);
}
