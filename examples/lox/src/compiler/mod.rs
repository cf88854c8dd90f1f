//! From source to bytecode in one pass: the parser calls the emitter, and there is no syntax tree.
//!
//! * `scope`: one function under construction: its locals, captures and code.
//! * `emit`: instructions, constants and jumps.
//! * `expression`: a Pratt parser.
//! * `statement`, `class`: recursive descent.
//!
//! **What is alive while compiling.** Each function under construction is already an object in the heap, pushed on the
//! temporary roots when its compilation begins, and its constants are collected in it. So whatever a
//! function refers to is reachable from the first moment, and the nesting of functions is the nesting of those roots.
//! Bytecode and line table grow natively and are copied into the heap when the function ends.
//!
//! **How it fails.** Errors are collected and parsing goes on at the next statement. Three things *stop* the parser
//! instead, by making every further token the end of the source: too many errors, no memory, and nesting that is too
//! deep. The parser's recursion is native recursion, so its depth is bounded ([`MAX_NESTING`]).

mod class;
mod emit;
mod expression;
mod scope;
mod statement;

use palimpsest::OutOfMemory;

use crate::diagnostics::Diagnostics;
use crate::object::FunctionRef;
use crate::runtime::Runtime;
use crate::scanner::Scanner;
use crate::token::{Token, TokenKind};
use class::ClassState;
use scope::{FunctionKind, FunctionState};

/// How deep expressions, statements and functions may be nested in each other, all counted together. Each
/// level takes less than 1 KiB of native stack even without optimisation.
const MAX_NESTING: usize = 1000;

/// Why there is no function to run.
pub enum CompileError {
    /// The source has errors: one a line, ready to be shown.
    Errors(String),
    /// The heap is full.
    OutOfMemory,
}

/// How a source is going to be run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As a whole program.
    Script,
    /// As one entry of a session: a last expression needs no semicolon, and is printed.
    Entry,
}

/// Compiles `source` to a function without parameters, which the caller has to root.
pub fn compile(runtime: &mut Runtime, source: &str, mode: Mode) -> Result<FunctionRef, CompileError> {
    let roots = runtime.heap.temporaries.len();
    let mut compiler = Compiler::new(runtime, source, mode);
    let function = compiler.script();
    let Compiler { diagnostics, out_of_memory, .. } = compiler;
    runtime.heap.temporaries.truncate(roots);
    if out_of_memory {
        return Err(CompileError::OutOfMemory);
    }
    match (diagnostics.into_errors(), function) {
        (None, Some(function)) => Ok(function),
        (errors, _) => Err(CompileError::Errors(errors.unwrap_or_default())),
    }
}

struct Compiler<'s, 'r> {
    runtime: &'r mut Runtime,
    scanner: Scanner<'s>,
    current: Token<'s>,
    previous: Token<'s>,
    diagnostics: Diagnostics,
    out_of_memory: bool,
    /// Whether the rest of the source is being ignored.
    stopped: bool,
    nesting: usize,
    mode: Mode,
    /// The functions under construction, innermost last.
    functions: Vec<FunctionState<'s>>,
    /// The classes whose bodies are being compiled, innermost last.
    classes: Vec<ClassState>,
}

impl<'s, 'r> Compiler<'s, 'r> {
    fn new(runtime: &'r mut Runtime, source: &'s str, mode: Mode) -> Compiler<'s, 'r> {
        let nothing = Token { kind: TokenKind::End, lexeme: "", line: 1 };
        Compiler {
            runtime,
            scanner: Scanner::new(source),
            current: nothing,
            previous: nothing,
            diagnostics: Diagnostics::default(),
            out_of_memory: false,
            stopped: false,
            nesting: 0,
            mode,
            functions: Vec::new(),
            classes: Vec::new(),
        }
    }

    fn script(&mut self) -> Option<FunctionRef> {
        if !self.begin_function(FunctionKind::Script, None) {
            return None;
        }
        self.advance();
        while !self.matches(TokenKind::End) {
            self.declaration();
        }
        self.end_function().map(|(function, _)| function)
    }

    /// Moves on by one token, reporting everything that is none.
    fn advance(&mut self) {
        self.previous = self.current;
        if self.stopped {
            return;
        }
        loop {
            self.current = self.scanner.next_token();
            if self.current.kind != TokenKind::Error {
                return;
            }
            self.error_at(self.current, self.current.lexeme);
            if self.stopped {
                return;
            }
        }
    }

    fn check(&self, kind: TokenKind) -> bool {
        self.current.kind == kind
    }

    /// Moves on if the current token is a `kind`.
    fn matches(&mut self, kind: TokenKind) -> bool {
        let found = self.check(kind);
        if found {
            self.advance();
        }
        found
    }

    /// Moves on if the current token is a `kind`, and says so if it is not.
    fn consume(&mut self, kind: TokenKind, message: &str) {
        if !self.matches(kind) {
            self.error_at_current(message);
        }
    }

    fn error(&mut self, message: &str) {
        self.error_at(self.previous, message);
    }

    fn error_at_current(&mut self, message: &str) {
        self.error_at(self.current, message);
    }

    fn error_at(&mut self, token: Token<'s>, message: &str) {
        if !self.stopped && !self.diagnostics.report(token, message) {
            self.stop();
        }
    }

    /// Ignores the rest of the source, and every error that this leads to.
    #[cold]
    fn stop(&mut self) {
        self.stopped = true;
        self.current = Token { kind: TokenKind::End, lexeme: "", line: self.current.line };
    }

    #[cold]
    fn run_out_of_memory(&mut self, _: OutOfMemory) {
        self.out_of_memory = true;
        self.stop();
    }

    /// Parses something nested, unless that is too deep.
    fn nested(&mut self, parse: impl FnOnce(&mut Self)) {
        if self.nesting == MAX_NESTING {
            self.error("Nesting too deep.");
            self.stop();
            return;
        }
        self.nesting += 1;
        parse(self);
        self.nesting -= 1;
    }
}
