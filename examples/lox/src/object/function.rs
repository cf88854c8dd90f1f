//! Code and what runs it: functions, closures over them, captured variables, and the functions that are built in.
//!
//! ```text
//! Bytes     header (length) | bytes            a leaf: bytecode or a line table
//! Function  header (arity | upvalues << 8) | name or nil | bytecode | lines | constants | stack need
//! Closure   header (upvalues) | function | upvalue, upvalue, ...
//! Upvalue   header (stack slot + 1, or 0) | value | next open upvalue
//! Native    header (which)
//! ```
//!
//! A captured variable starts *open*: its upvalue names a slot of the value stack by index, and the variable lives
//! there. When the variable goes out of scope the upvalue is *closed*: the value moves into the upvalue itself, with
//! plain stores. Open upvalues form a list, sorted from the top of the stack down.

use palimpsest::OutOfMemory;

use crate::heap::LoxHeap;
use crate::object::{ArrayRef, ObjectKind, ObjectRef, StringRef, reference_type};
use crate::value::Value;

reference_type! {
    /// Bytes that are not a string.
    BytesRef, Bytes
}

impl BytesRef {
    /// A copy of `bytes` in the heap.
    pub fn new(heap: &mut LoxHeap, bytes: &[u8]) -> Result<BytesRef, OutOfMemory> {
        let object = ObjectRef::leaf(heap, ObjectKind::Bytes, 8 + bytes.len(), bytes.len() as u64)?;
        // SAFETY: allocated with this much room after the header.
        unsafe { object.bytes_from(1).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Ok(BytesRef(object))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the object is alive, all its bytes were written in `new` and never are again.
        unsafe { std::slice::from_raw_parts(self.start(), self.0.payload() as usize) }
    }

    /// The first byte, at a multiple of 8.
    #[inline(always)]
    pub fn start(self) -> *const u8 {
        self.0.bytes_from(1)
    }
}

reference_type! {
    /// A compiled function.
    FunctionRef, Function
}

const NAME: usize = 1;
const CODE: usize = 2;
const LINES: usize = 3;
const CONSTANTS: usize = 4;
const STACK_NEED: usize = 5;

impl FunctionRef {
    /// A function without code, into whose constants the compiler collects. `name` is a string, or nil for a script.
    pub fn new(heap: &mut LoxHeap, name: Value) -> Result<FunctionRef, OutOfMemory> {
        heap.temporaries.push(name);
        let function = ObjectRef::traced(heap, ObjectKind::Function, 6, 0);
        heap.temporaries.pop();
        let function = function?;
        function.set_field(NAME, name);
        for field in [CODE, LINES, CONSTANTS] {
            function.set_field(field, Value::NIL);
        }
        Ok(FunctionRef(function))
    }

    /// Adds a constant, which the caller has rooted together with the function.
    pub fn add_constant(self, heap: &mut LoxHeap, constant: Value) -> Result<usize, OutOfMemory> {
        ArrayRef::push_in(heap, self.0, CONSTANTS, constant)
    }

    /// Gives the function its code, so that it can run. The caller has rooted it.
    pub fn finish(
        self,
        heap: &mut LoxHeap,
        arity: usize,
        upvalues: usize,
        stack_need: usize,
        code: &[u8],
        lines: &[u8],
    ) -> Result<(), OutOfMemory> {
        self.0.set_payload((arity | upvalues << 8) as u64);
        self.0.set_word(STACK_NEED, stack_need as u64);
        let code = BytesRef::new(heap, code)?;
        self.0.set_field(CODE, code.value());
        let lines = BytesRef::new(heap, lines)?;
        self.0.set_field(LINES, lines.value());
        Ok(())
    }

    /// The name, unless this is a script.
    pub fn name(self) -> Option<StringRef> {
        StringRef::from_value(self.0.field(NAME))
    }

    /// How many arguments a call has to pass.
    #[inline(always)]
    pub fn arity(self) -> usize {
        (self.0.payload() & 0xff) as usize
    }

    /// How many variables a closure over the function captures.
    #[inline(always)]
    pub fn upvalue_count(self) -> usize {
        (self.0.payload() >> 8) as usize
    }

    /// Most values that a call has on the stack, the callee's own slot included.
    #[inline(always)]
    pub fn stack_need(self) -> usize {
        self.0.word(STACK_NEED) as usize
    }

    /// The bytecode of a finished function.
    #[inline(always)]
    pub fn code(self) -> BytesRef {
        // SAFETY: `finish` stored a `Bytes` object here, before the function could be run.
        unsafe { BytesRef::from_known(self.0.field(CODE)) }
    }

