//! The words of the language, as the scanner hands them to the compiler.

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TokenKind {
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    Comma,
    Dot,
    Minus,
    Plus,
    Semicolon,
    Slash,
    Star,
    Bang,
    BangEqual,
    Equal,
    EqualEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Identifier,
    String,
    Number,
    And,
    Class,
    Else,
    False,
    For,
    Fun,
    If,
    Nil,
    Or,
    Print,
    Return,
    Super,
    This,
    True,
    Var,
    While,
    /// Something that is no token; the lexeme is the message.
    Error,
    /// The end of the source, again and again.
    End,
}

/// A token: its kind, its text in the source, and the line on which that text ends.
#[derive(Clone, Copy, Debug)]
pub struct Token<'s> {
    pub kind: TokenKind,
    pub lexeme: &'s str,
    pub line: u32,
}

/// The keyword that `word` is, or `Identifier`.
pub fn keyword_or_identifier(word: &[u8]) -> TokenKind {
    match word {
        b"and" => TokenKind::And,
        b"class" => TokenKind::Class,
        b"else" => TokenKind::Else,
        b"false" => TokenKind::False,
        b"for" => TokenKind::For,
        b"fun" => TokenKind::Fun,
        b"if" => TokenKind::If,
        b"nil" => TokenKind::Nil,
        b"or" => TokenKind::Or,
        b"print" => TokenKind::Print,
        b"return" => TokenKind::Return,
        b"super" => TokenKind::Super,
        b"this" => TokenKind::This,
        b"true" => TokenKind::True,
        b"var" => TokenKind::Var,
        b"while" => TokenKind::While,
        _ => TokenKind::Identifier,
    }
}
