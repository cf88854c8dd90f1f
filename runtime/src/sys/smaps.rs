//! What a process occupies, as `/proc/PID/smaps_rollup` counts it (kernel document `filesystems/proc`).

use super::{Errno, memory};
use crate::error::Error;
use crate::unit::Bytes;

/// Sums over all mappings of a process.
#[derive(Copy, Clone, Default, PartialEq, Eq, Debug)]
pub struct Rollup {
    /// What is populated.
    pub resident: Bytes,
    /// The same, each page divided by the number of processes that map it.
    pub proportional: Bytes,
    /// What no other process maps.
    pub private: Bytes,
}

impl Rollup {
    /// This process's.
    ///
    /// # Errors
    /// Where the file cannot be read, or does not say.
    pub fn of_this_process() -> Result<Self, Error> {
        Self::read("/proc/self/smaps_rollup")
    }

    /// Another process's, of this user's.
    ///
    /// # Errors
    /// Where the file cannot be read, or does not say.
    pub fn of_process(id: u32) -> Result<Self, Error> {
        Self::read(&format!("/proc/{id}/smaps_rollup"))
    }

    fn read(path: &str) -> Result<Self, Error> {
        let denied = |errno| Error::denied(format!("reading {path}"), errno);
        let text = memory::read_text(path).map_err(denied)?;
        Self::parse(&text).ok_or_else(|| denied(Errno::NODATA))
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            let kib: usize = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
            Some(kib << 10)
        };
        Some(Self {
            resident: Bytes(field("Rss")?),
            proportional: Bytes(field("Pss")?),
            private: Bytes(field("Private_Clean")? + field("Private_Dirty")?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rollup_is_read_and_what_is_no_rollup_is_not() {
        let text = "55a0-7ffc ---p 00000000 00:00 0    [rollup]\nRss:    5 kB\nPss:   4 kB\nPss_Dirty:  1 kB\n\
                    Private_Clean:   1 kB\nPrivate_Dirty:  2 kB\n";
        let expected =
            Rollup { resident: Bytes(5 << 10), proportional: Bytes(4 << 10), private: Bytes(3 << 10) };
        assert_eq!(Rollup::parse(text), Some(expected));
        assert_eq!(Rollup::parse("Rss: 5 kB\nPss: four"), None);
        let own = Rollup::of_this_process().unwrap();
        assert!(own.resident >= own.private && own.proportional > Bytes(0));
        assert!(Rollup::of_process(u32::MAX).unwrap_err().to_string().contains("smaps_rollup"));
    }
}
