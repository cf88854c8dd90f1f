//! The end of marking: in which order what waits is taken, what is left is decided, and the queue of weak reads is closed. The picture
//! is in [`weak`](super).

use super::reads::WeakReads;

/// A marker that has discovered what the roots refer to.
pub(super) trait Ending {
    /// Marks until nothing is left to be marked. `false`: it is too late, and the marking is given up.
    fn drain(&mut self) -> bool;

    /// Discovers what was read through weak references, or else what ephemerons refer to. Whether there was anything.
    fn look_further(&mut self) -> bool;

    /// What is not marked now was reachable from nowhere: discovers what of it is registered for finalization.
    fn resurrect(&mut self);
}

/// Marks the rest. `false`: the marking is given up.
pub(super) fn end(reads: &WeakReads, marking: &mut impl Ending) -> bool {
    let mut is_decided = false;
    loop {
        if !marking.drain() {
            return false;
        }
        if marking.look_further() {
            continue;
        }
        if !is_decided {
            is_decided = reads.decide();
            if is_decided {
                marking.resurrect();
            }
        } else if reads.close() {
            return true;
        }
    }
}
