//! What is fuzzed: functions of bytes that end the process, or panic, if something is wrong, and otherwise return.
//!
//! cargo-fuzz runs them from `gc/fuzz`, with inputs that it makes up and keeps if they lead somewhere new; the test of this crate runs
//! them on any stable toolchain, with the inputs that are checked in (`gc/fuzz/corpus`) and with variations of these. None
//! takes long or much memory, whatever the bytes.

mod calls;
mod lox;
mod operations;
mod options;
#[path = "../../../tests/programs/mod.rs"]
mod programs;
mod rungs;

pub use calls::c_calls;
pub use lox::lox_source;
pub use operations::heap_operations;
pub use options::options_string;

/// A function of bytes.
pub type Target = fn(&[u8]);

/// All of them, by their names: those of the folders with their inputs.
pub const TARGETS: [(&str, Target); 4] = [
    ("lox_source", lox_source),
    ("options_string", options_string),
    ("c_calls", c_calls),
    ("heap_operations", heap_operations),
];
