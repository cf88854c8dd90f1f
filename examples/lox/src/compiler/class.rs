//! Functions, methods and classes.
//!
//! While the body of a class with a superclass is compiled, the superclass is a local variable called `super`,
//! around the body; methods capture it like any other variable. `this` is slot 0 of a method.

use crate::bytecode::Op;
use crate::compiler::Compiler;
use crate::compiler::expression::MAX_ARGUMENTS;
use crate::compiler::scope::FunctionKind;
use crate::token::TokenKind;

/// A class whose body is being compiled.
pub struct ClassState {
    pub has_superclass: bool,
}

impl Compiler<'_, '_> {
    pub fn fun_declaration(&mut self) {
        let name = self.variable_name("Expect function name.");
        // The function may call itself, so its name can be used before its body is complete.
        if !self.at_top_level() {
            self.state().mark_ready();
        }
        self.function(FunctionKind::Function);
        self.define_variable(name);
    }

    /// Compiles parameters and body of the function named by the previous token; the closure is pushed.
    fn function(&mut self, kind: FunctionKind) {
        self.nested(|compiler| {
            if !compiler.begin_function(kind, Some(compiler.previous.lexeme)) {
                return;
            }
            compiler.begin_scope();
            compiler.parameters();
            compiler.consume(TokenKind::LeftBrace, "Expect '{' before function body.");
            compiler.block();
            let Some((function, captures)) = compiler.end_function() else { return };
            // Not rooted just now, but nothing is allocated before `constant` roots it.
            let constant = compiler.constant(function.value());
            compiler.emit_with(Op::Closure, constant);
            for capture in captures {
                compiler.emit_word(capture.to_word());
            }
        });
    }

    fn parameters(&mut self) {
        self.consume(TokenKind::LeftParen, "Expect '(' after function name.");
        if !self.check(TokenKind::RightParen) {
            loop {
                if self.state().arity == MAX_ARGUMENTS {
                    self.error_at_current("Can't have more than 255 parameters.");
                } else {
                    self.state().arity += 1;
                }
                let name = self.variable_name("Expect parameter name.");
                self.adjust_stack(1);
                self.define_variable(name);
                if !self.matches(TokenKind::Comma) {
                    break;
                }
            }
        }
        self.consume(TokenKind::RightParen, "Expect ')' after parameters.");
    }

    pub fn class_declaration(&mut self) {
        self.consume(TokenKind::Identifier, "Expect class name.");
        let name = self.previous.lexeme;
        self.declare_variable(name);
        let constant = self.string_constant(name);
        self.emit_with(Op::Class, constant);
        self.define_variable(name);
        self.classes.push(ClassState { has_superclass: false });

        let has_superclass = self.matches(TokenKind::Less);
        if has_superclass {
            self.consume(TokenKind::Identifier, "Expect superclass name.");
            let superclass = self.previous.lexeme;
            if superclass == name {
                self.error("A class can't inherit from itself.");
            }
            self.variable(superclass, false);
            self.begin_scope();
            self.add_local("super");
            self.state().mark_ready();
            self.variable(name, false);
            self.emit(Op::Inherit);
            self.classes.last_mut().expect("pushed above").has_superclass = true;
        }

        self.variable(name, false);
        self.consume(TokenKind::LeftBrace, "Expect '{' before class body.");
        while !self.check(TokenKind::RightBrace) && !self.check(TokenKind::End) {
            self.method();
        }
        self.consume(TokenKind::RightBrace, "Expect '}' after class body.");
        self.emit(Op::Pop);
        if has_superclass {
            self.end_scope();
        }
        self.classes.pop();
    }

    fn method(&mut self) {
        self.consume(TokenKind::Identifier, "Expect method name.");
        let name = self.previous.lexeme;
        let constant = self.string_constant(name);
        let kind = if name == "init" { FunctionKind::Initializer } else { FunctionKind::Method };
        self.function(kind);
        self.emit_with(Op::Method, constant);
    }
}
