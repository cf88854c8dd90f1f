//! The floors: the least that a program can do, as what ours is compared with.
//!
//! * [`Floor`] resolves first writes while the writer waits, by one of three means;
//! * [`AsyncFloor`] has the kernel resolve them and asks afterwards;
//! * [`Bystander`] is a thread that a pause stops, and [`Inherited`] memory that a fork copies the page tables of.
//!
//! There is no state of pages, no dirty map, no heap to look for, no thread that could come in between: what is left is the
//! kernel's part.

mod afterwards;
mod memory;
mod stopped;
mod uffd;
mod waiting;

pub(crate) use afterwards::AsyncFloor;
pub(crate) use memory::Inherited;
pub(crate) use stopped::Bystander;
pub(crate) use waiting::Floor;
