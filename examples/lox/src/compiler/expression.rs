//! Expressions: operator precedence parsing after Pratt. A token says what it means at the beginning of an
//! expression, and how tightly it binds after one.

use crate::bytecode::Op;
use crate::compiler::Compiler;
use crate::compiler::scope::Variable;
use crate::token::TokenKind;
use crate::value::Value;

/// How tightly an operator binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Precedence {
    /// What does not continue an expression.
    None,
    Assignment,
    Or,
    And,
    Equality,
    Comparison,
    Term,
    Factor,
    Unary,
    Call,
    /// What binds tighter than any operator.
    Primary,
}

impl Precedence {
    fn of(operator: TokenKind) -> Precedence {
        match operator {
            TokenKind::Or => Precedence::Or,
            TokenKind::And => Precedence::And,
            TokenKind::BangEqual | TokenKind::EqualEqual => Precedence::Equality,
            TokenKind::Greater | TokenKind::GreaterEqual => Precedence::Comparison,
            TokenKind::Less | TokenKind::LessEqual => Precedence::Comparison,
            TokenKind::Minus | TokenKind::Plus => Precedence::Term,
            TokenKind::Slash | TokenKind::Star => Precedence::Factor,
            TokenKind::LeftParen | TokenKind::Dot => Precedence::Call,
            _ => Precedence::None,
        }
    }

    /// The right operand of a left-associative operator binds tighter than the operator.
    fn tighter(self) -> Precedence {
        match self {
            Precedence::None => Precedence::Assignment,
            Precedence::Assignment => Precedence::Or,
            Precedence::Or => Precedence::And,
            Precedence::And => Precedence::Equality,
            Precedence::Equality => Precedence::Comparison,
            Precedence::Comparison => Precedence::Term,
            Precedence::Term => Precedence::Factor,
            Precedence::Factor => Precedence::Unary,
            Precedence::Unary => Precedence::Call,
            Precedence::Call | Precedence::Primary => Precedence::Primary,
        }
    }
}

/// Most arguments of a call, and parameters of a function.
pub const MAX_ARGUMENTS: usize = 255;

