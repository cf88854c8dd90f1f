//! Writing bytecode: instructions, constants, jumps, and the beginning and the end of a function.
//!
//! The emitter follows how many values are on the stack at each point. Every statement and every expression leaves the
//! same number whichever way it is executed, so following the code in a straight line is enough. The most there ever
//! are becomes the function's stack need, which a call checks once; pushes need no check.

use crate::bytecode::{Capture, MAX_CODE, MAX_OPERAND, Op};
use crate::compiler::Compiler;
use crate::compiler::scope::{FunctionKind, FunctionState};
use crate::object::{FunctionRef, StringRef};
use crate::value::Value;

/// An instruction whose jump distance is not known yet.
#[must_use]
pub struct Jump(usize);

impl<'s> Compiler<'s, '_> {
    /// Begins a function, which is rooted until its end. False if memory ran out.
    pub fn begin_function(&mut self, kind: FunctionKind, name: Option<&'s str>) -> bool {
        let heap = &mut self.runtime.heap;
        let name = match name {
            Some(name) => StringRef::intern(heap, name.as_bytes()).map(StringRef::value),
            None => Ok(Value::NIL),
        };
        match name.and_then(|name| FunctionRef::new(heap, name)) {
            Ok(function) => {
                heap.temporaries.push(function.value());
                self.functions.push(FunctionState::new(kind, function));
                true
            }
            Err(error) => {
                self.run_out_of_memory(error);
                false
            }
        }
    }

    /// Ends the innermost function. It is no longer rooted when this returns.
    pub fn end_function(&mut self) -> Option<(FunctionRef, Vec<Capture>)> {
        self.emit_return();
        let state = self.functions.pop()?;
        // SAFETY: every byte of a `u32` is initialised, and may be read as a `u8`.
        let (_, code, _) = unsafe { state.code.align_to::<u8>() };
        let finished = state.function.finish(
            &mut self.runtime.heap,
            state.arity,
            state.captures.len(),
            state.stack_need as usize,
            code,
            state.lines.bytes(),
        );
        self.runtime.heap.temporaries.pop();
        match finished {
            Ok(()) => Some((state.function, state.captures)),
            Err(error) => {
                self.run_out_of_memory(error);
                None
            }
        }
    }

    /// Returns what a function returns without saying so.
    pub fn emit_return(&mut self) {
        if self.state().kind == FunctionKind::Initializer {
            self.emit_with(Op::GetLocal, 0);
        } else {
            self.emit(Op::Nil);
        }
        self.emit(Op::Return);
    }

    pub fn emit(&mut self, op: Op) {
        self.emit_with(op, 0);
    }

    pub fn emit_with(&mut self, op: Op, operand: usize) {
        self.emit_word(op.with(operand));
        self.state().last_op = Some(op);
        self.adjust_stack(op.stack_effect());
    }

    /// Emits a call, which takes `arguments` and what `op` takes beside them off the stack.
    pub fn emit_call(&mut self, op: Op, operand: usize, arguments: usize) {
        self.emit_with(op, operand);
        match op {
            Op::Invoke => self.emit_word(arguments as u32),
            Op::SuperInvoke => {
                self.emit_word(arguments as u32);
                self.adjust_stack(-1);
            }
            _ => {}
        }
        self.adjust_stack(-(arguments as isize));
    }

    /// Takes the value of an expression statement off the stack.
    pub fn emit_pop(&mut self) {
        let state = self.state();
        if state.last_op == Some(Op::SetLocal) {
            let word = state.code.last_mut().expect("the last operation is in the code");
            *word = Op::SetLocalPop.with((*word >> 8) as usize);
            state.last_op = Some(Op::SetLocalPop);
            self.adjust_stack(-1);
        } else {
            self.emit(Op::Pop);
        }
    }

    /// Takes the values of variables off the stack.
    pub fn emit_pops(&mut self, count: usize) {
        match count {
            0 => {}
            1 => self.emit(Op::Pop),
            _ => {
                self.emit_with(Op::PopMany, count);
                self.adjust_stack(-(count as isize));
            }
        }
    }

    pub fn emit_word(&mut self, word: u32) {
        let line = self.previous.line;
        let state = self.state();
        state.lines.note(state.code.len(), line);
        state.code.push(word);
        if state.code.len() == MAX_CODE {
            self.error("Too much code in one function.");
            self.stop();
        }
    }

    pub fn adjust_stack(&mut self, by: isize) {
        let state = self.state();
        state.stack_depth += by;
        state.stack_need = state.stack_need.max(state.stack_depth);
    }

    pub fn emit_jump(&mut self, op: Op) -> Jump {
        self.emit(op);
        Jump(self.state().code.len() - 1)
    }

    /// Lets `jump` lead to the code that comes next.
    pub fn land(&mut self, jump: Jump) {
        let state = self.state();
        let distance = state.code.len() - jump.0 - 1;
        state.last_op = None;
        if distance > MAX_OPERAND {
            self.error("Too much code to jump over.");
        } else {
            state.code[jump.0] |= (distance as u32) << 8;
        }
    }

    /// The place where a loop begins.
    pub fn loop_start(&mut self) -> usize {
        self.state().last_op = None;
        self.state().code.len()
    }

    pub fn emit_loop(&mut self, start: usize) {
        let distance = self.state().code.len() + 1 - start;
        if distance > MAX_OPERAND {
            self.error("Loop body too large.");
        } else {
            self.emit_with(Op::Loop, distance);
        }
    }

    pub fn emit_constant(&mut self, value: Value) {
        let constant = self.constant(value);
        self.emit_with(Op::Constant, constant);
    }

    /// The number of the constant `value` in the innermost function.
    pub fn constant(&mut self, value: Value) -> usize {
        if let Some(known) = self.state().constants.get(&value.bits()) {
            return *known as usize;
        }
        if self.state().constants.len() > MAX_OPERAND {
            self.error("Too many constants in one function.");
            return 0;
        }
        let function = self.state().function;
        let heap = &mut self.runtime.heap;
        heap.temporaries.push(value);
        let added = function.add_constant(heap, value);
        heap.temporaries.pop();
        match added {
            Ok(index) => {
                self.state().constants.insert(value.bits(), index as u32);
                index
            }
            Err(error) => {
                self.run_out_of_memory(error);
                0
            }
        }
    }

    /// The number of the constant string `text`.
    pub fn string_constant(&mut self, text: &str) -> usize {
        match StringRef::intern(&mut self.runtime.heap, text.as_bytes()) {
            Ok(string) => self.constant(string.value()),
            Err(error) => {
                self.run_out_of_memory(error);
                0
            }
        }
    }

    /// The slot of the global variable `name`.
    pub fn global_slot(&mut self, name: &str) -> usize {
        let runtime = &mut *self.runtime;
        let slot = StringRef::intern(&mut runtime.heap, name.as_bytes()).and_then(|name| {
            runtime.heap.temporaries.push(name.value());
            let slot = runtime.globals.slot(&mut runtime.heap, name);
            runtime.heap.temporaries.pop();
            slot
        });
        match slot {
            Ok(slot) if slot <= MAX_OPERAND => slot,
            Ok(_) => {
                self.error("Too many global variables.");
                0
            }
            Err(error) => {
                self.run_out_of_memory(error);
                0
            }
        }
    }
}
