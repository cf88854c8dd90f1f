//! The limits that can refuse a large sparse heap, looked at before it is made: exceeding `RLIMIT_FSIZE` sends
//! `SIGXFSZ`, and the plain `ENOMEM` of the others names none of them.

use super::memory;
use crate::error::Error;
use crate::unit::Bytes;
use rustix::process::{Resource, getrlimit};

/// Physical memory of the machine, or the memory cgroup's limit (version 2) where that is lower.
pub fn physical_memory() -> Bytes {
    let info = rustix::system::sysinfo();
    let machine = (info.totalram as usize).saturating_mul(info.mem_unit as usize);
    Bytes(machine.min(cgroup_limit().unwrap_or(usize::MAX)))
}

/// How many processors this process may use, as far as that can be told: one at least.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn cgroup_limit() -> Option<usize> {
    let own = memory::read_text("/proc/self/cgroup").ok()?;
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut at = std::path::PathBuf::from("/sys/fs/cgroup").join(path.trim_start_matches('/'));
    let mut lowest = None;
    while at.starts_with("/sys/fs/cgroup") {
        if let Ok(text) = memory::read_text(at.join("memory.max"))
            && let Ok(limit) = text.trim().parse::<usize>()
        {
            lowest = Some(lowest.map_or(limit, |l: usize| l.min(limit)));
        }
        if !at.pop() {
            break;
        }
    }
    lowest
}

/// Whether a file (a memfd is one) may be made this large.
pub fn check_file_size(needed: Bytes) -> Result<(), Error> {
    check(Resource::Fsize, "RLIMIT_FSIZE (ulimit -f)", needed)
}

/// Whether so much address space may be mapped.
pub fn check_address_space(needed: Bytes) -> Result<(), Error> {
    check(Resource::As, "RLIMIT_AS (ulimit -v)", needed)
}

fn check(resource: Resource, limit: &'static str, needed: Bytes) -> Result<(), Error> {
    match getrlimit(resource).current {
        Some(allowed) if (allowed as usize) < needed.0 => {
            Err(Error::Limit { limit, allowed: Bytes(allowed as usize), needed })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_memory() {
        assert!(physical_memory() > Bytes::mib(16));
    }

    #[test]
    fn an_impossible_size_names_the_limit_or_passes() {
        match check_address_space(Bytes(usize::MAX)) {
            Ok(()) => {}
            Err(error) => assert!(error.to_string().contains("RLIMIT_AS")),
        }
    }
}
