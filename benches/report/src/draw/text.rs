//! How wide a text is likely to be.
//!
//! Who looks at the picture has other fonts than who drew it, so widths are those of a wide one (DejaVu Sans and Verdana are about
//! as wide as the sans-serif of any system gets): what has room by this measure has room everywhere.

/// What stands for the end of a text that was too long.
const ELLIPSIS: char = '…';

/// The sizes in which text is set.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Letter {
    /// The name of the picture.
    Title,
    /// The name of a panel, and of our own collector.
    Head,
    /// Everything else.
    Plain,
    /// Ticks and figures.
    Small,
}

impl Letter {
    /// Its height in pixels.
    pub(crate) fn size(self) -> f64 {
        match self {
            Self::Title => 17.0,
            Self::Head => 13.0,
            Self::Plain => 12.5,
            Self::Small => 11.5,
        }
    }

    /// Whether it is bold.
    pub(crate) fn bold(self) -> bool {
        matches!(self, Self::Title | Self::Head)
    }

    /// The width of a text in it, in pixels.
    pub(crate) fn width(self, text: &str) -> f64 {
        let ems: f64 = text.chars().map(em).sum();
        ems * self.size() * if self.bold() { 1.12 } else { 1.0 }
    }

    /// The text, or as much of it as has room.
    pub(crate) fn fit(self, text: &str, room: f64) -> String {
        if self.width(text) <= room {
            return text.to_owned();
        }
        let mut short = text.to_owned();
        while short.pop().is_some() {
            let tried = format!("{}{ELLIPSIS}", short.trim_end());
            if self.width(&tried) <= room {
                return tried;
            }
        }
        String::new()
    }

    /// The text in lines that have room; a word that has none is cut.
    pub(crate) fn wrap(self, text: &str, room: f64) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = String::new();
        for word in text.split_whitespace() {
            let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
            if self.width(&longer) <= room {
                line = longer;
            } else {
                if !line.is_empty() {
                    lines.push(line);
                }
                line = self.fit(word, room);
            }
        }
        if !line.is_empty() {
            lines.push(line);
        }
        lines
    }
}

/// The width of a character in parts of the font's size.
fn em(letter: char) -> f64 {
    match letter {
        'i' | 'j' | 'l' | '\'' | '|' | 'I' => 0.30,
        ' ' | '.' | ',' | ':' | ';' | '/' | '·' => 0.34,
        'f' | 't' | 'r' | '(' | ')' | '[' | ']' | '-' | '!' | '"' => 0.42,
        'm' | 'w' | 'M' | 'W' | '@' | '%' | '…' => 0.97,
        'A'..='Z' | '&' | '<' | '>' | '=' | '+' | '×' | '~' => 0.78,
        letter if letter.is_ascii() => 0.63,
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_cut_and_says_so() {
        assert_eq!(Letter::Plain.fit("malloc", 200.0), "malloc");
        let cut = Letter::Plain.fit("a collector with a very long name", 100.0);
        assert!(cut.ends_with(ELLIPSIS) && Letter::Plain.width(&cut) <= 100.0, "{cut}");
        assert_eq!(Letter::Plain.fit("malloc", 1.0), "");
    }

    #[test]
    fn lines_have_room_and_lose_no_word() {
        let text = "a few words that do not have room in one line";
        let lines = Letter::Small.wrap(text, 90.0);
        assert!(lines.len() > 2 && lines.iter().all(|line| Letter::Small.width(line) <= 90.0), "{lines:?}");
        assert_eq!(lines.join(" "), text);
    }
}
