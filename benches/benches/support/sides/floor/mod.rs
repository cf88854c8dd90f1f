//! The floors: the least that a program can do, as what ours is compared with.
//!
//! * [`waiting::Floor`] resolves first writes while the writer waits, by one of three means;
//! * [`afterwards::AsyncFloor`] has the kernel resolve them and asks afterwards;
//! * [`stopped::Bystander`] is a thread that a pause stops, and [`gathering::Gathering`] any number of them;
//! * [`memory::Inherited`] is memory that a fork copies the page tables of.
//!
//! There is no state of pages, no dirty map, no heap to look for, no thread that could come in between: what is left is the
//! kernel's part.

pub(crate) mod afterwards;
pub(crate) mod gathering;
pub(crate) mod memory;
pub(crate) mod stopped;
mod uffd;
pub(crate) mod waiting;
