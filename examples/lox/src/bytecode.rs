//! The instructions of the virtual machine, and the table that maps them back to source lines.
//!
//! An instruction is one 32-bit word: the operation in the low byte, and an operand of 24 bits above it. So constants,
//! variables and jumps all have the same generous limit ([`MAX_OPERAND`]), and reading an instruction is one load.
//! `Invoke` and `SuperInvoke` are followed by a word with the number of arguments, `Closure` by one word for
//! each variable it captures. Jumps count in words, from the word after the jump.

/// The largest operand of an instruction.
pub const MAX_OPERAND: usize = (1 << 24) - 1;

/// Most instruction words in one function. Only jumps need to stay within [`MAX_OPERAND`].
pub const MAX_CODE: usize = 1 << 26;

/// An operation. In the comments: stack before -> stack after, with `k` for constant number `operand`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Op {
    /// -> k
    Constant,
    /// -> nil
    Nil,
    /// -> true
    True,
    /// -> false
    False,
    /// a ->
    Pop,
    /// `operand` values ->
    PopMany,
    /// -> local variable `operand`
    GetLocal,
    /// a -> a, stored in local variable `operand`
    SetLocal,
    /// a ->, stored in local variable `operand`
    SetLocalPop,
    /// -> global variable `operand`
    GetGlobal,
    /// a -> a, stored in global variable `operand`, which is an error if it is not defined
    SetGlobal,
    /// a ->, stored in global variable `operand`, which is then defined
    DefineGlobal,
    /// -> captured variable `operand`
    GetUpvalue,
    /// a -> a, stored in captured variable `operand`
    SetUpvalue,
    /// object -> its field or method k
    GetProperty,
    /// object a -> a, stored in field k
    SetProperty,
    /// this superclass -> its method k bound to this
    GetSuper,
    /// a b -> a == b
    Equal,
    /// a b -> a != b
    NotEqual,
    /// a b -> a > b
    Greater,
    /// a b -> a >= b
    GreaterEqual,
    /// a b -> a < b
    Less,
    /// a b -> a <= b
    LessEqual,
    /// a b -> a + b, for numbers or strings
    Add,
    /// a b -> a - b
    Subtract,
    /// a b -> a * b
    Multiply,
    /// a b -> a / b
    Divide,
    /// a -> !a
    Not,
    /// a -> -a
    Negate,
    /// a ->, printed
    Print,
    /// Forward by `operand` words
    Jump,
    /// a ->, forward if it was false
    PopJumpIfFalse,
    /// a -> a and forward if it is false, else a ->
    JumpIfFalse,
    /// a -> a and forward if it is true, else a ->
    JumpIfTrue,
    /// Back by `operand` words
    Loop,
    /// callee and `operand` arguments -> result
    Call,
    /// object and arguments (next word says how many) -> result of its method k
    Invoke,
    /// this, arguments (next word says how many), superclass -> result of its method k
    SuperInvoke,
    /// -> closure of function k, whose captured variables are in the words that follow
    Closure,
    /// a ->, moved into the upvalues that captured it
    CloseUpvalue,
    /// result ->, back to the caller
    Return,
    /// -> a new class called k
    Class,
    /// superclass subclass -> superclass, whose methods the subclass now has
    Inherit,
    /// class closure -> class, which now has method k
    Method,
}

impl Op {
    /// The instruction word for this operation.
    pub fn with(self, operand: usize) -> u32 {
        debug_assert!(operand <= MAX_OPERAND);
        self as u32 | (operand as u32) << 8
    }

    /// The operation of an instruction word.
    ///
    /// # Safety
    ///
    /// `word` was made by [`Op::with`].
    #[inline(always)]
    pub unsafe fn of(word: u32) -> Op {
        // SAFETY: the low byte is then a discriminant.
        unsafe { std::mem::transmute::<u8, Op>(word as u8) }
    }

