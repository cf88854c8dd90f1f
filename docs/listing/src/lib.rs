//! Keeps what the book and the listings say of the code as the code is.
//!
//! Two things are made from sources and checked in, so that a reader has them and a reviewer sees a change of them: a listing of the public interface of each
//! library, and the code blocks of the guide. A test fails when they are not what would be made now;
//! `cargo run -p palimpsest-listing` makes them anew.
//!
//! The listings are made from the text of the sources: the tools that ask the compiler need a nightly one.

mod error;
mod outline;
mod pieces;
mod render;
mod resolve;
mod source;
mod text;

pub use error::Error;

use similar::TextDiff;
use source::Sources;
use std::path::{Path, PathBuf};

/// Crates whose sources are looked into, by the names that code has for them, with their folders.
const SOURCES: &[(&str, &str)] = &[
    ("palimpsest_runtime", "runtime"),
    ("palimpsest", "gc"),
    ("palimpsest_derive", "gc/derive"),
    ("palimpsest_safe", "gc/safe"),
];

/// Those that are listed, and where. What one re-exports of another before it is listed there.
const LISTINGS: &[(&str, &str)] =
    &[("palimpsest", "docs/listing/palimpsest.txt"), ("palimpsest_safe", "docs/listing/palimpsest_safe.txt")];

/// Chapters whose code is pieces of programs.
const GUIDES: &[&str] = &["docs/src/guide.md"];

/// What makes files anew.
pub const COMMAND: &str = "cargo run -p palimpsest-listing";

/// A file that is made from sources.
#[derive(Debug)]
pub struct Made {
    /// Where it is, from the root of the repository.
    pub path: PathBuf,
    /// What it is to hold.
    pub text: String,
}

/// The root of the repository that this was built in.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All files that are made, as they would be made now.
///
/// # Errors
/// Where a source cannot be read, or holds something that has no place in a listing.
pub fn make(root: &Path) -> Result<Vec<Made>, Error> {
    let sources: Vec<_> = SOURCES.iter().map(|(name, folder)| (*name, root.join(folder))).collect();
    let names: Vec<_> = LISTINGS.iter().map(|(name, _)| *name).collect();
    let texts = listings(&sources, &names)?;
    let mut made: Vec<_> =
        LISTINGS.iter().zip(texts).map(|((_, path), text)| Made { path: path.into(), text }).collect();
    for guide in GUIDES {
        let path = root.join(guide);
        let text = std::fs::read_to_string(&path).map_err(Error::read(&path))?;
        made.push(Made { path: guide.into(), text: pieces::filled_in(&text, guide, root)? });
    }
    Ok(made)
}

/// The listings of some crates, in order, of those whose sources are at hand.
///
/// # Errors
/// As [`make`].
pub fn listings(crates: &[(&str, PathBuf)], listed: &[&str]) -> Result<Vec<String>, Error> {
    let mut sources = Sources::default();
    for (name, folder) in crates {
        sources.add(name, folder)?;
    }
    let mut places = outline::Listed::new();
    listed.iter().map(|name| outline::listing(&sources, name, &mut places)).collect()
}

/// How what there is differs from what there should be, as a patch; nothing if it does not.
pub fn difference(there: &str, made: &str, name: &str) -> Option<String> {
    let difference = TextDiff::from_lines(there, made);
    (there != made).then(|| difference.unified_diff().header(name, "as it would be made now").to_string())
}
