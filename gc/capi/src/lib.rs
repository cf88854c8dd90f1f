//! The C interface of Palimpsest: the crate `palimpsest`, for programs that are not written in Rust.
//!
//! `include/palimpsest.h` is made of this crate by cbindgen, and checked in; a test compares. The functions are documented
//! there for C, in these comments; the chapter *The C interface* of the book is the guide.
//!
//! # The contract of all functions
//!
//! Functions here are `unsafe` because of what C passes, and of all of them the same is asked, so it is said once. A pointer to a thing
//! of this interface came from this interface. What it points to is freed by one thread, when no other uses it. Other pointers
//! may be NULL, which is an error; otherwise they are what their type says, for as long as the function says. A function that C
//! passes does not unwind: no C++ exception and no `longjmp` leaves it.
//!
//! Everything else that is wrong is answered with a status, as far as it can be seen.
//!
//! # What is where
//!
//! | file | its subject |
//! | --- | --- |
//! | `status` | errors, and the border that no panic crosses |
//! | `opaque` | things that C holds by pointers, and what is seen of their misuse |
//! | `config`, `heap`, `kinds`, `codec` | making heaps |
//! | `mutator`, `regions` | attached threads: allocation, cycles; regions in which they do something else |
//! | `trace` | native trace functions |
//! | `inline` | the words of the allocation fast path |
//! | `roots`, `weak`, `maps`, `finalizers` | what keeps objects, and what does not |
//! | `stats`, `cycles`, `events` | what can be asked, and what is told |
#![allow(non_camel_case_types, reason = "types and constants are called as they are in C")]
#![allow(clippy::missing_safety_doc, reason = "the contract is the same for all functions, and said above")]

mod codec;
mod config;
mod cycles;
mod events;
mod finalizers;
mod heap;
mod inline;
mod kinds;
mod maps;
mod mutator;
mod opaque;
mod regions;
mod roots;
mod stats;
mod status;
mod trace;
mod weak;

/// The functions and types by a path, for programs in Rust that test them. C knows them by their names.
#[doc(hidden)]
pub mod by_path {
    pub use crate::config::*;
    pub use crate::finalizers::*;
    pub use crate::heap::*;
    pub use crate::kinds::*;
    pub use crate::maps::*;
    pub use crate::mutator::*;
    pub use crate::regions::*;
    pub use crate::roots::*;
    pub use crate::stats::*;
    pub use crate::status::*;
    pub use crate::weak::*;
}
