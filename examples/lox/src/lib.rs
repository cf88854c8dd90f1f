//! Lox, the language of Robert Nystrom's book *Crafting Interpreters*, on the Palimpsest garbage collector.
//!
//! The interpreter exists to show what a language runtime on Palimpsest looks like: every object, table, array and
//! string of a Lox program lives in the collected heap, values are NaN-boxed words, and the interpreter writes them
//! with plain stores. There is no write barrier to find in this crate.
//!
//! Where to read first:
//!
//! 1. `value`: a value in a word, and how the collector tells a reference from a number.
//! 2. `heap` and `roots`: the interpreter's side of the contract with the collector: decoding and rooting.
//! 3. `object`: the objects, as typed references over words in the heap.
//! 4. `compiler`: from source to `bytecode` in one pass.
//! 5. `vm`: the interpreter loop and its slow paths.
//! 6. `cli` and `repl`: what the user sees.
//!
//! [`Vm`] is the interpreter as a library.

mod bytecode;
pub mod cli;
mod compiler;
mod diagnostics;
mod heap;
mod number;
mod object;
mod options;
mod repl;
mod roots;
mod runtime;
mod scanner;
mod token;
mod value;
mod vm;

pub use heap::HeapOptions;
pub use runtime::SetupError;
pub use vm::{InterpretError, Vm};
