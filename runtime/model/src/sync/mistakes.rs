//! Mistakes that are made on purpose, one at a time, to see whether a model notices.

use std::sync::OnceLock;

static MADE: OnceLock<String> = OnceLock::new();

/// From now on the mistake of this name is made in this process.
pub fn make(name: String) {
    MADE.set(name).expect("one mistake a process");
}

/// Whether this mistake is made.
pub fn is_made(name: &str) -> bool {
    MADE.get().is_some_and(|made| made == name)
}
