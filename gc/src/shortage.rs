//! A heap at its limit: what an allocation does before it gives up, and the reserve for what comes after.
//!
//! An allocation that finds no room waits for the cycle at work, if there is one, and tries again. Then it makes a full cycle
//! of its own and tries again, and once more when the sweeping after that cycle is over. If it finds nothing even then,
//! either there is nothing, or other threads were quicker. The second is the case if others have taken memory since the cycle
//! was asked for, *and* what it marked leaves room: then it goes on with a further cycle. A thread that nobody competes
//! with therefore makes one cycle, and gives up on a heap that is full or too fragmented.

use crate::cycle::mailbox::Ticket;
use crate::embedder::Embedder;
use crate::error::OutOfMemory;
use crate::mutator::Mutator;
use crate::space::Claim;
use palimpsest_runtime::Bytes;
use std::sync::atomic::Ordering::Relaxed;

/// Cycles that one allocation makes at most. Others have got memory after each of them.
const CYCLES: u32 = 64;

/// What one allocation has done so far to find room.
#[derive(Default)]
pub(crate) struct Shortage {
    /// Whether it has waited for the cycle that was at work.
    waited: bool,
    /// Cycles of its own.
    cycles: u32,
    last: Option<Last>,
}

/// The last of its own cycles.
#[derive(Copy, Clone)]
struct Last {
    cycle: Ticket,
    /// How often other threads had taken memory before it.
    others: u64,
    /// What it found reachable.
    marked: Bytes,
    /// Whether the work after it is known to be over.
    rested: bool,
}

impl<E: Embedder> Mutator<E> {
    /// There is no room for `requested` bytes. Returns when it may be worth trying again.
    ///
    /// # Errors
    /// Where it is not.
    #[cold]
    pub(crate) fn make_room(&mut self, shortage: &mut Shortage, requested: Bytes) -> Result<(), OutOfMemory> {
        if !shortage.waited {
            shortage.waited = true;
            if let Some(current) = self.core().mailbox.current() {
                self.wait(current);
                return Ok(());
            }
        }
        if let Some(last) = &mut shortage.last {
            if !last.rested {
                last.rested = true;
                let cycle = last.cycle;
                self.wait_for_rest(cycle);
                return Ok(());
            }
            let limit = self.core().budget.limit(self.claim).0;
            let leaves_room = last.marked.0.saturating_add(requested.0) <= limit;
            let outrun = self.others_claims() != last.others;
            if !leaves_room || !outrun || shortage.cycles >= CYCLES {
                return Err(self.out_of_memory(requested));
            }
        }
        let others = self.others_claims();
        let (number, marked) = self.complete_cycle();
        shortage.cycles += 1;
        shortage.last = Some(Last { cycle: Ticket::of(number), others, marked, rested: false });
        Ok(())
    }

    fn others_claims(&self) -> u64 {
        self.core().claims.load(Relaxed).wrapping_sub(self.claims)
    }

    /// The error, of which listeners are told.
    pub(crate) fn out_of_memory(&self, requested: Bytes) -> OutOfMemory {
        let core = self.core();
        let error = OutOfMemory { requested, used: core.used(), limit: core.options.limit };
        core.events.tell(|listener| listener.out_of_memory(&error));
        error
    }

    /// Runs `f` with the reserve: the last part of the heap limit, which no other allocation uses
    /// ([`HeapBuilder::reserve`](crate::HeapBuilder::reserve)).
    ///
    /// For after [`OutOfMemory`]: to make an exception object, to unwind, to save what is worth saving. There is one reserve for
    /// all threads of the heap. It fills up by itself, when memory becomes free again. `f` may meet `OutOfMemory` too, when the
    /// reserve is used up and a cycle has freed nothing.
    ///
    /// ```
    /// # use palimpsest::{Heap, Kind, OutOfMemory, PlainPointers, StackScan};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let heap = Heap::builder(PlainPointers).limit(4 << 20).build()?;
    /// # let mut mutator = heap.attach(StackScan::None)?;
    /// let exception = match mutator.alloc(Kind::LEAF, 1 << 30) {
    ///     Ok(object) => object,
    ///     Err(OutOfMemory { .. }) => mutator.with_reserve(|mutator| mutator.alloc(Kind::UNIFORM, 64))?,
    /// };
    /// # let _ = exception;
    /// # Ok(())
    /// # }
    /// ```
    pub fn with_reserve<R>(&mut self, f: impl FnOnce(&mut Self) -> R) -> R {
        /// Takes the right back, also when `f` unwinds.
        struct Scope<'m, E: Embedder>(&'m mut Mutator<E>, Claim);
        impl<E: Embedder> Drop for Scope<'_, E> {
            fn drop(&mut self) {
                self.0.claim = self.1;
            }
        }
        let before = std::mem::replace(&mut self.claim, Claim::Reserve);
        let scope = Scope(self, before);
        f(scope.0)
    }
}
