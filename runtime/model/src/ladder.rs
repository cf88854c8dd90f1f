//! The errors of the ladder, of which there is none here.

#[derive(Debug, Clone, thiserror::Error)]
#[error("missing")]
pub struct Missing;

#[derive(Debug, Clone, thiserror::Error)]
#[error("refused")]
pub struct Refused;
