//! The interactive session: one entry after the other in the same interpreter.
//!
//! An entry goes on over several lines while a bracket or a string is open. Ctrl-C throws the entry away, Ctrl-D ends
//! the session. Errors are shown, and the session goes on. The history is kept in a file where that is possible.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Editor, Helper};

use crate::cli::{complain, report};
use crate::scanner::Scanner;
use crate::token::TokenKind;
use crate::vm::Vm;

/// Runs a session until its end. Returns the exit code.
pub fn run(vm: &mut Vm) -> u8 {
    let config = Config::builder().auto_add_history(true).build();
    let mut editor = match Editor::<Brackets, FileHistory>::with_config(config) {
        Ok(editor) => editor,
        Err(error) => {
            complain(format_args!("lox: cannot use the terminal: {error}\n"));
            return 74;
        }
    };
    editor.set_helper(Some(Brackets));
    let history = history_file();
    if let Some(file) = &history {
        // The first session has no history to load.
        let _ = editor.load_history(file);
    }
    // Nobody misses a greeting that cannot be written.
    let _ =
        writeln!(io::stdout(), "Lox {} on Palimpsest. Ctrl-D ends the session.", env!("CARGO_PKG_VERSION"));
    let code = loop {
        match vm.blocking(|| editor.readline("> ")) {
            Ok(entry) => {
                if let Err(error) = vm.run_entry(&entry) {
                    report(&error);
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break 0,
            Err(error) => {
                complain(format_args!("lox: cannot read from the terminal: {error}\n"));
                break 74;
            }
        }
    };
    if let Some(file) = &history {
        // A history that cannot be written is not worth a complaint.
        let _ = editor.save_history(file);
    }
    code
}

/// Where the history goes: the user's directory for state, after the XDG base directory specification.
fn history_file() -> Option<PathBuf> {
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let folder = state.join("palimpsest-lox");
    fs::create_dir_all(&folder).ok()?;
    Some(folder.join("history"))
}

/// Tells the line editor when an entry is complete.
struct Brackets;

impl Completer for Brackets {
    type Candidate = String;
}
impl Highlighter for Brackets {}
impl Hinter for Brackets {
    type Hint = String;
}
impl Helper for Brackets {}

impl Validator for Brackets {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let complete = is_complete(context.input());
        Ok(if complete { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

/// Whether no bracket and no string is open at the end.
fn is_complete(entry: &str) -> bool {
    let mut scanner = Scanner::new(entry);
    let mut open = 0i64;
    loop {
        let token = scanner.next_token();
        match token.kind {
            TokenKind::LeftParen | TokenKind::LeftBrace => open += 1,
            TokenKind::RightParen | TokenKind::RightBrace => open -= 1,
            TokenKind::Error if token.lexeme.starts_with("Unterminated") => return false,
            TokenKind::End => return open <= 0,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_complete;

    #[test]
    fn entries_go_on_while_something_is_open() {
        for open in ["fun f() {", "print (1 +", "print \"a", "class A { m() {}", "{ // }"] {
            assert!(!is_complete(open), "{open}");
        }
        for complete in ["", "print 1;", "fun f() {}", "}", "print \"{\";", "1 +", "@"] {
            assert!(is_complete(complete), "{complete}");
        }
    }
}
