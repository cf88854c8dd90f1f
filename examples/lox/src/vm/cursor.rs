//! The registers of the interpreter loop: where it is in the code, and where in the stack.
//!
//! All of them are raw pointers, so that an instruction touches nothing else. What makes their use correct is what the
//! compiler guarantees of every finished function, and what a call checks:
//!
//! * the code is a sequence of whole instructions that ends with `Return`, and jumps lead to instructions in it;
//! * operands are valid: constants, locals and captures exist, and names are strings;
//! * an instruction finds its operands on the stack above `base`, and the stack never grows by more than the function's
//!   stack need, for which the call has made sure that there is room.
//!
//! The stack memory and the code do not move, and the running closure keeps its code alive through its frame.

use crate::object::{ClosureRef, StringRef};
use crate::value::Value;
use crate::vm::{Frame, Vm};

/// See the top of the file.
pub struct Cursor {
    pub ip: *const u32,
    pub sp: *mut Value,
    pub base: *mut Value,
    pub closure: ClosureRef,
    constants: *const Value,
}

impl Cursor {
    /// The next word of the code.
    #[inline(always)]
    pub fn fetch(&mut self) -> u32 {
        // SAFETY: code ends with an instruction that leaves it (top of the file).
        let word = unsafe { self.ip.read() };
        self.ip = self.ip.wrapping_add(1);
        word
    }

    #[inline(always)]
    pub fn jump(&mut self, words: usize) {
        self.ip = self.ip.wrapping_add(words);
    }

    #[inline(always)]
    pub fn jump_back(&mut self, words: usize) {
        self.ip = self.ip.wrapping_sub(words);
    }

    #[inline(always)]
    pub fn push(&mut self, value: Value) {
        // SAFETY: within the stack need of the function.
        unsafe { self.sp.write(value) };
        self.sp = self.sp.wrapping_add(1);
    }

    #[inline(always)]
    pub fn pop(&mut self) -> Value {
        self.sp = self.sp.wrapping_sub(1);
        // SAFETY: the instruction has an operand on the stack.
        unsafe { self.sp.read() }
    }

    /// The value `depth` below the top.
    #[inline(always)]
    pub fn peek(&self, depth: usize) -> Value {
        // SAFETY: the instruction has that many operands on the stack.
        unsafe { self.sp.wrapping_sub(depth + 1).read() }
    }

    /// Replaces the topmost value.
    #[inline(always)]
    pub fn replace(&mut self, value: Value) {
        // SAFETY: the instruction has an operand on the stack.
        unsafe { self.sp.wrapping_sub(1).write(value) };
    }

    /// Takes two operands off and pushes the result.
    #[inline(always)]
    pub fn replace_two(&mut self, value: Value) {
        self.sp = self.sp.wrapping_sub(1);
        self.replace(value);
    }

    #[inline(always)]
    pub fn local(&self, index: usize) -> Value {
        // SAFETY: the local has its slot on the stack.
        unsafe { self.base.add(index).read() }
    }

    #[inline(always)]
    pub fn set_local(&mut self, index: usize, value: Value) {
        // SAFETY: the local has its slot on the stack.
        unsafe { self.base.add(index).write(value) };
    }

    #[inline(always)]
    pub fn constant(&self, index: usize) -> Value {
        // SAFETY: the function has this constant.
        unsafe { self.constants.add(index).read() }
    }

    /// Constant `index`, which is a name.
    #[inline(always)]
    pub fn name(&self, index: usize) -> StringRef {
        // SAFETY: the compiler gives instructions that take a name the number of a string.
        unsafe { StringRef::from_known(self.constant(index)) }
    }
}

impl Vm {
    /// The innermost call.
    #[inline(always)]
    pub(super) fn frame(&self) -> *mut Frame {
        debug_assert!(self.frames.len() > 0);
        self.frames.top().wrapping_sub(1)
    }

    /// Writes the registers back, so that the collector and the slow paths see where the program is.
    #[inline(always)]
    pub(super) fn pause(&mut self, at: &Cursor) {
        self.stack.set_top(at.sp);
        // SAFETY: there is a call as long as the loop runs, and nobody else has a reference into the frames.
        unsafe { (*self.frame()).ip = at.ip };
    }

    /// Loads the registers for the innermost call.
    #[inline(always)]
    pub(super) fn resume(&self) -> Cursor {
        // SAFETY: there is a call as long as the loop runs.
        let frame = unsafe { self.frame().read() };
        // SAFETY: `enter` put a closure there.
        let closure = unsafe { ClosureRef::from_known(frame.closure) };
        let constants = closure.function().constants();
        Cursor { ip: frame.ip, sp: self.stack.top(), base: frame.base, closure, constants }
    }
}
