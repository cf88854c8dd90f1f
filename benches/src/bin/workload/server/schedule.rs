//! When requests arrive, and waiting until then.

use std::thread;
use std::time::{Duration, Instant};

use crate::objects::Mutator;

/// What is nearer than this is waited for awake: the kernel takes longer than that to put a thread to sleep and wake it.
const NEAR: Duration = Duration::from_micros(20);

/// An open loop: request n arrives n periods after the start, whatever became of the others.
pub(super) struct Schedule {
    start: Instant,
    rate: u32,
}

impl Schedule {
    /// The first request arrives now.
    pub(super) fn start(rate: u32) -> Self {
        Self { start: Instant::now(), rate }
    }

    /// When a request arrives; nothing where requests come back to back.
    pub(super) fn arrival(&self, number: u64) -> Option<Instant> {
        let after = number.saturating_mul(1_000_000_000).checked_div(self.rate.into())?;
        Some(self.start + Duration::from_nanos(after))
    }

    /// Waits until the request has arrived; the time then. Asleep, no cycle waits for the thread.
    pub(super) fn wait_for(&self, mutator: &mut Mutator, number: u64) -> Instant {
        let arrival = self.arrival(number);
        loop {
            let now = Instant::now();
            match arrival.map_or(Duration::ZERO, |arrival| arrival.saturating_duration_since(now)) {
                Duration::ZERO => return now,
                near if near < NEAR => mutator.poll(),
                far => mutator.blocking(|| thread::sleep(far)),
            }
        }
    }
}

/// Asks the kernel to wake this thread within a microsecond of the time it asks for, instead of fifty.
pub(super) fn wake_in_time() {
    // SAFETY: a number for this thread alone. Where the kernel does not know it, threads wake later, with every collector.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1000 as libc::c_ulong) };
}
