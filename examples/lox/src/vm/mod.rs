//! The virtual machine: a value stack, a stack of calls, and a loop over instructions.
//!
//! * `run`: the loop, with what each instruction does when all goes well.
//! * `cursor`: the registers of the loop.
//! * `operations`: what is too rare or too long for the loop.
//! * `call`: calling things, creating instances.
//! * `upvalue`: captured variables.
//! * `error`: run-time errors and stack traces.
//! * `output`: what `print` prints.
//!
//! Value stack and call stack are native memory of fixed size, registered as roots once. The loop keeps the top of the
//! value stack in a register and writes it back (`pause`) before anything that may be a safepoint.

mod call;
mod cursor;
mod error;
mod operations;
mod output;
mod run;
mod upvalue;

use std::io;
use std::time::Instant;

use palimpsest::{Histogram, Stats};

use crate::compiler::{self, CompileError, Mode};
use crate::heap::HeapOptions;
use crate::object::ClosureRef;
use crate::roots::{RootStack, RootWords};
use crate::runtime::{Runtime, SetupError};
use crate::value::Value;
use error::Failure;
use output::Output;

/// Most calls that can be active at the same time.
const MAX_FRAMES: usize = 10_000;

/// Most values on the stack: room for a hundred in each of these calls.
const MAX_STACK: usize = 1 << 20;

/// An active call.
#[derive(Clone, Copy)]
#[repr(C)]
struct Frame {
    /// The closure that is running.
    closure: Value,
    /// The next instruction, whenever the call is not the one that is running.
    ip: *const u32,
    /// Stack slot 0 of the call.
    base: *mut Value,
}

// SAFETY: three words: a value, and two native or heap addresses, whose high bits are zero and which so never decode as
// references. All zero is valid for each.
unsafe impl RootWords for Frame {}

/// An interpreter: a heap with one program's, or one session's, globals.
pub struct Vm {
    stack: RootStack<Value>,
    frames: RootStack<Frame>,
    /// A single value: the head of the list of open upvalues.
    open_upvalues: RootStack<Value>,
    /// The highest stack slot that an open upvalue refers to, or null.
    highest_captured: *mut Value,
    /// The slots of the globals, which only move while compiling.
    globals: *mut Value,
    output: Output,
    /// How many more instructions may be executed, where there is a limit.
    steps: Option<u64>,
    started: Instant,
    /// Last, so that the roots above are unregistered before the heap goes.
    runtime: Runtime,
}

/// How running a source ended, if not well.
#[derive(Debug)]
pub enum InterpretError {
    /// Nothing was run. The errors, a line each.
    Compile(String),
    /// What went wrong, and the stack trace.
    Runtime(String),
    /// What was printed could not be written.
    Output(io::Error),
}

impl Vm {
    /// An interpreter with an empty heap.
    pub fn new(options: &HeapOptions) -> Result<Vm, SetupError> {
        let runtime = Runtime::new(options)?;
        let heap = runtime.heap.collector();
        let stack = RootStack::new(heap, MAX_STACK);
        let frames = RootStack::new(heap, MAX_FRAMES);
        let mut open_upvalues = RootStack::new(heap, 1);
        open_upvalues.push(Value::NIL);
        Ok(Vm {
            stack,
            frames,
            open_upvalues,
            highest_captured: std::ptr::null_mut(),
            globals: std::ptr::null_mut(),
            output: Output::new(),
            steps: None,
            started: Instant::now(),
            runtime,
        })
    }

    /// From here on the interpreter executes so many instructions, and then no more: `Too many steps.` is the run-time error. For
    /// hosts that run what others wrote; memory has a limit in any case ([`HeapOptions`]), and so has the depth of calls.
    pub fn limit_steps(&mut self, steps: u64) {
        self.steps = Some(steps);
    }

    /// Writes what programs print to somewhere else than standard output.
    pub fn print_to(&mut self, to: impl io::Write + 'static) {
        self.output = Output::to(Box::new(to));
    }

    /// Compiles and runs a whole program.
    pub fn run_script(&mut self, source: &str) -> Result<(), InterpretError> {
        self.interpret(source, Mode::Script)
    }

    /// Compiles and runs one entry of a session; a last expression without semicolon is printed.
    pub fn run_entry(&mut self, source: &str) -> Result<(), InterpretError> {
        self.interpret(source, Mode::Entry)
    }

    /// Runs something that waits, such as reading from the terminal, without holding up the collector.
    pub fn blocking<R>(&mut self, wait: impl FnOnce() -> R) -> R {
        self.runtime.heap.blocking(wait)
    }

    /// What the collector has done so far.
    pub fn stats(&self) -> Stats {
        self.runtime.heap.collector().stats()
    }

    /// How long the collector stopped the program, so far.
    pub fn pauses(&self) -> Histogram {
        self.runtime.heap.collector().pauses()
    }

    fn interpret(&mut self, source: &str, mode: Mode) -> Result<(), InterpretError> {
        let outcome = self.compile_and_run(source, mode);
        let flushed = self.output.flush(&mut self.runtime.heap);
        outcome?;
        flushed.map_err(InterpretError::Output)
    }

    fn compile_and_run(&mut self, source: &str, mode: Mode) -> Result<(), InterpretError> {
        let function = compiler::compile(&mut self.runtime, source, mode).map_err(|error| match error {
            CompileError::Errors(errors) => InterpretError::Compile(errors),
            CompileError::OutOfMemory => InterpretError::Runtime(format!("{}\n", error::OUT_OF_MEMORY)),
        })?;
        self.globals = self.runtime.globals.values();
        // The function, and then the closure over it, is in slot 0 of the script's call.
        self.stack.push(function.value());
        let outcome =
            ClosureRef::new(&mut self.runtime.heap, function).map_err(Failure::from).and_then(|closure| {
                self.stack.pop();
                self.stack.push(closure.value());
                self.enter(closure, 0)?;
                self.run()
            });
        outcome.map_err(|failure| {
            let error = self.describe(failure);
            self.unwind();
            error
        })
    }

    /// Forgets all active calls.
    fn unwind(&mut self) {
        self.close_upvalues(self.stack.base());
        self.frames.truncate(0);
        self.stack.truncate(0);
    }
}
