//! Compile errors, in the form that the language's test programs expect:
//!
//! ```text
//! [line 3] Error at 'x': Message.
//! [line 9] Error at end: Message.
//! [line 2] Error: Message.            what the scanner could not read
//! ```
//!
//! After an error the compiler is *panicking*: it says nothing more until it has found the beginning of a statement
//! again, since what it would say is most likely a consequence.

use std::fmt::Write as _;

use crate::token::{Token, TokenKind};

/// After this many errors compilation stops.
const MOST_ERRORS: usize = 100;

/// A token longer than this is not quoted in full.
const LONGEST_QUOTE: usize = 500;

/// Collects compile errors.
#[derive(Default)]
pub struct Diagnostics {
    text: String,
    count: usize,
    /// Whether errors are being suppressed.
    pub panicking: bool,
}

impl Diagnostics {
    /// Reports `message` at `token`. Returns whether compilation should go on.
    pub fn report(&mut self, token: Token<'_>, message: &str) -> bool {
        if self.panicking {
            return true;
        }
        self.panicking = true;
        self.count += 1;
        let place = match token.kind {
            TokenKind::End => " at end".to_owned(),
            TokenKind::Error => String::new(),
            _ => format!(" at '{}'", quoted(token.lexeme)),
        };
        writeln!(self.text, "[line {}] Error{place}: {message}", token.line)
            .expect("a string takes everything");
        if self.count == MOST_ERRORS {
            self.text.push_str("Too many errors.\n");
        }
        self.count < MOST_ERRORS
    }

    /// All errors, one a line, if there were any.
    pub fn into_errors(self) -> Option<String> {
        (self.count > 0).then_some(self.text)
    }
}

fn quoted(lexeme: &str) -> String {
    match lexeme.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => format!("{}...", &lexeme[..end]),
        None => lexeme.to_owned(),
    }
}

/// Checks that a source is UTF-8; if not, says so like a compile error on the line of the first bad byte.
pub fn text_of(source: Vec<u8>) -> Result<String, String> {
    String::from_utf8(source).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        format!("[line {line}] Error: The source is not valid UTF-8.\n")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(kind: TokenKind, lexeme: &str) -> Token<'_> {
        Token { kind, lexeme, line: 7 }
    }

    #[test]
    fn errors_name_line_and_token() {
        let mut diagnostics = Diagnostics::default();
        for token in
            [token(TokenKind::Var, "var"), token(TokenKind::End, ""), token(TokenKind::Error, "Odd.")]
        {
            diagnostics.panicking = false;
            assert!(diagnostics.report(token, "Message."));
            assert!(diagnostics.report(token, "Suppressed."));
        }
        assert_eq!(
            diagnostics.into_errors().unwrap(),
            "[line 7] Error at 'var': Message.\n[line 7] Error at end: Message.\n[line 7] Error: Message.\n"
        );
    }

    #[test]
    fn long_tokens_are_cut_between_characters() {
        let long = "é".repeat(10_000);
        let mut diagnostics = Diagnostics::default();
        diagnostics.report(token(TokenKind::Identifier, &long), "Message.");
        assert!(diagnostics.into_errors().unwrap().len() < 2 * LONGEST_QUOTE + 100);
    }

    #[test]
    fn bad_utf8_is_reported_with_its_line() {
        assert_eq!(text_of(b"a\nb".to_vec()).unwrap(), "a\nb");
        let error = text_of(b"print 1;\nprint \"\xff\";".to_vec()).unwrap_err();
        assert_eq!(error, "[line 2] Error: The source is not valid UTF-8.\n");
    }
}
