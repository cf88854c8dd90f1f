//! The guide's code, which is pieces of the example programs.
//!
//! A piece of a source file lies between the comments `// guide: name` and `// end guide`. The guide has, above each block of code, a
//! comment that says which piece the block is: `<!-- examples/c/list_machine.c: name -->`. What the block holds is then the piece, moved
//! to the left as a whole.

use crate::error::Error;
use std::path::Path;

/// The guide with the pieces as they are now in the sources below `root`.
pub(crate) fn filled_in(guide: &str, name: &str, root: &Path) -> Result<String, Error> {
    let mut lines = Vec::new();
    let mut source = guide.lines().enumerate();
    while let Some((number, line)) = source.next() {
        lines.push(line.to_string());
        let wrong = |why: String| Error::Piece { place: format!("{name}:{}", number + 1), why };
        if line.starts_with("```") {
            return Err(wrong("a block of code that no comment says the origin of".into()));
        }
        if line.starts_with("<!-- text -->") || reference(line).is_some() {
            let (_, fence) = source
                .next()
                .filter(|(_, line)| line.starts_with("```"))
                .ok_or_else(|| wrong("the comment stands directly above a block of code".into()))?;
            lines.push(fence.to_string());
            let old: Vec<_> =
                source.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            match reference(line) {
                Some((file, piece)) => lines.extend(self::piece(root, file, piece)?),
                None => lines.extend(old.into_iter().map(String::from)),
            }
            lines.push("```".into());
        }
    }
    Ok(lines.join("\n") + "\n")
}

/// File and name in a comment above a block.
fn reference(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("<!-- ")?.strip_suffix(" -->")?.split_once(": ")
}

fn piece(root: &Path, file: &str, name: &str) -> Result<Vec<String>, Error> {
    let path = root.join(file);
    let source = std::fs::read_to_string(&path).map_err(Error::read(&path))?;
    let wrong = |why: &str| Error::Piece { place: file.to_string(), why: why.to_string() };
    let mark = format!("// guide: {name}");
    let places: Vec<_> = source.lines().enumerate().filter(|(_, line)| line.trim() == mark).collect();
    let [(first, _)] = places[..] else {
        return Err(wrong(&format!("`{mark}` stands there {} times, not once", places.len())));
    };
    let lines: Vec<_> =
        source.lines().skip(first + 1).take_while(|line| line.trim() != "// end guide").collect();
    if first + 1 + lines.len() == source.lines().count() {
        return Err(wrong(&format!("`{mark}` without `// end guide`")));
    }
    if lines.iter().any(|line| line.trim().starts_with("// guide: ")) {
        return Err(wrong(&format!("a piece begins within `{mark}`")));
    }
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let least = lines.iter().filter(|line| !line.trim().is_empty()).map(indent).min().unwrap_or(0);
    Ok(lines.iter().map(|line| line.get(least..).unwrap_or_default().to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pieces")
    }

    #[test]
    fn a_block_becomes_the_piece() {
        let guide = "# Title\n\n<!-- source.c: loop -->\n```c\nold\n```\nText.\n";
        let expected = "# Title\n\n<!-- source.c: loop -->\n```c\nfor (;;)\n    poll();\n```\nText.\n";
        assert_eq!(filled_in(guide, "guide", &root()).expect("a guide"), expected);
    }

    #[test]
    fn text_stays() {
        let guide = "<!-- text -->\n```sh\nmake\n```\n";
        assert_eq!(filled_in(guide, "guide", &root()).expect("a guide"), guide);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        for (guide, why) in [
            ("```c\n```\n", "guide:1: a block of code that no comment says the origin of"),
            ("<!-- source.c: loop -->\ntext\n", "guide:1: the comment stands directly above a block of code"),
            (
                "<!-- source.c: none -->\n```c\n```\n",
                "source.c: `// guide: none` stands there 0 times, not once",
            ),
            (
                "<!-- source.c: twice -->\n```c\n```\n",
                "source.c: `// guide: twice` stands there 2 times, not once",
            ),
            ("<!-- source.c: open -->\n```c\n```\n", "source.c: `// guide: open` without `// end guide`"),
        ] {
            assert_eq!(filled_in(guide, "guide", &root()).expect_err(guide).to_string(), why);
        }
    }
}
