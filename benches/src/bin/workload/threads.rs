//! Several threads of one workload: the one that runs it, and others that attach themselves.

use std::thread;

use palimpsest::{Error, StackScan};

use crate::objects::Mutator;

/// Runs `work` on so many threads, with the number of each, and hands back what they return in that order.
///
/// Thread 0 is the caller's; it waits for the others as blocked, so that no cycle waits for it.
pub(crate) fn on_each<T: Send>(
    mutator: &mut Mutator,
    threads: u32,
    work: impl Fn(&mut Mutator, u32) -> T + Sync,
) -> Result<Vec<T>, Error> {
    let heap = mutator.heap().clone();
    let (heap, work) = (&heap, &work);
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads)
            .map(|index| scope.spawn(move || Ok(work(&mut heap.attach(StackScan::Conservative)?, index))))
            .collect();
        let own = work(mutator, 0);
        // All are joined in here: the end of the scope does not wait as a thread that the collector waits for.
        mutator.blocking(|| {
            let joined =
                others.into_iter().map(|thread| thread.join().expect("a thread of the workload panicked"));
            std::iter::once(Ok(own)).chain(joined).collect()
        })
    })
}
