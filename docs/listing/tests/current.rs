//! What is checked in is what would be made now.

use palimpsest_listing::{COMMAND, difference, make, repository};

#[test]
fn listings_and_guide_are_current() {
    let root = repository();
    let mut differences = String::new();
    for made in make(&root).unwrap_or_else(|error| panic!("{error}")) {
        let name = made.path.display().to_string();
        // One that is not there is empty, and differs.
        let there = std::fs::read_to_string(root.join(&made.path)).unwrap_or_default();
        differences.extend(difference(&there, &made.text, &name));
    }
    assert!(
        differences.is_empty(),
        "{differences}\nIf this change is meant, make the files anew, and look at what has changed:\n\n    {COMMAND}\n"
    );
}
