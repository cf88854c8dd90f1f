//! Mistakes on purpose in the whole collector, to see which tests notice them. No build has this but with
//! `--cfg palimpsest_mutations`, which `.ci/mutants` uses.
//!
//! A mistake is what the code has at `mutation!("name")`, and `PALIMPSEST_MUTATION` says which is made: one, in all of the process and
//! in its workers. The models of `runtime/model` and `gc/model` choose among the same names by themselves.

use std::sync::OnceLock;

/// The variable that names the mistake.
pub const VARIABLE: &str = "PALIMPSEST_MUTATION";

/// Whether the mistake of this name is to be made.
///
/// Signal handlers and workers ask too. They don't read the environment: nobody traps before a page was armed, nor forks before the
/// world was stopped, and the collector's thread asks at both.
pub fn is_made(name: &str) -> bool {
    static MADE: OnceLock<Option<String>> = OnceLock::new();
    MADE.get_or_init(|| std::env::var(VARIABLE).ok()).as_deref() == Some(name)
}
