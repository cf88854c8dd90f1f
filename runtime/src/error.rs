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
    /// The host's allocator has no memory for this. Nothing is allocated to say so.
    #[error("no memory for {0}: the process or the machine has run out of it")]
    NoMemory(&'static str),
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
    /// This machine lacks what a rung of the ladder needs.
    #[error(transparent)]
    Missing(#[from] crate::ladder::Missing),
    /// The rung that was asked for cannot be had.
    #[error(transparent)]
    Refused(#[from] Box<crate::ladder::Refused>),
    /// The name of a rung that does not exist.
    #[error("{0}")]
    NoSuchRung(String),
    /// A delivery that learns of writes only afterwards was to keep a snapshot.
    #[error(
        "the async delivery learns of writes only afterwards and cannot keep a pre-image; \
         choose signal, monitor or protect, or the snapshot forkcow or stw"
    )]
    NotSynchronous,
    /// More pages are held open for system calls than the pool has room for.
    #[error(
        "more pages are held open for system calls than pre-images can be stored; hold them for a shorter time or \
         raise the pre-image limit"
    )]
    PinnedTooMuch,
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
        "this thread blocks {0}, by which the write barrier works, and would be killed by its first write; \
         unblock it (pthread_sigmask) before attaching, or choose the monitor delivery, which needs no signal"
    )]
    SignalBlocked(crate::sys::signal::Fault),
    /// The process that made the heap has forked, and this is the child.
    #[error(
        "this process is a fork of the one that made the heap, and has no heap: call exec, or make a heap of its own"
    )]
    NoHeapInChild,
}

impl Error {
    /// An error of a system call that needs no advice.
    pub fn denied(operation: impl Into<String>, errno: Errno) -> Self {
        Self::System { operation: operation.into(), errno, advice: "" }
    }

    /// An error of a system call together with what the user can change.
    pub(crate) fn advise(operation: impl Into<String>, errno: Errno, advice: &'static str) -> Self {
        Self::System { operation: operation.into(), errno, advice }
    }
}
