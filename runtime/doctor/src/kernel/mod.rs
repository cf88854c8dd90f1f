//! The crate's one room for the operating system: each call with a typed result, and nothing else.
//!
//! The calls are made here directly and not through `palimpsest-runtime`, because they are the thing under
//! question: what the runtime would paper over (a retry, a fallback, another way of opening) must stay visible.
//!
//! Most of this runs in a process that exists for one question and ends with it. So mappings are never unmapped,
//! and handlers never taken away.

pub mod memory;
pub mod pagemap;
pub mod process;
pub mod ring;
pub mod seccomp;
pub mod signals;
pub mod uffd;

use std::fmt;

/// The kernel's reason for refusing a call.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

impl Errno {
    /// The reason the last call of this thread was refused for.
    pub fn last() -> Self {
        Self(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            libc::EACCES => "EACCES",
            libc::EAGAIN => "EAGAIN",
            libc::EBADF => "EBADF",
            libc::EBUSY => "EBUSY",
            libc::EEXIST => "EEXIST",
            libc::EFAULT => "EFAULT",
            libc::EINTR => "EINTR",
            libc::EINVAL => "EINVAL",
            libc::EIO => "EIO",
            libc::ENODEV => "ENODEV",
            libc::ENOENT => "ENOENT",
            libc::ENOMEM => "ENOMEM",
            libc::ENOSYS => "ENOSYS",
            libc::ENOTTY => "ENOTTY",
            libc::EOPNOTSUPP => "EOPNOTSUPP",
            libc::EPERM => "EPERM",
            libc::ESRCH => "ESRCH",
            libc::ETIME => "ETIME",
            other => return write!(f, "errno {other}"),
        })
    }
}

/// What a call gave, or why not.
pub type Answer<T> = Result<T, Errno>;

/// Turns what the C library returns into an [`Answer`].
pub(crate) fn check(result: impl Into<i64>) -> Answer<u64> {
    match result.into() {
        -1 => Err(Errno::last()),
        value => Ok(value.cast_unsigned()),
    }
}

/// The text `ok`, or the reason: for what is observed of a call.
pub fn outcome<T>(answer: &Answer<T>) -> String {
    match answer {
        Ok(_) => "ok".into(),
        Err(errno) => errno.to_string(),
    }
}
