//! Statements and the declaration of variables. A statement leaves the stack as it found it; a declaration in an
//! inner scope leaves its variable there.

use crate::bytecode::Op;
use crate::compiler::scope::FunctionKind;
use crate::compiler::{Compiler, Mode};
use crate::token::TokenKind;

impl<'s> Compiler<'s, '_> {
    /// Compiles a declaration or a statement, and recovers from an error in it.
    pub fn declaration(&mut self) {
        if self.matches(TokenKind::Class) {
            self.class_declaration();
        } else if self.matches(TokenKind::Fun) {
            self.fun_declaration();
        } else if self.matches(TokenKind::Var) {
            self.var_declaration();
        } else {
            self.statement();
        }
        if self.diagnostics.panicking {
            self.synchronize();
        }
    }

    /// Skips to what looks like the beginning of a statement.
    fn synchronize(&mut self) {
        self.diagnostics.panicking = false;
        loop {
            if self.previous.kind == TokenKind::Semicolon {
                return;
            }
            match self.current.kind {
                TokenKind::Class | TokenKind::Fun | TokenKind::Var | TokenKind::For | TokenKind::If => return,
                TokenKind::While | TokenKind::Print | TokenKind::Return | TokenKind::End => return,
                _ => self.advance(),
            }
        }
    }

    fn statement(&mut self) {
        self.nested(|compiler| {
            if compiler.matches(TokenKind::Print) {
                compiler.expression();
                compiler.consume(TokenKind::Semicolon, "Expect ';' after value.");
                compiler.emit(Op::Print);
            } else if compiler.matches(TokenKind::For) {
                compiler.for_statement();
            } else if compiler.matches(TokenKind::If) {
                compiler.if_statement();
            } else if compiler.matches(TokenKind::Return) {
                compiler.return_statement();
            } else if compiler.matches(TokenKind::While) {
                compiler.while_statement();
            } else if compiler.matches(TokenKind::LeftBrace) {
                compiler.begin_scope();
                compiler.block();
                compiler.end_scope();
            } else {
                compiler.expression_statement();
            }
        });
    }

    /// Compiles declarations up to the closing brace.
    pub fn block(&mut self) {
        while !self.check(TokenKind::RightBrace) && !self.check(TokenKind::End) {
            self.declaration();
        }
        self.consume(TokenKind::RightBrace, "Expect '}' after block.");
    }

    fn expression_statement(&mut self) {
        self.expression();
        if self.mode == Mode::Entry && self.check(TokenKind::End) && self.at_top_level() {
            self.emit(Op::Print);
            return;
        }
        self.consume(TokenKind::Semicolon, "Expect ';' after expression.");
        self.emit_pop();
    }

    fn if_statement(&mut self) {
        // `else if` goes round the loop instead of into the statement, so that a long chain is not deep.
        let mut ends = Vec::new();
        loop {
            self.consume(TokenKind::LeftParen, "Expect '(' after 'if'.");
            self.expression();
            self.consume(TokenKind::RightParen, "Expect ')' after condition.");
            let otherwise = self.emit_jump(Op::PopJumpIfFalse);
            self.statement();
            if !self.matches(TokenKind::Else) {
                self.land(otherwise);
                break;
            }
            ends.push(self.emit_jump(Op::Jump));
            self.land(otherwise);
            if !self.matches(TokenKind::If) {
                self.statement();
                break;
            }
        }
        for end in ends {
            self.land(end);
        }
    }

    fn while_statement(&mut self) {
        let start = self.loop_start();
        self.consume(TokenKind::LeftParen, "Expect '(' after 'while'.");
        self.expression();
        self.consume(TokenKind::RightParen, "Expect ')' after condition.");
        let end = self.emit_jump(Op::PopJumpIfFalse);
        self.statement();
        self.emit_loop(start);
        self.land(end);
    }

    fn for_statement(&mut self) {
        self.begin_scope();
        self.consume(TokenKind::LeftParen, "Expect '(' after 'for'.");
        if self.matches(TokenKind::Var) {
            self.var_declaration();
        } else if !self.matches(TokenKind::Semicolon) {
            self.expression_statement();
        }
        let mut start = self.loop_start();
        let mut end = None;
        if !self.matches(TokenKind::Semicolon) {
            self.expression();
            self.consume(TokenKind::Semicolon, "Expect ';' after loop condition.");
            end = Some(self.emit_jump(Op::PopJumpIfFalse));
        }
        if !self.matches(TokenKind::RightParen) {
            // The increment is written before the body but runs after it.
            let body = self.emit_jump(Op::Jump);
            let increment = self.loop_start();
            self.expression();
            self.emit_pop();
            self.consume(TokenKind::RightParen, "Expect ')' after for clauses.");
            self.emit_loop(start);
            start = increment;
            self.land(body);
        }
        self.statement();
        self.emit_loop(start);
        if let Some(end) = end {
            self.land(end);
        }
        self.end_scope();
    }

    fn return_statement(&mut self) {
        if self.state().kind == FunctionKind::Script {
            self.error("Can't return from top-level code.");
        }
        if self.matches(TokenKind::Semicolon) {
            self.emit_return();
        } else {
            if self.state().kind == FunctionKind::Initializer {
                self.error("Can't return a value from an initializer.");
            }
            self.expression();
            self.consume(TokenKind::Semicolon, "Expect ';' after return value.");
            self.emit(Op::Return);
        }
    }

    fn var_declaration(&mut self) {
        let name = self.variable_name("Expect variable name.");
        if self.matches(TokenKind::Equal) {
            self.expression();
        } else {
            self.emit(Op::Nil);
        }
        self.consume(TokenKind::Semicolon, "Expect ';' after variable declaration.");
        self.define_variable(name);
    }

    /// Reads and declares the name of a new variable.
    pub fn variable_name(&mut self, message: &str) -> &'s str {
        self.consume(TokenKind::Identifier, message);
        let name = self.previous.lexeme;
        self.declare_variable(name);
        name
    }

    /// Makes the value that has just been pushed the value of the variable declared last.
    pub fn define_variable(&mut self, name: &'s str) {
        if self.at_top_level() {
            let slot = self.global_slot(name);
            self.emit_with(Op::DefineGlobal, slot);
        } else {
            self.state().mark_ready();
        }
    }
}
