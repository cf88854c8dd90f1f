//! A line of text without an allocation. Async-signal-safe.

use std::fmt::{self, Write};

/// Text of at most so many bytes; what does not fit is cut off.
pub(crate) struct Line {
    bytes: [u8; 512],
    len: usize,
}

impl Line {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; 512], len: 0 }
    }

    pub(crate) fn as_str(&self) -> &str {
        // Only whole characters are put in, so this does not fail.
        str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }

    /// The text with an end of the line, for which there is always room.
    pub(crate) fn finish(&mut self) -> &str {
        self.len = boundary(self.as_str(), self.bytes.len() - 1);
        self.bytes[self.len] = b'\n';
        self.len += 1;
        self.as_str()
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let fits = boundary(text, self.bytes.len() - self.len);
        self.bytes[self.len..self.len + fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.len += fits;
        if fits == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// How much of a text fits into so many bytes, in whole characters.
fn boundary(text: &str, room: usize) -> usize {
    let mut fits = text.len().min(room);
    while !text.is_char_boundary(fits) {
        fits -= 1;
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_takes_what_fits() {
        let mut line = Line::new();
        write!(line, "{:#x}..", 4096).unwrap();
        assert_eq!(line.as_str(), "0x1000..");
        assert!(line.write_str(&"é".repeat(600)).is_err());
        assert_eq!(line.as_str(), format!("0x1000..{}", "é".repeat(252)));
        let whole = line.finish();
        assert!(whole.ends_with("é\n") && whole.len() <= 512);
    }
}
