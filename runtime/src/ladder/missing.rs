//! What a machine lacks for a rung, and what to change.

use crate::sys::Errno;
use crate::sys::uffd::{Door, Feature};
use crate::unit::PAGE_SIZE;
use std::fmt;

/// Why a rung cannot be had on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// The kernel's pages are not the size this was built for.
    PageSize(usize),
    /// This way to a userfaultfd is closed; with the kernel's answer.
    Closed(Door, Errno),
    /// A userfaultfd can be had, but without these features.
    Features(Vec<Feature>),
    /// This kernel can lose the notification of a write to shared memory.
    Unreliable(String),
    /// The page tables cannot be scanned for written pages.
    Scan(Errno),
    /// Memory files cannot be made.
    MemoryFile(Errno),
    /// Workers cannot be forked and waited for, and never will be.
    Fork(Errno),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::PageSize(size) => {
                write!(f, "the kernel's pages are {size} bytes, and only {PAGE_SIZE} is supported")
            }
            Missing::Closed(door, errno) => {
                write!(f, "{door} answers {errno}: {}", what_to_change(*door, *errno))
            }
            Missing::Features(features) => {
                for (k, feature) in features.iter().enumerate() {
                    let Feature { name, since, .. } = feature;
                    write!(f, "{}the kernel lacks {name} (Linux {since})", if k > 0 { ", " } else { "" })?;
                }
                Ok(())
            }
            Missing::Unreliable(release) => write!(
                f,
                "Linux {release} can lose write-protection of shared memory: 6.2, or 6.1.8, or newer is needed"
            ),
            Missing::Scan(Errno::NOTTY | Errno::INVAL) => {
                f.write_str("the kernel lacks PAGEMAP_SCAN (Linux 6.7)")
            }
            Missing::Scan(errno) => {
                write!(f, "/proc/self/pagemap answers {errno}: mount /proc, or allow the ioctl (seccomp)")
            }
            Missing::Fork(errno) => write!(
                f,
                "forking a worker answers {errno}: this kernel, sandbox or emulator does not know clone with CLONE_PIDFD \
                 and waitid (Linux 5.4), or a seccomp profile denies them"
            ),
            Missing::MemoryFile(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => {
                write!(f, "memfd_create answers {errno}: {}", WANT)
            }
            Missing::MemoryFile(errno) => {
                write!(f, "memfd_create answers {errno}: allow it (seccomp; sysctl vm.memfd_noexec)")
            }
        }
    }
}

impl std::error::Error for Missing {}

/// For what is short, and not denied.
const WANT: &str = "raise the number of open files (RLIMIT_NOFILE, ulimit -n; fs.file-max), or free memory";

fn what_to_change(door: Door, errno: Errno) -> &'static str {
    match (door, errno) {
        (_, Errno::MFILE | Errno::NFILE | Errno::NOMEM) => WANT,
        (Door::Device, Errno::NOENT) => {
            "there is no such node (Linux 6.1 has it; a container needs --device /dev/userfaultfd)"
        }
        (_, Errno::NOSYS) => "the kernel was built without CONFIG_USERFAULTFD, or a sandbox does not know it",
        (Door::Device, _) => "give this user access to /dev/userfaultfd (a udev rule, chmod or an ACL)",
        (Door::SystemCallUserOnly, Errno::INVAL) => {
            "the kernel does not know UFFD_USER_MODE_ONLY (Linux 5.11)"
        }
        (Door::SystemCallUserOnly, _) => "a seccomp profile denies it: allow the userfaultfd system call",
        (Door::SystemCall, _) => {
            "set the sysctl vm.unprivileged_userfaultfd=1, give CAP_SYS_PTRACE, or allow the call in the seccomp profile"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_change() {
        for (missing, part) in [
            (Missing::Closed(Door::SystemCallUserOnly, Errno::PERM), "seccomp"),
            (Missing::Closed(Door::SystemCall, Errno::PERM), "vm.unprivileged_userfaultfd"),
            (Missing::Closed(Door::Device, Errno::ACCESS), "udev"),
            (Missing::Closed(Door::Device, Errno::NOENT), "--device"),
            (Missing::Features(vec![Feature::ASYNC, Feature::SHARED]), "UFFD_FEATURE_WP_ASYNC (Linux"),
            (Missing::Scan(Errno::NOTTY), "6.7"),
            (Missing::Unreliable("5.19.3".into()), "6.2"),
        ] {
            assert!(missing.to_string().contains(part), "{missing}");
        }
    }
}
