//! What can go wrong, for the embedder.

use crate::kind::Kind;
use crate::options::OptionError;
use palimpsest_runtime::Bytes;

/// Why a heap could not be made or used as asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel or a limit refused something.
    #[error(transparent)]
    Runtime(#[from] palimpsest_runtime::Error),
    /// More layouts without a header than the metadata can name.
    #[error(
        "a heap can have {} layouts without a header; give further types a header word (Kind::HEADED)",
        Kind::LAYOUTS
    )]
    TooManyLayouts,
    /// An option is unknown, or does not take its value.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The host's allocator has no memory for something of the collector's own.
    #[error("no memory for {0}: the process or the machine has run out of it")]
    NoMemory(&'static str),
    /// More weak references than can be numbered.
    #[error("a heap can have four thousand million weak references")]
    TooManyWeakRefs,
    /// The calling thread is a collector's, in a listener: it would wait for itself.
    #[error("the collector's own thread, on which listeners are called, cannot attach")]
    CollectorThread,
    /// The collector's thread could not be started.
    #[error("starting the collector thread failed: {0}")]
    Thread(String),
}

/// There is no room for an object under the heap limit, even after a collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("out of memory: no room for {requested} in a heap of {limit} with {used} in use after a collection")]
pub struct OutOfMemory {
    /// The object that was asked for.
    pub requested: Bytes,
    /// Memory of the heap in use.
    pub used: Bytes,
    /// The heap limit.
    pub limit: Bytes,
}
