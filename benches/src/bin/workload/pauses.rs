//! When the collector stopped the program: a listener that writes it down.
//!
//! It runs on the collector's thread, while nothing is measured there, and is read when the workload is over.

use std::sync::{Arc, Mutex, PoisonError};

use palimpsest::CycleRecord;
use palimpsest::events::{Listener, Pause};

/// The pauses so far: start and length, in milliseconds since the heap was made.
#[derive(Clone, Default)]
pub(crate) struct Pauses(Arc<Mutex<Vec<(f64, f64)>>>);

impl Listener for Pauses {
    fn pause_ended(&self, pause: &Pause) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((pause.began_ms, pause.pause_ms));
    }

    /// The record has the last pause as the threads saw it, until the last of them was awake.
    fn cycle_ended(&self, record: &CycleRecord) {
        if let Some((_, length)) = self.0.lock().unwrap_or_else(PoisonError::into_inner).last_mut() {
            *length = record.pause_ms;
        }
    }
}

impl Pauses {
    /// Those that began in this time, which is that of a workload, from its start. Complete when the heap is gone: a cycle is counted
    /// before it is told of.
    pub(crate) fn between(&self, start_ms: f64, end_ms: f64) -> Vec<(f64, f64)> {
        let pauses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let digits = |ms: f64| (ms * 1e6).round() / 1e6;
        let inside = pauses.iter().filter(|pause| (start_ms..end_ms).contains(&pause.0));
        inside.map(|&(began, length)| (digits(began - start_ms), digits(length))).collect()
    }
}
