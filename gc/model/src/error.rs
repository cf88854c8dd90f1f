//! The errors of tables, of which there are none here.

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Runtime(#[from] palimpsest_runtime::Error),
}
