//! What may a page barrier rely on, on the kernel that runs here?
//!
//! Palimpsest's write barrier is the page table: userfaultfd write-protection, or `mprotect` where that is denied. Much of
//! what it relies on is written down nowhere, or is written down and was different in some kernel. So it is asked:
//! [`conformance`] holds the questions, each with what a runtime may expect, and compares that with what it sees.
//!
//! From the inside out: [`kernel`] makes the system calls, [`watch`] puts memory under a barrier in each of the four ways,
//! [`questions`] find facts with it, [`conformance`] asks them in processes of their own and prints the table.
//!
//! Nothing of `palimpsest-runtime` is used for that: if the runtime and the kernel disagree, it says what the kernel does. Only
//! [`examination`], the command without arguments, asks the runtime, for that is its question: what would a heap get here?

pub mod conformance;
pub mod examination;
pub mod kernel;
pub mod questions;
pub mod watch;
