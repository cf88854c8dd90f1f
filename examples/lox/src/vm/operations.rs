//! What instructions do away from the fast path. The registers are written back: operands and results are on the
//! value stack, and operands are left there until nothing more is allocated.

use crate::bytecode::Capture;
use crate::object::{BoundMethodRef, ClassRef, ClosureRef, FunctionRef, InstanceRef, StringRef};
use crate::value::Value;
use crate::vm::Vm;
use crate::vm::error::Failure;

impl Vm {
    /// The value `depth` below the top.
    pub(super) fn peek(&self, depth: usize) -> Value {
        self.stack.get(self.stack.len() - 1 - depth)
    }

    /// Takes `operands` values off the stack and pushes `result`.
    pub(super) fn finish(&mut self, operands: usize, result: Value) {
        self.stack.truncate(self.stack.len() - operands);
        self.stack.push(result);
    }

    /// `+` on anything but two numbers.
    pub(super) fn concatenate(&mut self) -> Result<(), Failure> {
        let operands = (StringRef::from_value(self.peek(1)), StringRef::from_value(self.peek(0)));
        let (Some(left), Some(right)) = operands else {
            return Err(Failure::error("Operands must be two numbers or two strings."));
        };
        let string = StringRef::concatenate(&mut self.runtime.heap, left, right)?;
        self.finish(2, string.value());
        Ok(())
    }

    #[cold]
    pub(super) fn not_numbers(&mut self) -> Result<(), Failure> {
        Err(Failure::error("Operands must be numbers."))
    }

    #[cold]
    pub(super) fn not_a_number(&mut self) -> Result<(), Failure> {
        Err(Failure::error("Operand must be a number."))
    }

    #[cold]
    pub(super) fn undefined_variable(&self, slot: usize) -> Failure {
        Failure::error(format!("Undefined variable '{}'.", self.runtime.globals.name(slot).text()))
    }

    #[cold]
    pub(super) fn undefined_property(name: StringRef) -> Failure {
        Failure::error(format!("Undefined property '{}'.", name.text()))
    }

    /// `print`.
    pub(super) fn print(&mut self) -> Result<(), Failure> {
        let value = self.stack.pop();
        self.output.print(value, &mut self.runtime.heap).map_err(Failure::Output)
    }

    /// `object.name` where that is not a field: a method, bound to the object.
    pub(super) fn get_method(&mut self, name: StringRef) -> Result<(), Failure> {
        let Some(instance) = InstanceRef::from_value(self.peek(0)) else {
            return Err(Failure::error("Only instances have properties."));
        };
        let method = instance.class().method(name).ok_or_else(|| Self::undefined_property(name))?;
        let bound = BoundMethodRef::new(&mut self.runtime.heap, instance.value(), method)?;
        self.finish(1, bound.value());
        Ok(())
    }

    /// `object.name = value` where the object has no such field yet.
    pub(super) fn add_field(&mut self, name: StringRef) -> Result<(), Failure> {
        let value = self.peek(0);
        let Some(instance) = InstanceRef::from_value(self.peek(1)) else {
            return Err(Failure::error("Only instances have fields."));
        };
        instance.set_field(&mut self.runtime.heap, name, value)?;
        self.finish(2, value);
        Ok(())
    }

    /// `super.name`: the receiver and the superclass are on the stack.
    pub(super) fn get_super(&mut self, name: StringRef) -> Result<(), Failure> {
        let method = self.superclass().method(name).ok_or_else(|| Self::undefined_property(name))?;
        let receiver = self.peek(1);
        let bound = BoundMethodRef::new(&mut self.runtime.heap, receiver, method)?;
        self.finish(2, bound.value());
        Ok(())
    }

    /// The superclass on top of the stack.
    pub(super) fn superclass(&self) -> ClassRef {
        ClassRef::from_value(self.peek(0)).expect("`Inherit` has checked the variable `super`")
    }

    pub(super) fn make_class(&mut self, name: StringRef) -> Result<(), Failure> {
        let class = ClassRef::new(&mut self.runtime.heap, name)?;
        self.stack.push(class.value());
        Ok(())
    }

    pub(super) fn inherit(&mut self) -> Result<(), Failure> {
        let Some(superclass) = ClassRef::from_value(self.peek(1)) else {
            return Err(Failure::error("Superclass must be a class."));
        };
        let class = ClassRef::from_value(self.peek(0)).expect("the class that is being declared");
        class.inherit(&mut self.runtime.heap, superclass)?;
        self.stack.pop();
        Ok(())
    }

    pub(super) fn define_method(&mut self, name: StringRef) -> Result<(), Failure> {
        let class = ClassRef::from_value(self.peek(1)).expect("the class that is being declared");
        let method = ClosureRef::from_value(self.peek(0)).expect("the method that has just been made");
        let is_initializer = name == self.runtime.init;
        class.set_method(&mut self.runtime.heap, name, method, is_initializer)?;
        self.stack.pop();
        Ok(())
    }

    /// Makes a closure, reading what it captures from the words after the instruction.
    pub(super) fn make_closure(&mut self, function: Value) -> Result<(), Failure> {
        let function = FunctionRef::from_value(function).expect("the constant of a `Closure` instruction");
        let closure = ClosureRef::new(&mut self.runtime.heap, function)?;
        self.stack.push(closure.value());
        let mut at = self.resume();
        for index in 0..function.upvalue_count() {
            let capture = Capture::from_word(at.fetch());
            let upvalue = if capture.is_local {
                self.capture(at.base.wrapping_add(capture.index.into()))?
            } else {
                at.closure.upvalue(capture.index.into())
            };
            closure.set_upvalue(index, upvalue);
        }
        self.pause(&at);
        Ok(())
    }
}