    /// By how many values the stack grows, for operations where the operand does not matter.
    pub fn stack_effect(self) -> isize {
        match self {
            Op::Constant | Op::Nil | Op::True | Op::False | Op::GetLocal | Op::GetGlobal | Op::GetUpvalue => {
                1
            }
            Op::Closure | Op::Class => 1,
            Op::SetLocal | Op::SetGlobal | Op::SetUpvalue | Op::GetProperty | Op::Not | Op::Negate => 0,
            Op::Jump | Op::Loop => 0,
            Op::Pop | Op::SetLocalPop | Op::DefineGlobal | Op::SetProperty | Op::GetSuper | Op::Print => -1,
            Op::Equal | Op::NotEqual | Op::Greater | Op::GreaterEqual | Op::Less | Op::LessEqual => -1,
            Op::Add | Op::Subtract | Op::Multiply | Op::Divide => -1,
            Op::PopJumpIfFalse | Op::JumpIfFalse | Op::JumpIfTrue => -1,
            Op::CloseUpvalue | Op::Return | Op::Inherit | Op::Method => -1,
            Op::PopMany | Op::Call | Op::Invoke | Op::SuperInvoke => 0,
        }
    }
}

/// One captured variable of a closure, as the word behind `Closure`: a local variable of the enclosing function, or
/// one that the enclosing function captured itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Capture {
    pub is_local: bool,
    pub index: u16,
}

impl Capture {
    /// The word for the bytecode.
    pub fn to_word(self) -> u32 {
        u32::from(self.index) << 1 | u32::from(self.is_local)
    }

    /// The other way round.
    pub fn from_word(word: u32) -> Capture {
        Capture { is_local: word & 1 == 1, index: (word >> 1) as u16 }
    }
}

/// Collects which line each instruction came from: a pair (instructions, lines) for every change of line, each number
/// in the variable-length encoding of DWARF (seven bits a byte). Lines never go backwards in a one-pass compiler.
#[derive(Default)]
pub struct LineTable {
    bytes: Vec<u8>,
    last_word: usize,
    last_line: u32,
}

impl LineTable {
    /// Notes that the instruction word about to be written at `word` is from `line`.
    pub fn note(&mut self, word: usize, line: u32) {
        if line > self.last_line {
            self.write((word - self.last_word) as u32);
            self.write(line - self.last_line);
            (self.last_word, self.last_line) = (word, line);
        }
    }

    fn write(&mut self, mut number: u32) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// The encoded table.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// The line of instruction word `word`, from an encoded table.
pub fn line_of(table: &[u8], word: usize) -> u32 {
    let mut numbers = table.iter();
    let mut next = || {
        let (mut number, mut shift) = (0u32, 0);
        loop {
            let byte = *numbers.next()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
            shift += 7;
        }
    };
    let (mut at, mut line) = (0, 0);
    while let (Some(words), Some(lines)) = (next(), next()) {
        at += words as usize;
        if at > word {
            break;
        }
        line += lines;
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_keep_operation_and_operand() {
        let word = Op::Method.with(MAX_OPERAND);
        // SAFETY: made by `with` just above.
        assert_eq!(unsafe { Op::of(word) }, Op::Method);
        assert_eq!((word >> 8) as usize, MAX_OPERAND);
    }

    #[test]
    fn captures_survive_encoding() {
        for capture in [Capture { is_local: true, index: 0 }, Capture { is_local: false, index: u16::MAX }] {
            assert_eq!(Capture::from_word(capture.to_word()), capture);
        }
    }

    #[test]
    fn lines_are_found_again() {
        let mut table = LineTable::default();
        let lines = [1, 1, 1, 2, 2, 500, 500, 70000];
        for (word, line) in lines.into_iter().enumerate() {
            table.note(word, line);
        }
        for (word, line) in lines.into_iter().enumerate() {
            assert_eq!(line_of(table.bytes(), word), line);
        }
        assert_eq!(line_of(table.bytes(), 1000), 70000);
        assert_eq!(line_of(&[], 0), 0);
    }
}
