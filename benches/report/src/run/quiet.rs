//! Whether the machine has anything else to do.
//!
//! A run is *noisy* if, while it ran, other programs had the processors for more than a tenth of its time, or the host took as much
//! away. The kernel counts both in ticks of ten milliseconds, so a run of less than a few of them is given a few.

use rustix::param::clock_ticks_per_second;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The share of a processor above which others are a disturbance.
const DISTURBING: f64 = 0.1;
/// What ticks can be wrong by, in seconds.
const BLUR: f64 = 0.04;
/// How long to look for whether the machine is quiet.
const LOOK: Duration = Duration::from_millis(100);
/// How much may be going on then: our own looking, a daemon.
const AT_REST: f64 = 0.15;

/// What all processors have done since the machine was started, in seconds.
#[derive(Copy, Clone, PartialEq, Debug)]
struct Busy {
    worked: f64,
    stolen: f64,
}

/// The time of a run, seen from the machine.
pub struct Watch {
    before: Option<Busy>,
    start: Instant,
}

impl Watch {
    /// From now.
    pub fn start() -> Self {
        Self { before: Busy::now(), start: Instant::now() }
    }

    /// Until now: whether others did too much, beside the `own_s` processor seconds of the run.
    pub fn was_noisy(&self, own_s: f64) -> bool {
        let (Some(before), Some(after)) = (self.before, Busy::now()) else { return false };
        noisy(before, after, own_s, self.start.elapsed().as_secs_f64())
    }
}

fn noisy(before: Busy, after: Busy, own_s: f64, wall_s: f64) -> bool {
    let others = (after.worked - before.worked - own_s).max(0.0);
    let stolen = (after.stolen - before.stolen).max(0.0);
    others + stolen > (wall_s * DISTURBING).max(BLUR)
}

/// Waits until nothing else runs, at most for `limit`. Returns whether it came to that.
pub fn wait(limit: Duration, stop: &AtomicBool) -> bool {
    let start = Instant::now();
    // Less than a look is no wait.
    while start.elapsed() + LOOK <= limit && !stop.load(Ordering::Relaxed) {
        let (before, look) = (Busy::now(), Instant::now());
        std::thread::sleep(LOOK);
        let (Some(before), Some(after)) = (before, Busy::now()) else { return true };
        let load =
            (after.worked - before.worked + after.stolen - before.stolen) / look.elapsed().as_secs_f64();
        if load < AT_REST {
            return true;
        }
        std::thread::sleep(LOOK * 2);
    }
    false
}

impl Busy {
    /// Nothing where the kernel does not say.
    fn now() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?, clock_ticks_per_second() as f64)
    }

    /// The first line: user, nice, system, idle, waiting, interrupts, soft interrupts, stolen; the times of guests are in the first two.
    fn parse(stat: &str, ticks: f64) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let times: Vec<f64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [user, nice, system, _, _, interrupts, soft, stolen, ..] = times[..] else { return None };
        Some(Self { worked: (user + nice + system + interrupts + soft) / ticks, stolen: stolen / ticks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read() {
        let stat = "cpu  100 10 50 9000 70 3 7 30 20 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(Busy::parse(stat, 100.0), Some(Busy { worked: 1.7, stolen: 0.3 }));
        assert_eq!(Busy::parse("cpu  100 10", 100.0), None);
        assert!(Busy::now().is_some_and(|busy| busy.worked > 0.0));
    }

    #[test]
    fn a_run_is_noisy_by_what_others_did() {
        let before = Busy { worked: 10.0, stolen: 1.0 };
        let after = |worked, stolen| Busy { worked: 10.0 + worked, stolen: 1.0 + stolen };
        assert!(!noisy(before, after(2.0, 0.0), 2.0, 1.0), "its own time");
        assert!(!noisy(before, after(2.09, 0.0), 2.0, 1.0));
        assert!(noisy(before, after(2.2, 0.0), 2.0, 1.0));
        assert!(noisy(before, after(2.0, 0.2), 2.0, 1.0), "stolen");
        assert!(!noisy(before, after(0.05, 0.0), 0.02, 0.03), "ticks are coarse");
    }
}
