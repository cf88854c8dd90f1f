//! Run-time errors, with a stack trace from the innermost call outwards:
//!
//! ```text
//! Operands must be numbers.
//! [line 2] in area()
//! [line 5] in script
//! ```

use std::fmt::Write as _;
use std::io;

use palimpsest::OutOfMemory;

use crate::bytecode::line_of;
use crate::object::ClosureRef;
use crate::vm::{InterpretError, Vm};

/// The message for a full heap.
pub const OUT_OF_MEMORY: &str = "Out of memory.";

/// Of a longer stack trace, only so many calls at either end are shown.
const SHOWN_CALLS: usize = 20;

/// Why the program cannot go on.
pub enum Failure {
    /// A mistake in the program.
    Error(String),
    /// The heap is full of objects that are in use.
    OutOfMemory,
    /// What was printed cannot be written.
    Output(io::Error),
}

impl Failure {
    #[cold]
    pub fn error(message: impl Into<String>) -> Failure {
        Failure::Error(message.into())
    }
}

impl From<OutOfMemory> for Failure {
    fn from(_: OutOfMemory) -> Failure {
        Failure::OutOfMemory
    }
}

impl Vm {
    /// What to tell the user about a failure of the innermost call.
    pub(super) fn describe(&self, failure: Failure) -> InterpretError {
        match failure {
            Failure::Error(message) => InterpretError::Runtime(self.with_trace(&message)),
            Failure::OutOfMemory => InterpretError::Runtime(self.with_trace(OUT_OF_MEMORY)),
            Failure::Output(error) => InterpretError::Output(error),
        }
    }

    fn with_trace(&self, message: &str) -> String {
        let mut text = format!("{message}\n");
        let calls = self.frames.len();
        for (distance, index) in (0..calls).rev().enumerate() {
            if distance >= SHOWN_CALLS && index >= SHOWN_CALLS {
                if distance == SHOWN_CALLS {
                    writeln!(text, "... {} more calls ...", calls - 2 * SHOWN_CALLS)
                        .expect("a string takes everything");
                }
                continue;
            }
            let frame = self.frames.get(index);
            let Some(function) = ClosureRef::from_value(frame.closure).map(ClosureRef::function) else {
                continue;
            };
            let words = (frame.ip as usize - function.code().start() as usize) / size_of::<u32>();
            // The instruction pointer is past the instruction; words that belong to one have its line.
            let line = line_of(function.lines().bytes(), words.saturating_sub(1));
            let place = function.name().map_or("script".to_owned(), |name| format!("{}()", name.text()));
            writeln!(text, "[line {line}] in {place}").expect("a string takes everything");
        }
        text
    }
}
