//! Errors that carry what was tried, on which memory, what the kernel said, and what the reader can do.

use crate::sys::Errno;
use crate::unit::Bytes;

/// What can go wrong below the collector.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed.
    #[error("{operation} failed: {errno}{}{advice}", if advice.is_empty() { "" } else { "; " })]
    System {
        /// What was being done, with its operands.
        operation: String,
        /// What the kernel answered.
        errno: Errno,
        /// What the user can change, or nothing.
        advice: &'static str,
    },
    /// A limit of the process is lower than what the heap needs.
    #[error("the heap needs {needed}, but {limit} allows {allowed}; raise it or choose a smaller heap limit")]
    Limit {
        /// The limit's name, as `ulimit` or `sysctl` know it.
        limit: &'static str,
        /// What the limit allows.
        allowed: Bytes,
        /// What was asked for.
        needed: Bytes,
    },
    /// This kernel lacks what the barrier needs.
    #[error("no write barrier here: {0}")]
    NoBarrier(#[from] crate::probe::Missing),
    /// As many heaps as the process may have exist already.
    #[error(
        "{0} heaps with a barrier exist in this process already; drop one, or use stop-the-world marking"
    )]
    TooManyHeaps(usize),
    /// The calling thread is attached already.
    #[error("this thread is attached to this heap already; use the mutator it has")]
    AlreadyAttached,
    /// The calling thread cannot take the barrier's signal.
    #[error(
        "this thread blocks SIGBUS, by which the write barrier works, and would be killed by its first write; \
         unblock it (pthread_sigmask) before attaching"
    )]
    SignalBlocked,
}

impl Error {
    /// An error of a system call that needs no advice.
    pub(crate) fn system(operation: impl Into<String>, errno: Errno) -> Self {
        Self::System { operation: operation.into(), errno, advice: "" }
    }

    /// An error of a system call together with what the user can change.
    pub(crate) fn advise(operation: impl Into<String>, errno: Errno, advice: &'static str) -> Self {
        Self::System { operation: operation.into(), errno, advice }
    }
}
