//! What is wrong with the sources, or with what this program can read of them.

use std::path::PathBuf;

/// Why there is no listing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{}: {why}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {why}", file.display())]
    Parse {
        /// The file.
        file: PathBuf,
        /// What the parser says.
        why: String,
    },
    /// A module has no file.
    #[error("{file}: no file for `mod {module}`", file = file.display())]
    NoFile {
        /// Where the module is declared.
        file: PathBuf,
        /// Its name.
        module: String,
    },
    /// A path leads nowhere that is known.
    #[error("{module}: `{path}` leads to nothing that can be found in the sources")]
    Unresolved {
        /// Where the path stands.
        module: String,
        /// The path.
        path: String,
    },
    /// Something that the listing has no form for. To skip it would make the listing a lie.
    #[error("{module}: {what} cannot be listed")]
    Unlisted {
        /// Where it is.
        module: String,
        /// What it is.
        what: String,
    },
    /// The guide and the examples do not fit together.
    #[error("{place}: {why}")]
    Piece {
        /// File and line.
        place: String,
        /// What is wrong.
        why: String,
    },
}

impl Error {
    pub(crate) fn read(file: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let file = file.to_path_buf();
        |why| Self::Read { file, why }
    }

    pub(crate) fn parse(file: &std::path::Path, why: impl ToString) -> Self {
        Self::Parse { file: file.to_path_buf(), why: why.to_string() }
    }
}
