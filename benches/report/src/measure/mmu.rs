//! Minimum mutator utilisation: of every window of a length in a run, the least share that the program had for itself.
//!
//! After Cheng and Blelloch, "A Parallel, Real-Time Garbage Collector" (2001). A longest pause says nothing of a collector that stops
//! the program for a millisecond every other millisecond; this does, and a curve of it over the length of the window shows both:
//! where it leaves zero is the longest pause, and where it ends is the share of the whole run.
//!
//! The minimum is exact. As a window slides, the paused time in it changes at a constant rate until one of its ends meets an end
//! of a pause. It can stop growing only where the right end leaves a pause or the left end enters one. So the worst window begins
//! with a pause, or ends with one, or is the first or the last of the run, and those are the ones that are looked at.

/// The least share of a window of `window` milliseconds that was not paused, over all windows within a run of `wall` milliseconds.
///
/// Pauses are `(beginning, length)`, in any order; they may overlap, and what lies outside of the run does not count. A
/// window longer than the run is the run. The answer is between 0 and 1: 1 where nothing was paused.
pub fn mmu(pauses: &[(f64, f64)], wall: f64, window: f64) -> f64 {
    Pauses::new(pauses, wall).mmu(window)
}

/// The pauses of a run, put in order once for many windows.
#[derive(Clone, Debug)]
pub struct Pauses {
    /// Beginnings and ends, ascending and apart.
    spans: Vec<(f64, f64)>,
    /// How much was paused before each of `spans`, and in all.
    before: Vec<f64>,
    wall: f64,
}

impl Pauses {
    /// Of a run of `wall` milliseconds; see [`mmu`].
    pub fn new(pauses: &[(f64, f64)], wall: f64) -> Self {
        let wall = wall.max(0.0);
        let mut ordered: Vec<(f64, f64)> = pauses
            .iter()
            .map(|&(start, length)| (start.max(0.0), (start + length).min(wall)))
            .filter(|(start, end)| start < end)
            .collect();
        ordered.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut spans: Vec<(f64, f64)> = Vec::new();
        for (start, end) in ordered {
            match spans.last_mut() {
                Some(last) if start <= last.1 => last.1 = last.1.max(end),
                _ => spans.push((start, end)),
            }
        }
        let mut total = 0.0;
        let mut before = vec![0.0];
        for (start, end) in &spans {
            total += end - start;
            before.push(total);
        }
        Self { spans, before, wall }
    }

    /// Milliseconds that were paused in all; where pauses overlap, once.
    pub fn total(&self) -> f64 {
        self.before[self.spans.len()]
    }

    /// The least share of any window of this length that was not paused.
    pub fn mmu(&self, window: f64) -> f64 {
        let window = window.min(self.wall);
        if window <= 0.0 {
            // A window without length lies in a pause if there is one.
            return if self.spans.is_empty() { 1.0 } else { 0.0 };
        }
        let last = self.wall - window;
        let most = self
            .spans
            .iter()
            .flat_map(|&(start, end)| [start, end - window])
            .chain([0.0, last])
            .map(|from| from.clamp(0.0, last))
            .map(|from| self.until(from + window) - self.until(from))
            .fold(0.0, f64::max);
        (1.0 - most / window).clamp(0.0, 1.0)
    }

    /// How much was paused before `instant`.
    fn until(&self, instant: f64) -> f64 {
        let begun = self.spans.partition_point(|&(start, _)| start < instant);
        let Some(&(start, end)) = begun.checked_sub(1).map(|last| &self.spans[last]) else { return 0.0 };
        self.before[begun - 1] + instant.min(end) - start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every window that begins at a whole number, by adding up every pause.
    fn by_force(pauses: &[(f64, f64)], wall: f64, window: f64) -> f64 {
        let window = window.min(wall);
        let mut paused = vec![false; wall as usize];
        for &(start, length) in pauses {
            let (start, end) = (start.max(0.0), (start + length).min(wall));
            for cell in start as usize..(end.max(start) as usize).min(paused.len()) {
                paused[cell] = true;
            }
        }
        let count =
            |from: usize| paused[from..from + window as usize].iter().filter(|&&cell| cell).count() as f64;
        (0..=(wall - window) as usize).map(|from| 1.0 - count(from) / window).fold(1.0, f64::min)
    }

    /// Pauses at whole numbers have their worst windows there too, so trying them all is exact.
    #[test]
    fn it_is_what_trying_every_window_finds() {
        let mut random = 0x2545_f491_u32;
        let mut next = |below: u32| {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            random % below
        };
        for _ in 0..2000 {
            let wall = f64::from(1 + next(80));
            let pauses: Vec<(f64, f64)> =
                (0..next(9)).map(|_| (f64::from(next(90)) - 5.0, f64::from(next(12)))).collect();
            for window in [1, 2, 3, 7, 20, 79, 200] {
                let window = f64::from(window);
                let (found, expected) = (mmu(&pauses, wall, window), by_force(&pauses, wall, window));
                assert!(
                    (found - expected).abs() < 1e-9,
                    "{pauses:?} in {wall}, window {window}: {found}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn it_is_zero_up_to_the_longest_pause_and_ends_at_the_share_of_the_run() {
        let pauses = [(10.0, 2.5), (50.0, 5.0)];
        assert_eq!(mmu(&pauses, 100.0, 5.0), 0.0);
        assert!(mmu(&pauses, 100.0, 5.1) > 0.0);
        assert!((mmu(&pauses, 100.0, 10.0) - 0.5).abs() < 1e-12);
        assert!((mmu(&pauses, 100.0, 100.0) - 0.925).abs() < 1e-12);
        assert_eq!(mmu(&pauses, 100.0, 1e9), mmu(&pauses, 100.0, 100.0));
    }

    #[test]
    fn a_run_without_pauses_is_the_programs_own() {
        assert_eq!(mmu(&[], 100.0, 1.0), 1.0);
        assert_eq!(mmu(&[], 0.0, 1.0), 1.0);
        assert_eq!(mmu(&[(5.0, 0.0)], 100.0, 1.0), 1.0);
        assert_eq!(mmu(&[(200.0, 5.0)], 100.0, 1.0), 1.0, "after the run");
    }

    #[test]
    fn many_small_pauses_are_worse_than_their_longest() {
        let pauses: Vec<(f64, f64)> = (0..50).map(|k| (f64::from(k) * 2.0, 1.0)).collect();
        assert!((mmu(&pauses, 100.0, 3.0) - 1.0 / 3.0).abs() < 1e-12);
        assert!((mmu(&pauses, 100.0, 100.0) - 0.5).abs() < 1e-12);
        assert_eq!(Pauses::new(&pauses, 100.0).total(), 50.0);
    }
}
