//! Random programs on the raw interface, each run in a heap and in a model of it at the same time.
//!
//! A program is a list of operations ([`ops`]). Its operands are small numbers that count among what there is at that moment (the third
//! root, the fifth reachable object), so any list is a valid program, and stays one when a part of it is taken out: that is what
//! makes it shrink. It is written as a text, one operation a line, and read back from it.
//!
//! [`model`] is the shadow graph: identities and edges, no memory. [`world`] does each operation in both, and compares. [`language`]
//! says what the objects look like, and has the *gate*, by which a worker is held in the middle of its marking until the
//! program has done what it likes. [`run`] has the threads and the rungs, [`apart`] the process
//! that may go down with a program, [`fork`] the children that a program makes.
//!
//! # What is compared
//!
//! Operations come one at a time, whichever thread does them, so the model is never in doubt about what the program can
//! reach; what runs beside them are cycles. What is asserted after any of them:
//!
//! * What is reachable, from roots or from what waits for a finalizer, has its contents and its references.
//! * A weak reference leads to its target if that was reachable all the time since the reference was made. An entry of a map, a
//!   table, or an ephemeron is there if its key was alive all the time.
//! * Each registration is taken once at most, and not unless its object was unreachable since.
//!
//! And after a full cycle that was asked for, unless a thread's stack is scanned, which may keep anything:
//!
//! * As many objects are marked as the model has live ones.
//! * Weak references to what was unreachable are cut, entries of what was dead are gone.
//! * What is registered and was unreachable waits in the queue, and at the end everything registered was taken exactly once.
#![allow(dead_code, unused_imports, reason = "tests, and the fuzz targets, use some of it each")]

pub mod apart;
pub mod check;
pub mod fork;
pub mod language;
pub mod model;
pub mod ops;
pub mod run;
pub mod weakly;
pub mod world;

pub use ops::{Op, Program};
pub use run::{Counts, run};
pub use world::Sabotage;
