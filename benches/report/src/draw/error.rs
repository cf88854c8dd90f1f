//! What may go wrong in drawing.

/// A picture that would have been wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A coordinate came out as no number: a mistake in the drawing, which takes no value that is none.
    #[error("{picture}: a coordinate is not a number: {what}")]
    NotANumber {
        /// The picture.
        picture: String,
        /// What was to be drawn there.
        what: String,
    },
}
