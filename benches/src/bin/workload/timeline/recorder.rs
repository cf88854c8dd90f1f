//! Writes down what a timeline is made of, while the workload runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use palimpsest::events::{Listener, Sweep};
use palimpsest::{CycleRecord, Heap, PlainPointers};

use super::{EVERY_MS, Timeline};

/// A listener that keeps all records.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Records>>);

#[derive(Default)]
struct Records {
    cycles: Vec<CycleRecord>,
    sweeps: Vec<Sweep>,
}

impl Listener for Recorder {
    fn cycle_ended(&self, record: &CycleRecord) {
        self.records().cycles.push(record.clone());
    }

    fn swept(&self, sweep: &Sweep) {
        self.records().sweeps.push(*sweep);
    }
}

impl Recorder {
    fn records(&self) -> MutexGuard<'_, Records> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The timeline of one of the cycles so far.
    pub(crate) fn timeline(&self, of: String, samples: &Samples) -> Result<Timeline, String> {
        let records = self.records();
        Timeline::new(of, &records.cycles, &records.sweeps, samples)
    }
}

/// A thread that looks how many traps there were.
pub(crate) struct Sampler {
    enough: Arc<AtomicBool>,
    thread: JoinHandle<Samples>,
}

impl Sampler {
    /// Starts it.
    pub(crate) fn start(heap: &Heap<PlainPointers>) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let (heap, until) = (heap.clone(), enough.clone());
        let thread = thread::spawn(move || {
            let mut samples = Samples::default();
            // Relaxed: the samples come with the thread's end.
            while !until.load(Ordering::Relaxed) {
                samples.0.push((heap.age().as_secs_f64() * 1e3, heap.trapped_pages()));
                thread::sleep(Duration::from_secs_f64(EVERY_MS / 1e3));
            }
            samples
        });
        Self { enough, thread }
    }

    /// Ends it.
    pub(crate) fn end(self) -> Samples {
        self.enough.store(true, Ordering::Relaxed);
        self.thread.join().expect("the thread that counts traps panicked")
    }
}

/// Moments, in milliseconds since the heap was made, and the traps until then.
#[derive(Default)]
pub(crate) struct Samples(Vec<(f64, u64)>);

impl Samples {
    /// The traps between two moments. Samples come late where the machine is busy: what lies between two of them is taken to be
    /// spread evenly.
    pub(crate) fn between(&self, from_ms: f64, to_ms: f64) -> u64 {
        self.until(to_ms).saturating_sub(self.until(from_ms))
    }

    fn until(&self, at_ms: f64) -> u64 {
        let next = self.0.partition_point(|&(ms, _)| ms <= at_ms);
        let (Some(&before), after) =
            (next.checked_sub(1).and_then(|last| self.0.get(last)), self.0.get(next))
        else {
            return 0;
        };
        let Some(after) = after else { return before.1 };
        let portion = (at_ms - before.0) / (after.0 - before.0);
        before.1 + ((after.1 - before.1) as f64 * portion).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traps_are_spread_between_samples() {
        let samples = Samples(vec![(1.0, 10), (2.0, 20), (4.0, 24)]);
        for (from, to, traps) in [(1.0, 2.0, 10), (1.5, 3.0, 7), (0.0, 9.0, 24), (4.0, 9.0, 0), (2.0, 2.0, 0)]
        {
            assert_eq!(samples.between(from, to), traps, "{from} to {to}");
        }
        assert_eq!(Samples::default().between(0.0, 1.0), 0);
    }
}
