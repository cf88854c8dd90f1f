//! How much memory a program takes together with its workers.
//!
//! A collector that shares its heap with the processes that mark it is badly described by resident sets: added up they count shared
//! pages once a process, and the largest of them leaves out what the others have for themselves. The *proportional* set counts
//! each page once, divided among those who map it. It is looked at every 20 milliseconds, of every process in the program's group, and the
//! largest sum stands. Reading it takes the kernel a walk through the page tables, with a lock that page faults want: a run that is
//! looked at is slower, and its times are not used.

use palimpsest_runtime::sys::smaps::Rollup;
use rustix::process::Pid;
use std::fs;
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(20);
/// The share of the time that looking may take, where a look is longer than is good: one in so many.
const RESTRAINT: u32 = 2;

/// The largest proportional set of a process group so far.
pub struct Sampler {
    group: Pid,
    most: Option<usize>,
}

impl Sampler {
    /// Of this group.
    pub fn new(group: Pid) -> Self {
        Self { group, most: None }
    }

    /// Looks now, and says after how long to look again.
    pub fn look(&mut self) -> Duration {
        let start = Instant::now();
        // Processes end meanwhile; those that cannot be read do not count, and where none can there is no figure.
        let sets = members(self.group).into_iter().filter_map(|id| Rollup::of_process(id).ok());
        let sum = sets.map(|rollup| rollup.proportional.0).reduce(|a, b| a + b);
        self.most = self.most.max(sum.filter(|&sum| sum > 0));
        let took = start.elapsed();
        EVERY.saturating_sub(took).max(took / RESTRAINT)
    }

    /// In MiB; nothing where nothing was seen.
    pub fn most_mib(&self) -> Option<f64> {
        self.most.map(|bytes| bytes as f64 / f64::from(1 << 20))
    }
}

/// The processes of a group.
fn members(group: Pid) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let is_member = |id: &u32| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        group_of(&stat) == Some(group.as_raw_pid())
    };
    ids.filter(is_member).collect()
}

/// The process group in a line of `/proc/PID/stat`: the third field after the name, which may have anything in it but ends with the
/// last bracket.
fn group_of(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_fields() {
        assert_eq!(group_of("12 (a) S 1 (b) S 7 42 12 0 -1"), Some(42));
        assert_eq!(group_of("12 (sh) R 7 13 12"), Some(13));
        assert_eq!(group_of(""), None);
    }

    #[test]
    fn our_own_group_has_us() {
        let group = rustix::process::getpgrp();
        assert!(members(group).contains(&std::process::id()));
        let mut sampler = Sampler::new(group);
        sampler.look();
        assert!(sampler.most_mib().is_some_and(|most| most > 0.1));
    }
}