    /// The line table of a finished function.
    pub fn lines(self) -> BytesRef {
        // SAFETY: as for `code`.
        unsafe { BytesRef::from_known(self.0.field(LINES)) }
    }

    /// The first constant; dangling if there is none.
    #[inline(always)]
    pub fn constants(self) -> *const Value {
        let constants = self.0.field(CONSTANTS);
        if constants.is_reference() {
            // SAFETY: a reference in this field is the array that `add_constant` made.
            unsafe { ArrayRef::from_known(constants) }.elements()
        } else {
            std::ptr::dangling()
        }
    }
}

reference_type! {
    /// A function together with the variables it captured.
    ClosureRef, Closure
}

impl ClosureRef {
    /// A closure whose upvalues are still to be set. The caller has rooted `function`.
    pub fn new(heap: &mut LoxHeap, function: FunctionRef) -> Result<ClosureRef, OutOfMemory> {
        let upvalues = function.upvalue_count();
        let closure = ObjectRef::traced(heap, ObjectKind::Closure, 2 + upvalues, upvalues as u64)?;
        closure.set_field(1, function.value());
        Ok(ClosureRef(closure))
    }

    /// The function.
    #[inline(always)]
    pub fn function(self) -> FunctionRef {
        // SAFETY: `new` stored a function here, and nothing else ever does.
        unsafe { FunctionRef::from_known(self.0.field(1)) }
    }

    /// Captured variable `index`.
    #[inline(always)]
    pub fn upvalue(self, index: usize) -> UpvalueRef {
        debug_assert!(index < self.0.payload() as usize);
        // SAFETY: the instruction that makes a closure sets all its upvalues before anything can run the closure.
        unsafe { UpvalueRef::from_known(self.0.field(2 + index)) }
    }

    /// Sets captured variable `index`.
    pub fn set_upvalue(self, index: usize, upvalue: UpvalueRef) {
        assert!(index < self.0.payload() as usize);
        self.0.set_field(2 + index, upvalue.value());
    }
}

reference_type! {
    /// A captured variable.
    UpvalueRef, Upvalue
}

impl UpvalueRef {
    /// An open upvalue for stack slot `slot`, in front of the list that starts with `next`, which the caller has
    /// rooted.
    pub fn new(heap: &mut LoxHeap, slot: usize, next: Value) -> Result<UpvalueRef, OutOfMemory> {
        let upvalue = ObjectRef::traced(heap, ObjectKind::Upvalue, 3, slot as u64 + 1)?;
        upvalue.set_field(2, next);
        Ok(UpvalueRef(upvalue))
    }

    /// The stack slot in which the variable lives, while the upvalue is open.
    #[inline(always)]
    pub fn open_slot(self) -> Option<usize> {
        (self.0.payload() as usize).checked_sub(1)
    }

    /// The variable's value, once the upvalue is closed.
    #[inline(always)]
    pub fn closed_value(self) -> Value {
        self.0.field(1)
    }

    /// Assigns the variable, once the upvalue is closed.
    #[inline(always)]
    pub fn set_closed_value(self, value: Value) {
        self.0.set_field(1, value);
    }

    /// Closes the upvalue: from now on the variable lives here, and starts as `value`.
    pub fn close(self, value: Value) {
        self.0.set_field(1, value);
        self.0.set_field(2, Value::NIL);
        self.0.set_payload(0);
    }

    /// The next open upvalue further down the stack, or nil.
    pub fn next(self) -> Value {
        self.0.field(2)
    }

    /// Puts `next` behind this upvalue in the list.
    pub fn set_next(self, next: UpvalueRef) {
        self.0.set_field(2, next.value());
    }
}

reference_type! {
    /// A built-in function.
    NativeRef, Native
}

/// Which built-in function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Native {
    /// `clock()`: seconds since the interpreter started.
    Clock,
}

impl Native {
    /// All of them with their names, in the order of their numbers.
    pub const ALL: [(Native, &'static str); 1] = [(Native::Clock, "clock")];
}

impl NativeRef {
    /// An object for a built-in function.
    pub fn new(heap: &mut LoxHeap, native: Native) -> Result<NativeRef, OutOfMemory> {
        ObjectRef::traced(heap, ObjectKind::Native, 1, native as u64).map(NativeRef)
    }

    /// Which one it is.
    pub fn which(self) -> Native {
        Native::ALL[self.0.payload() as usize].0
    }
}
