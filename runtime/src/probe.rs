//! What this kernel offers the barrier, found out by trying, with the reason for each thing that is missing.

use crate::sys::Errno;
use crate::sys::uffd::{self, Door};
use crate::unit::PAGE_SIZE;
use std::fmt;

/// Why there is no signal-delivery barrier here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// The kernel's pages are not the size this was built for.
    PageSize(usize),
    /// No way of opening a userfaultfd works; each with the kernel's answer.
    Closed(Vec<(Door, Errno)>),
    /// A userfaultfd can be had, but without these features.
    Features(Vec<&'static str>),
    /// This kernel can lose the notification of a write to shared memory.
    Unreliable(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::PageSize(size) => {
                write!(f, "the kernel's pages are {size} bytes, and only {PAGE_SIZE} is supported")
            }
            Missing::Closed(doors) => {
                f.write_str("userfaultfd cannot be opened (")?;
                for (k, (door, errno)) in doors.iter().enumerate() {
                    write!(f, "{}{door}: {errno}", if k > 0 { "; " } else { "" })?;
                }
                f.write_str(") - ")?;
                f.write_str(match doors.first().map(|d| d.1) {
                    Some(Errno::NOSYS) => "the kernel was built without CONFIG_USERFAULTFD",
                    _ => {
                        "a seccomp profile or sysctl denies it: allow the userfaultfd system call \
                         (with UFFD_USER_MODE_ONLY is enough), or make /dev/userfaultfd accessible"
                    }
                })
            }
            Missing::Features(names) => {
                let since = if cfg!(target_arch = "aarch64") { "6.10" } else { "5.19" };
                write!(f, "the kernel lacks {}: Linux {since} or newer has them", names.join(", "))
            }
            Missing::Unreliable(release) => write!(
                f,
                "Linux {release} can lose write-protection of shared memory (fixed in 6.2 and in stable kernels of early \
                 2023): 6.2 or newer is needed"
            ),
        }
    }
}

impl std::error::Error for Missing {}

/// What was found, and by which door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The door that opens.
    pub door: Door,
    /// All features that the kernel has, as `UFFD_FEATURE_*` bits.
    pub features: u64,
    /// Doors that were tried before and are closed.
    pub closed: Vec<(Door, Errno)>,
}

/// Looks for a way to a userfaultfd with what signal delivery needs: write-protection of shared memory, and
/// `SIGBUS` instead of events. The door with the least rights is tried first.
pub fn signal_delivery() -> Result<Found, Missing> {
    let page = rustix::param::page_size();
    if page != PAGE_SIZE {
        return Err(Missing::PageSize(page));
    }
    let mut closed = Vec::new();
    for door in [Door::SystemCallUserOnly, Door::SystemCall, Door::Device] {
        match uffd::features(door) {
            Err(errno) => closed.push((door, errno)),
            Ok(features) => {
                let lacking: Vec<_> = uffd::NEEDED
                    .iter()
                    .filter(|(_, bit)| features & bit == 0)
                    .map(|(name, _)| *name)
                    .collect();
                return if lacking.is_empty() && loses_notifications(&kernel_release()) {
                    Err(Missing::Unreliable(kernel_release()))
                } else if lacking.is_empty() {
                    Ok(Found { door, features, closed })
                } else {
                    Err(Missing::Features(lacking))
                };
            }
        }
    }
    Err(Missing::Closed(closed))
}

/// Kernels before 6.2 could drop write-protection of shared memory when a page was migrated or its mapping changed (fixed by
/// "mm/userfaultfd: enable writenotify while userfaultfd-wp is enabled for a VMA", January 2023, and in 6.1 stable soon
/// after). A release that cannot be read is taken for a new one.
fn loses_notifications(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().ok());
    let mut next = || numbers.next().flatten();
    match (next(), next(), next()) {
        (Some(major), Some(minor), patch) => {
            (major, minor) < (6, 1) || ((major, minor) == (6, 1) && patch.unwrap_or(0) < 10)
        }
        _ => false,
    }
}

fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_every_door_and_what_to_change() {
        let text =
            Missing::Closed(vec![(Door::SystemCall, Errno::PERM), (Door::Device, Errno::ACCESS)]).to_string();
        assert!(text.contains("/dev/userfaultfd") && text.contains("seccomp"), "{text}");
    }

    #[test]
    fn kernels_that_lose_notifications_are_known() {
        for release in ["5.19.0", "6.0.12-generic", "6.1.0", "6.1.9"] {
            assert!(loses_notifications(release), "{release}");
        }
        for release in ["6.1.140", "6.2.0-rc4", "6.18.44-fc", "7.0", "unknown"] {
            assert!(!loses_notifications(release), "{release}");
        }
    }

    #[test]
    fn the_probe_finds_a_door_or_says_why_not() {
        match signal_delivery() {
            Ok(found) => assert!(uffd::NEEDED.iter().all(|(_, bit)| found.features & bit != 0)),
            Err(missing) => assert!(!missing.to_string().is_empty()),
        }
    }
}