impl<'s> Compiler<'s, '_> {
    /// Compiles an expression: its value is pushed.
    pub fn expression(&mut self) {
        self.operand(Precedence::Assignment);
    }

    /// Compiles an expression whose operators bind at least as tightly as `lowest`.
    fn operand(&mut self, lowest: Precedence) {
        self.nested(|compiler| {
            compiler.advance();
            let can_assign = lowest <= Precedence::Assignment;
            if !compiler.prefix(can_assign) {
                compiler.error("Expect expression.");
                return;
            }
            while lowest <= Precedence::of(compiler.current.kind) {
                compiler.advance();
                compiler.infix(can_assign);
            }
            if can_assign && compiler.matches(TokenKind::Equal) {
                compiler.error("Invalid assignment target.");
            }
        });
    }

    /// Compiles what the previous token means at the beginning of an expression. False if it has no meaning there.
    fn prefix(&mut self, can_assign: bool) -> bool {
        match self.previous.kind {
            TokenKind::LeftParen => {
                self.expression();
                self.consume(TokenKind::RightParen, "Expect ')' after expression.");
            }
            TokenKind::Minus => {
                self.operand(Precedence::Unary);
                self.emit(Op::Negate);
            }
            TokenKind::Bang => {
                self.operand(Precedence::Unary);
                self.emit(Op::Not);
            }
            TokenKind::Number => self.number(),
            TokenKind::String => {
                let quoted = self.previous.lexeme;
                let constant = self.string_constant(&quoted[1..quoted.len() - 1]);
                self.emit_with(Op::Constant, constant);
            }
            TokenKind::Nil => self.emit(Op::Nil),
            TokenKind::True => self.emit(Op::True),
            TokenKind::False => self.emit(Op::False),
            TokenKind::Identifier => self.variable(self.previous.lexeme, can_assign),
            TokenKind::This => self.this(),
            TokenKind::Super => self.super_access(),
            _ => return false,
        }
        true
    }

    /// Compiles the previous token as an operator on the value that has just been pushed.
    fn infix(&mut self, can_assign: bool) {
        let operator = self.previous.kind;
        match operator {
            TokenKind::LeftParen => {
                let arguments = self.arguments();
                self.emit_call(Op::Call, arguments, arguments);
            }
            TokenKind::Dot => self.property(can_assign),
            TokenKind::And => self.short_circuit(Op::JumpIfFalse, Precedence::And),
            TokenKind::Or => self.short_circuit(Op::JumpIfTrue, Precedence::Or),
            _ => {
                self.operand(Precedence::of(operator).tighter());
                self.emit(match operator {
                    TokenKind::BangEqual => Op::NotEqual,
                    TokenKind::EqualEqual => Op::Equal,
                    TokenKind::Greater => Op::Greater,
                    TokenKind::GreaterEqual => Op::GreaterEqual,
                    TokenKind::Less => Op::Less,
                    TokenKind::LessEqual => Op::LessEqual,
                    TokenKind::Plus => Op::Add,
                    TokenKind::Minus => Op::Subtract,
                    TokenKind::Star => Op::Multiply,
                    TokenKind::Slash => Op::Divide,
                    _ => unreachable!("only operators have a precedence"),
                });
            }
        }
    }

    fn number(&mut self) {
        // The scanner lets through digits with at most one point between them, which is always a number.
        let number = self.previous.lexeme.parse::<f64>().unwrap_or(f64::NAN);
        self.emit_constant(Value::number(number));
    }

    /// `a and b`, `a or b`: the right side is only evaluated if the left one does not decide. Chains are grouped to the
    /// left, which means the same and does not nest.
    fn short_circuit(&mut self, jump: Op, precedence: Precedence) {
        let decided = self.emit_jump(jump);
        self.operand(precedence.tighter());
        self.land(decided);
    }

    /// Reads or assigns the variable `name`.
    pub fn variable(&mut self, name: &'s str, can_assign: bool) {
        let (get, set, index) = match self.resolve(name) {
            Variable::Local(index) => (Op::GetLocal, Op::SetLocal, index),
            Variable::Captured(index) => (Op::GetUpvalue, Op::SetUpvalue, index),
            Variable::Global(slot) => (Op::GetGlobal, Op::SetGlobal, slot),
        };
        if can_assign && self.matches(TokenKind::Equal) {
            self.expression();
            self.emit_with(set, index);
        } else {
            self.emit_with(get, index);
        }
    }

    /// Compiles arguments up to the closing parenthesis. Returns how many there are.
    pub fn arguments(&mut self) -> usize {
        let mut count = 0;
        if !self.check(TokenKind::RightParen) {
            loop {
                self.expression();
                if count == MAX_ARGUMENTS {
                    self.error("Can't have more than 255 arguments.");
                } else {
                    count += 1;
                }
                if !self.matches(TokenKind::Comma) {
                    break;
                }
            }
        }
        self.consume(TokenKind::RightParen, "Expect ')' after arguments.");
        count
    }

    /// What follows a dot: reading, assigning or calling a property of the object that has just been pushed.
    fn property(&mut self, can_assign: bool) {
        self.consume(TokenKind::Identifier, "Expect property name after '.'.");
        let name = self.string_constant(self.previous.lexeme);
        if can_assign && self.matches(TokenKind::Equal) {
            self.expression();
            self.emit_with(Op::SetProperty, name);
        } else if self.matches(TokenKind::LeftParen) {
            let arguments = self.arguments();
            self.emit_call(Op::Invoke, name, arguments);
        } else {
            self.emit_with(Op::GetProperty, name);
        }
    }

    fn this(&mut self) {
        if self.classes.is_empty() {
            self.error("Can't use 'this' outside of a class.");
        } else {
            self.variable("this", false);
        }
    }

    fn super_access(&mut self) {
        match self.classes.last() {
            None => self.error("Can't use 'super' outside of a class."),
            Some(class) if !class.has_superclass => {
                self.error("Can't use 'super' in a class with no superclass.");
            }
            Some(_) => {}
        }
        self.consume(TokenKind::Dot, "Expect '.' after 'super'.");
        self.consume(TokenKind::Identifier, "Expect superclass method name.");
        let name = self.string_constant(self.previous.lexeme);
        self.variable("this", false);
        if self.matches(TokenKind::LeftParen) {
            let arguments = self.arguments();
            self.variable("super", false);
            self.emit_call(Op::SuperInvoke, name, arguments);
        } else {
            self.variable("super", false);
            self.emit_with(Op::GetSuper, name);
        }
    }
}
