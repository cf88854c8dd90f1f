//! Why an arena could not be made.

use palimpsest::OutOfMemory;

/// Why an arena could not be made or used as asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The heap could not be made.
    #[error(transparent)]
    Heap(#[from] palimpsest::Error),
    /// The heap has no room for the root.
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
}
