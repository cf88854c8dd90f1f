//! The interpreter loop.
//!
//! An instruction either does its work right here, on the registers, or calls a slow path between `pause` and `resume`
//! (the macro `slow!`). Everything that may allocate, fail or call is a slow path, so no other instruction is a
//! safepoint, except `Loop`, which polls.

use crate::bytecode::Op;
use crate::object::InstanceRef;
use crate::value::Value;
use crate::vm::Vm;
use crate::vm::error::Failure;

impl Vm {
    /// Runs the innermost call and what it calls, until the outermost call returns.
    pub(super) fn run(&mut self) -> Result<(), Failure> {
        match self.steps {
            None => self.run_loop::<false>(),
            Some(_) => self.run_loop::<true>(),
        }
    }

    /// The loop, which counts instructions where they are `LIMITED`; where they are not, nothing is left of that.
    fn run_loop<const LIMITED: bool>(&mut self) -> Result<(), Failure> {
        let mut at = self.resume();

        /// Does something with the registers written back, and loads them again.
        macro_rules! slow {
            ($work:expr) => {{
                self.pause(&at);
                $work?;
                at = self.resume();
            }};
        }
        /// An operator on two numbers, or else a slow path.
        macro_rules! on_numbers {
            ($operation:expr, $otherwise:expr) => {{
                let (left, right) = (at.peek(1), at.peek(0));
                if let (Some(left), Some(right)) = (left.as_number(), right.as_number()) {
                    at.replace_two($operation(left, right));
                } else {
                    slow!($otherwise);
                }
            }};
        }
        macro_rules! arithmetic {
            ($operator:tt) => {
                on_numbers!(|left: f64, right: f64| Value::number(left $operator right), self.not_numbers())
            };
        }
        macro_rules! comparison {
            ($operator:tt) => {
                on_numbers!(|left: f64, right: f64| Value::bool(left $operator right), self.not_numbers())
            };
        }

        loop {
            if LIMITED {
                match self.steps.and_then(|steps| steps.checked_sub(1)) {
                    None => {
                        self.pause(&at);
                        return Err(Failure::error("Too many steps."));
                    }
                    left => self.steps = left,
                }
            }
            let word = at.fetch();
            let operand = (word >> 8) as usize;
            // SAFETY: the cursor points to an instruction, all of which the compiler makes with `Op::with`.
            match unsafe { Op::of(word) } {
                Op::Constant => at.push(at.constant(operand)),
                Op::Nil => at.push(Value::NIL),
                Op::True => at.push(Value::TRUE),
                Op::False => at.push(Value::FALSE),
                Op::Pop => at.sp = at.sp.wrapping_sub(1),
                Op::PopMany => at.sp = at.sp.wrapping_sub(operand),

                Op::GetLocal => at.push(at.local(operand)),
                Op::SetLocal => at.set_local(operand, at.peek(0)),
                Op::SetLocalPop => {
                    let value = at.pop();
                    at.set_local(operand, value);
                }
                Op::GetGlobal => {
                    let value = self.global(operand);
                    if value == Value::UNDEFINED {
                        self.pause(&at);
                        return Err(self.undefined_variable(operand));
                    }
                    at.push(value);
                }
                Op::SetGlobal => {
                    if self.global(operand) == Value::UNDEFINED {
                        self.pause(&at);
                        return Err(self.undefined_variable(operand));
                    }
                    self.set_global(operand, at.peek(0));
                }
                Op::DefineGlobal => {
                    let value = at.pop();
                    self.set_global(operand, value);
                }
                Op::GetUpvalue => at.push(self.captured(at.closure.upvalue(operand))),
                Op::SetUpvalue => self.set_captured(at.closure.upvalue(operand), at.peek(0)),

                Op::GetProperty => {
                    let name = at.name(operand);
                    match InstanceRef::from_value(at.peek(0)).and_then(|instance| instance.field(name)) {
                        Some(value) => at.replace(value),
                        None => slow!(self.get_method(name)),
                    }
                }
                Op::SetProperty => {
                    let (name, value) = (at.name(operand), at.peek(0));
                    let fields = InstanceRef::from_value(at.peek(1)).and_then(InstanceRef::fields);
                    if fields.is_some_and(|fields| fields.replace(name, value)) {
                        at.replace_two(value);
                    } else {
                        slow!(self.add_field(name));
                    }
                }
                Op::GetSuper => {
                    let name = at.name(operand);
                    slow!(self.get_super(name));
                }

                Op::Equal => at.replace_two(Value::bool(at.peek(1).lox_equals(at.peek(0)))),
                Op::NotEqual => at.replace_two(Value::bool(!at.peek(1).lox_equals(at.peek(0)))),
                Op::Greater => comparison!(>),
                Op::GreaterEqual => comparison!(>=),
                Op::Less => comparison!(<),
                Op::LessEqual => comparison!(<=),
                Op::Add => {
                    on_numbers!(|left: f64, right: f64| Value::number(left + right), self.concatenate())
                }
                Op::Subtract => arithmetic!(-),
                Op::Multiply => arithmetic!(*),
                Op::Divide => arithmetic!(/),
                Op::Not => at.replace(Value::bool(at.peek(0).is_falsey())),
                Op::Negate => match at.peek(0).as_number() {
                    Some(number) => at.replace(Value::number(-number)),
                    None => slow!(self.not_a_number()),
                },
                Op::Print => slow!(self.print()),

                Op::Jump => at.jump(operand),
                Op::PopJumpIfFalse => {
                    if at.pop().is_falsey() {
                        at.jump(operand);
                    }
                }
                Op::JumpIfFalse => {
                    if at.peek(0).is_falsey() {
                        at.jump(operand);
                    } else {
                        at.pop();
                    }
                }
                Op::JumpIfTrue => {
                    if at.peek(0).is_falsey() {
                        at.pop();
                    } else {
                        at.jump(operand);
                    }
                }
                Op::Loop => {
                    at.jump_back(operand);
                    self.stack.set_top(at.sp);
                    self.runtime.heap.poll();
                }

                Op::Call => slow!(self.call(operand)),
                Op::Invoke => {
                    let name = at.name(operand);
                    let arguments = at.fetch() as usize;
                    slow!(self.invoke(name, arguments));
                }
                Op::SuperInvoke => {
                    let name = at.name(operand);
                    let arguments = at.fetch() as usize;
                    slow!(self.invoke_super(name, arguments));
                }
                Op::Closure => {
                    let function = at.constant(operand);
                    slow!(self.make_closure(function));
                }
                Op::CloseUpvalue => {
                    let variable = at.sp.wrapping_sub(1);
                    self.close_upvalues(variable);
                    at.sp = variable;
                }
                Op::Return => {
                    let result = at.pop();
                    if self.highest_captured >= at.base {
                        self.close_upvalues(at.base);
                    }
                    self.frames.pop();
                    self.stack.set_top(at.base);
                    if self.frames.len() == 0 {
                        return Ok(());
                    }
                    self.stack.push(result);
                    at = self.resume();
                }

                Op::Class => {
                    let name = at.name(operand);
                    slow!(self.make_class(name));
                }
                Op::Inherit => slow!(self.inherit()),
                Op::Method => {
                    let name = at.name(operand);
                    slow!(self.define_method(name));
                }
            }
        }
    }

    #[inline(always)]
    fn global(&self, slot: usize) -> Value {
        // SAFETY: the compiler handed out the slot, and `globals` was refreshed after it had run.
        unsafe { self.globals.add(slot).read() }
    }

    #[inline(always)]
    fn set_global(&mut self, slot: usize, value: Value) {
        // SAFETY: as for `global`.
        unsafe { self.globals.add(slot).write(value) };
    }
}
