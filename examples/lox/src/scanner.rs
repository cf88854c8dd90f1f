//! From source text to tokens, one at a time and without copying: a token's text is a slice of the source.
//!
//! The scanner never fails and never stops. What it cannot read becomes an `Error` token whose text is the message,
//! and after the last character it returns `End` for ever. It works on bytes: every character that means something
//! to Lox is ASCII, and since no byte of a longer UTF-8 sequence is ASCII, slices always fall on character
//! boundaries.

use crate::token::{Token, TokenKind, keyword_or_identifier};

/// Reads tokens from a source.
pub struct Scanner<'s> {
    source: &'s str,
    /// Where the token that is being read begins.
    start: usize,
    /// The next byte to read.
    at: usize,
    line: u32,
}

impl<'s> Scanner<'s> {
    /// A scanner at the beginning of `source`.
    pub fn new(source: &'s str) -> Scanner<'s> {
        Scanner { source, start: 0, at: 0, line: 1 }
    }

    /// The next token.
    pub fn next_token(&mut self) -> Token<'s> {
        self.skip_blanks();
        self.start = self.at;
        let Some(byte) = self.advance() else {
            return self.token(TokenKind::End);
        };
        let kind = match byte {
            b'(' => TokenKind::LeftParen,
            b')' => TokenKind::RightParen,
            b'{' => TokenKind::LeftBrace,
            b'}' => TokenKind::RightBrace,
            b';' => TokenKind::Semicolon,
            b',' => TokenKind::Comma,
            b'.' => TokenKind::Dot,
            b'-' => TokenKind::Minus,
            b'+' => TokenKind::Plus,
            b'/' => TokenKind::Slash,
            b'*' => TokenKind::Star,
            b'!' => self.with_equal(TokenKind::BangEqual, TokenKind::Bang),
            b'=' => self.with_equal(TokenKind::EqualEqual, TokenKind::Equal),
            b'<' => self.with_equal(TokenKind::LessEqual, TokenKind::Less),
            b'>' => self.with_equal(TokenKind::GreaterEqual, TokenKind::Greater),
            b'"' => return self.string(),
            b'0'..=b'9' => self.number(),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                self.skip_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                keyword_or_identifier(&self.source.as_bytes()[self.start..self.at])
            }
            _ => {
                // A character beyond ASCII is one error, not one a byte.
                self.skip_while(|byte| byte & 0xc0 == 0x80);
                return self.error("Unexpected character.");
            }
        };
        self.token(kind)
    }

    fn peek(&self) -> Option<u8> {
        self.source.as_bytes().get(self.at).copied()
    }

    fn advance(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
    }

    fn skip_blanks(&mut self) {
        loop {
            match self.peek() {
                Some(b'\n') => self.line += 1,
                Some(b' ' | b'\t' | b'\r') => {}
                Some(b'/') if self.source.as_bytes().get(self.at + 1) == Some(&b'/') => {
                    self.skip_while(|byte| byte != b'\n');
                    continue;
                }
                _ => return,
            }
            self.at += 1;
        }
    }

    fn with_equal(&mut self, with: TokenKind, without: TokenKind) -> TokenKind {
        if self.peek() == Some(b'=') {
            self.at += 1;
            with
        } else {
            without
        }
    }

    fn number(&mut self) -> TokenKind {
        self.skip_while(|byte| byte.is_ascii_digit());
        let fraction_follows = self.source.as_bytes().get(self.at + 1).is_some_and(u8::is_ascii_digit);
        if self.peek() == Some(b'.') && fraction_follows {
            self.at += 1;
            self.skip_while(|byte| byte.is_ascii_digit());
        }
        TokenKind::Number
    }

    fn string(&mut self) -> Token<'s> {
        loop {
            match self.advance() {
                None => return self.error("Unterminated string."),
                Some(b'"') => return self.token(TokenKind::String),
                Some(b'\n') => self.line += 1,
                Some(_) => {}
            }
        }
    }

    fn token(&self, kind: TokenKind) -> Token<'s> {
        Token { kind, lexeme: &self.source[self.start..self.at], line: self.line }
    }

    fn error(&self, message: &'static str) -> Token<'s> {
        Token { kind: TokenKind::Error, lexeme: message, line: self.line }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(source: &str) -> Vec<(TokenKind, &str, u32)> {
        let mut scanner = Scanner::new(source);
        let mut tokens = Vec::new();
        loop {
            let token = scanner.next_token();
            if token.kind == TokenKind::End {
                return tokens;
            }
            tokens.push((token.kind, token.lexeme, token.line));
        }
    }

    #[test]
    fn operators_take_the_longest_match() {
        let kinds: Vec<TokenKind> =
            scan("! != = == === < <= > >=").into_iter().map(|token| token.0).collect();
        use TokenKind::*;
        assert_eq!(
            kinds,
            [Bang, BangEqual, Equal, EqualEqual, EqualEqual, Equal, Less, LessEqual, Greater, GreaterEqual]
        );
    }

    #[test]
    fn a_dot_belongs_to_a_number_only_between_digits() {
        use TokenKind::*;
        assert_eq!(scan("1.5"), [(Number, "1.5", 1)]);
        assert_eq!(scan("1."), [(Number, "1", 1), (Dot, ".", 1)]);
        assert_eq!(scan(".5"), [(Dot, ".", 1), (Number, "5", 1)]);
        assert_eq!(scan("1.a"), [(Number, "1", 1), (Dot, ".", 1), (Identifier, "a", 1)]);
    }

    #[test]
    fn keywords_are_whole_words() {
        assert_eq!(scan("or")[0].0, TokenKind::Or);
        assert_eq!(scan("orchid")[0].0, TokenKind::Identifier);
        assert_eq!(scan("_or")[0].0, TokenKind::Identifier);
    }

    #[test]
    fn lines_are_counted_in_strings_and_comments() {
        assert_eq!(
            scan("// one\n\"a\nb\" x"),
            [(TokenKind::String, "\"a\nb\"", 3), (TokenKind::Identifier, "x", 3)]
        );
    }

    #[test]
    fn what_is_no_token_is_one_error_each() {
        assert_eq!(scan("\"open"), [(TokenKind::Error, "Unterminated string.", 1)]);
        assert_eq!(scan("é\0").len(), 2);
        assert_eq!(scan("é"), [(TokenKind::Error, "Unexpected character.", 1)]);
    }

    #[test]
    fn the_end_repeats() {
        let mut scanner = Scanner::new(" ");
        assert_eq!(scanner.next_token().kind, TokenKind::End);
        assert_eq!(scanner.next_token().kind, TokenKind::End);
    }
}
