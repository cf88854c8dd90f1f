//! Calls. The callee and its arguments are on the stack, callee first; its slot becomes slot 0 of the call, and in the
//! end holds the result.

use crate::object::{
    BoundMethodRef, ClassRef, ClosureRef, InstanceRef, Native, NativeRef, ObjectKind, ObjectRef, StringRef,
};
use crate::value::Value;
use crate::vm::error::Failure;
use crate::vm::{Frame, Vm};

impl Vm {
    /// Calls whatever lies below the arguments.
    pub(super) fn call(&mut self, arguments: usize) -> Result<(), Failure> {
        let callee = self.peek(arguments);
        if let Some(closure) = ClosureRef::from_value(callee) {
            return self.enter(closure, arguments);
        }
        match ObjectRef::from_value(callee).map(ObjectRef::kind) {
            Some(ObjectKind::Class) => {
                self.instantiate(ClassRef::from_value(callee).expect("its kind says so"), arguments)
            }
            Some(ObjectKind::BoundMethod) => {
                let bound = BoundMethodRef::from_value(callee).expect("its kind says so");
                self.replace_callee(arguments, bound.receiver());
                self.enter(bound.method(), arguments)
            }
            Some(ObjectKind::Native) => {
                let native = NativeRef::from_value(callee).expect("its kind says so").which();
                self.call_native(native, arguments)
            }
            _ => Err(Failure::error("Can only call functions and classes.")),
        }
    }

    /// `object.name(...)`, without making a bound method.
    pub(super) fn invoke(&mut self, name: StringRef, arguments: usize) -> Result<(), Failure> {
        let Some(instance) = InstanceRef::from_value(self.peek(arguments)) else {
            return Err(Failure::error("Only instances have methods."));
        };
        if let Some(value) = instance.field(name) {
            self.replace_callee(arguments, value);
            return self.call(arguments);
        }
        match instance.class().method(name) {
            Some(method) => self.enter(method, arguments),
            None => Err(Self::undefined_property(name)),
        }
    }

    /// `super.name(...)`: the superclass is above the arguments.
    pub(super) fn invoke_super(&mut self, name: StringRef, arguments: usize) -> Result<(), Failure> {
        let method = self.superclass().method(name).ok_or_else(|| Self::undefined_property(name))?;
        self.stack.pop();
        self.enter(method, arguments)
    }

    /// Begins a call of `closure`. A safepoint.
    #[inline]
    pub(super) fn enter(&mut self, closure: ClosureRef, arguments: usize) -> Result<(), Failure> {
        let function = closure.function();
        if arguments != function.arity() {
            return Err(wrong_arguments(function.arity(), arguments));
        }
        let base = self.stack.top().wrapping_sub(arguments + 1);
        let room = (self.stack.limit() as usize - base as usize) / size_of::<Value>();
        if function.stack_need() > room || self.frames.top() == self.frames.limit() {
            return Err(Failure::error("Stack overflow."));
        }
        let ip = function.code().start().cast();
        self.frames.push(Frame { closure: closure.value(), ip, base });
        self.runtime.heap.poll();
        Ok(())
    }

    /// Calls a class: a new instance takes its place, and the initialiser is called if there is one.
    fn instantiate(&mut self, class: ClassRef, arguments: usize) -> Result<(), Failure> {
        let instance = InstanceRef::new(&mut self.runtime.heap, class)?;
        self.replace_callee(arguments, instance.value());
        match class.initializer() {
            Some(initializer) => self.enter(initializer, arguments),
            None if arguments == 0 => Ok(()),
            None => Err(wrong_arguments(0, arguments)),
        }
    }

    fn call_native(&mut self, native: Native, arguments: usize) -> Result<(), Failure> {
        match native {
            Native::Clock if arguments == 0 => {
                self.replace_callee(0, Value::number(self.started.elapsed().as_secs_f64()));
                Ok(())
            }
            Native::Clock => Err(wrong_arguments(0, arguments)),
        }
    }

    fn replace_callee(&mut self, arguments: usize, value: Value) {
        let slot = self.stack.top().wrapping_sub(arguments + 1);
        // SAFETY: the compiler pushed a callee below the arguments.
        unsafe { slot.write(value) };
    }
}

#[cold]
fn wrong_arguments(expected: usize, given: usize) -> Failure {
    Failure::error(format!("Expected {expected} arguments but got {given}."))
}
