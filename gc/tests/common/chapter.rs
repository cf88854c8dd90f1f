//! Tables of the book that are what the tests check.

use std::path::Path;

/// With this in the environment tables are written, and not compared.
const WRITE: &str = "PALIMPSEST_WRITE_DOCS";

/// Holds a chapter of the book to the table that this test file, `by`, has. Returns the chapter.
pub fn has_table(chapter: &str, by: &str, table: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src").join(chapter);
    let text = std::fs::read_to_string(&path).expect("the chapter");
    let marker = format!("<!-- begin: written by {by} -->\n");
    let begin = text.find(&marker).expect("the table's beginning") + marker.len();
    let end = begin + text[begin..].find("<!-- end -->\n").expect("the table's end");
    let new = format!("{}\n{table}\n{}", &text[..begin], &text[end..]);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &new).expect("the chapter can be written");
        return new;
    }
    let differs = text.lines().zip(new.lines()).find(|(old, new)| old != new);
    assert!(text == new, "{chapter} is not current, first at {differs:?}; write it with {WRITE}=1");
    text
}
