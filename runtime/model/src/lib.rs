//! The small protocols of `palimpsest-runtime` under a model checker.
//!
//! The modules with a `#[path]` are the files of `runtime/src`, as they ship. What they find at `crate::sync` here is the
//! checker's, [loom](https://docs.rs/loom)'s. The kernel is modelled: page protection ([`mapping`]), sleeping on a word
//! ([`sys::futex`]). Pages have two words and chunks one page, so that all schedules can be tried.
//!
//! `runtime-model`, the program, goes through [`models::ALL`] and says how many schedules it has tried; then it makes each
//! mistake that the code names (`mutation!`), and weakens each memory order in it, and says which the models catch. See
//! [`explore`].
#![allow(dead_code, reason = "the protocols' files have items that no model uses")]
#![allow(clippy::absurd_extreme_comparisons, reason = "nobody spins before he sleeps")]
#![allow(missing_docs, reason = "items of the protocols' surroundings, documented where they ship")]

pub mod barrier;
pub mod crash;
#[path = "../../src/error.rs"]
pub mod error;
pub mod explore;
pub mod ladder;
pub mod mapping;
pub mod models;
#[path = "../../src/mutator/mod.rs"]
pub mod mutator;
mod sizes;
pub mod sync;
pub mod sys;
#[path = "../../src/unit.rs"]
pub mod unit;
pub mod worker;

pub use error::Error;
pub use unit::{Address, Bytes, CHUNK_PAGES, CHUNK_SIZE, PAGE_SIZE, PageIndex, PageRange};
