//! The small protocols of `palimpsest-gc` under a model checker.
//!
//! The modules with a `#[path]` are the files of `gc/src`, as they ship; what they find at `crate::sync`, and in
//! `palimpsest_runtime`, is that of `runtime/model`, where the rest is explained.
#![allow(dead_code, reason = "the protocols' files have items that no model uses")]
#![allow(missing_docs, reason = "items of the protocols' surroundings, documented where they ship")]
#![allow(clippy::modulo_one, reason = "a table of one entry is the smallest that can be tried")]

mod colours;
pub mod error;
pub mod events;
#[path = "../../src/kind.rs"]
pub mod kind;
#[path = "../../src/local.rs"]
mod local;
mod mailbox;
pub mod mark;
#[path = "../../src/metadata.rs"]
pub mod metadata;
pub mod models;
#[path = "../../src/reclaim.rs"]
mod reclaim;
mod sizes;
#[path = "../../src/space/mod.rs"]
pub mod space;
pub mod stats;
mod sync;
#[path = "../../src/unit.rs"]
pub mod unit;
pub mod weak;
mod wide;
