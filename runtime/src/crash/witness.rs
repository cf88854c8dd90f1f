//! Who is heard in a report: the heaps of this process. Readable from a signal handler, without a lock.
//!
//! A fixed array of pointers, as in the list of barriers. A report says first that it has begun, and then looks; whoever takes a
//! witness away does so first, and then asks whether one has begun: then the witness stays where it is, since the process is
//! about to end.

use super::{Account, Scene};
use crate::unit::{Address, Bytes};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Who can say something of a heap in a report.
pub trait Witness: Send + Sync {
    /// Where the heap is; nothing if it is not this process's. Async-signal-safe.
    fn place(&self) -> Option<(Address, Bytes)>;

    /// Tells the state of the heap, and of what is at the scene, if that is in it. Async-signal-safe: no lock, no allocation.
    /// Anything may be corrupt.
    fn testify(&self, account: &mut Account, scene: &Scene);
}

/// As many heaps are heard. It is as many as can have a barrier.
const MOST: usize = 256;

static WITNESSES: [AtomicPtr<Arc<dyn Witness>>; MOST] =
    [const { AtomicPtr::new(std::ptr::null_mut()) }; MOST];

/// That a heap is heard in reports, until this drops.
#[derive(Debug)]
#[must_use = "the witness is heard only as long as this lives"]
pub struct Presence(*mut Arc<dyn Witness>);

// SAFETY: the pointer is used by whoever drops this, and what it points to may be sent and shared.
unsafe impl Send for Presence {}
// SAFETY: as above; a shared reference gives no access.
unsafe impl Sync for Presence {}

impl Presence {
    /// Has this witness heard. Of more heaps than there are places those are not heard that come last.
    pub fn of(witness: Arc<dyn Witness>) -> Self {
        let own = Box::into_raw(Box::new(witness));
        let free = |slot: &&AtomicPtr<_>| {
            // Release: whoever sees the pointer sees the witness. Pairs with the load in `all`.
            let put = slot.compare_exchange(std::ptr::null_mut(), own, Ordering::Release, Ordering::Relaxed);
            put.is_ok()
        };
        // Without a place it is merely not heard.
        let _ = WITNESSES.iter().find(free);
        Self(own)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(slot) = WITNESSES.iter().find(|slot| slot.load(Ordering::Relaxed) == self.0) {
            slot.store(std::ptr::null_mut(), Ordering::SeqCst);
            // Pairs with the load in `all`, which comes after the report's beginning.
            if super::is_reporting() {
                return;
            }
        }
        // SAFETY: made by `of` from a box; no report can find it any more.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

fn all() -> impl Iterator<Item = &'static Arc<dyn Witness>> {
    WITNESSES.iter().filter_map(|slot| {
        // SAFETY: a report has begun, so what is still here is not freed any more.
        unsafe { slot.load(Ordering::SeqCst).as_ref() }
    })
}

/// Hears the heap that holds the scene; if none does, all of them.
pub(super) fn hear_all(account: &mut Account, scene: &Scene) {
    let holds = |witness: &Arc<dyn Witness>| {
        let inside =
            |at: Address, (base, len): (Address, Bytes)| at.as_usize().wrapping_sub(base.as_usize()) < len.0;
        scene.at.is_some_and(|at| witness.place().is_some_and(|place| inside(at, place)))
    };
    let concerned = all().any(&holds);
    let mut others = 0;
    for witness in all().filter(|witness| witness.place().is_some()) {
        if concerned && !holds(witness) {
            others += 1;
        } else {
            witness.testify(account, scene);
        }
    }
    if others > 0 {
        account.line(
            "others",
            format_args!("{others} more heaps in this process, which do not hold the address"),
        );
    }
}
