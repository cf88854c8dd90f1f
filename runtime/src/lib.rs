//! The part of Palimpsest that knows pages, processes and threads, and no object.
//!
//! A concurrent collector needs three things from the machine below it: to learn of the mutator's first write
//! to a page before that write lands, to keep what the page held, and to read the heap as it was while the
//! mutator goes on. This crate provides them without a compiler's help, from Linux userfaultfd write-protection
//! (kernel document `admin-guide/mm/userfaultfd`), `fork`, and shared memory:
//!
//! * [`barrier`] arms pages, traps the first write, saves the pre-image and opens the page;
//! * [`worker`] forks a process that sees the heap exactly as it was at the fork, whatever the parent writes;
//! * [`mutator`] knows the attached threads and brings them to a safepoint;
//! * [`mapping`] holds the heap's address range and the tables that parent and worker share;
//! * [`host_fork`] keeps a heap and the children that its process forks apart;
//! * [`ladder`] tries the ways of keeping a snapshot that this machine allows, and says why it does without the others;
//! * [`crash`] says what is known when an invariant does not hold, and ends the process;
//! * [`sys`] is the one room in which system calls are made.
//!
//! The `palimpsest` collector (package `palimpsest-gc`) is built on it. An embedder normally uses that crate.
#![cfg(target_os = "linux")]
// What only the real tables use.
#![cfg_attr(miri, allow(dead_code))]

pub mod barrier;
pub mod crash;
pub mod error;
pub mod host_fork;
pub mod ladder;
pub mod mapping;
#[cfg(palimpsest_mutations)]
pub mod mistakes;
pub mod mutator;
mod sizes;
mod sync;
pub mod sys;
pub mod unit;
pub mod worker;

pub use error::Error;
pub use unit::{Address, Bytes, CHUNK_PAGES, CHUNK_SIZE, PAGE_SIZE, PageIndex, PageRange};
