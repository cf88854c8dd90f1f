//! Palimpsest without `unsafe`: a garbage-collected arena for ordinary Rust types.
//!
//! ```
//! use palimpsest_safe::{Arena, Gc, Rootable, Trace};
//! use std::cell::RefCell;
//! use std::collections::HashMap;
//!
//! /// An object. The derive finds what it refers to.
//! #[derive(Trace)]
//! struct Person<'gc> {
//!     name: String,
//!     // An ordinary collection in an ordinary cell.
//!     friends: RefCell<Vec<Gc<'gc, Person<'gc>>>>,
//! }
//!
//! /// The root: what it refers to is alive.
//! #[derive(Trace, Default)]
//! struct Village<'gc> {
//!     people: RefCell<HashMap<String, Gc<'gc, Person<'gc>>>>,
//! }
//!
//! # fn main() -> Result<(), palimpsest_safe::Error> {
//! let mut village = Arena::<Rootable![Village<'_>]>::new(|_| Village::default())?;
//!
//! // All work with objects is done in calls like this.
//! village.mutate(|mc, village| {
//!     let person = |name: &str| Gc::new(mc, Person { name: name.into(), friends: RefCell::default() });
//!     let (ann, ben) = (person("Ann"), person("Ben"));
//!     // A cycle.
//!     ann.friends.borrow_mut().push(ben);
//!     ben.friends.borrow_mut().push(ann);
//!     village.people.borrow_mut().insert("Ann".into(), ann);
//! });
//!
//! let friends = village.mutate(|_, village| village.people.borrow()["Ann"].friends.borrow().len());
//! assert_eq!(friends, 1);
//!
//! // Without Ann in the village nobody refers to the two.
//! village.mutate(|_, village| village.people.borrow_mut().clear());
//! let cycle = village.collect();
//! assert_eq!(cycle.finalizers_queued, 2);
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! An [`Arena`] is a heap with one thread and a root. [`Arena::mutate`] calls a function with the root and with the right to make
//! objects ([`Mutation`]). Its pointers ([`Gc`]) carry a lifetime that is good for that call and for that arena; the compiler keeps
//! them from being stored elsewhere, returned, or sent away.
//!
//! **Within a call nothing is collected.** So there is nothing to remember: a pointer on the stack, in a half-filled `Vec` or behind a
//! `RefMut` is as good as one in the root. Between calls the collector does not wait for the thread. A cycle begins there, and then runs beside
//! the program: the call that comes next waits for the *pause* at most, a fraction of a millisecond.
//!
//! **There is no write barrier to call.** Objects are changed through [`Cell`](std::cell::Cell), [`RefCell`](std::cell::RefCell) and
//! whatever else there is, and a store is a plain store. The page table tells the collector what was written to.
//!
//! **Native collections are traced as they were.** An object may own a `HashMap` full of pointers; the collector walks it in a forked
//! process, where it is as it was when the cycle began, while the program goes on inserting.
//!
//! **Values are dropped** on the arena's thread, at the end of a call, some time after they were found unreachable, or when the arena
//! goes away: each exactly once. A type with a derived [`Trace`] cannot implement `Drop` itself, since what it refers to may be gone by
//! then; its fields may, and do.
//!
//! # What it asks for
//!
//! * **Work in short calls.** A cycle that is due waits for the end of the call, and so does the memory that it would free. A call that
//!   allocates more than an eighth of the limit may run out of memory that a collection would have found; [`Gc::try_new`] makes
//!   that an error with a value.
//! * **Prefer objects without a destructor where there are millions.** Values that own native memory, or that have to be dropped
//!   otherwise, are each registered with the collector, in 56 to 80 bytes, which every cycle looks at; and the memory
//!   of such an object is free one full cycle after its value was dropped. Types that own pointers in native memory are looked at by every young
//!   cycle too.
//! * **Buffers that the kernel writes to** are better in a `Vec<u8>`, a `Box<[u8]>` or an object without pointers: a system call that
//!   writes into an object *with* pointers, as in `file.read(&mut *object.buffer.borrow_mut())` with an array in it, may fail with `EFAULT`.
//! * **Fork between calls.** A child has no heap, or a copy: see [`Arena`].
//!
//! # What costs what
//!
//! | type | object | traced |
//! | --- | --- | --- |
//! | no pointers: `u64`, `[u8; 100]`, [`Static<T>`](Static) | the value, in the half of the heap that nobody looks at | never |
//! | a struct of pointers and data: [`Gc`], `Option<Gc>`, `Cell<Option<Gc>>`, numbers, `String`, arrays and tuples of these | the value | by a mask of words, at full speed |
//! | all else: enums with pointers, `RefCell`s around pointers, collections of pointers | a header of 8 bytes, and the value | by its own code |
//!
//! [`Shape`] says which of these a type is. An arena can tell eleven masks apart; objects of the struct types with further ones are
//! searched conservatively: correct, but a number in one that happens to be an object's address keeps that object alive.
//!
//! # For users of gc-arena
//!
//! The model is that of [gc-arena](https://docs.rs/gc-arena): a rooted arena with a branded lifetime. Most of a program ports by
//! changing names.
//!
//! | gc-arena | here |
//! | --- | --- |
//! | `#[derive(Collect)] #[collect(no_drop)]` | `#[derive(Trace)]`; no attribute: `Drop` is refused in any case |
//! | `#[collect(require_static)]` on a field, on a type | `#[trace(skip)]`, `#[trace(leaf)]` |
//! | `Static<T>`, `Gc`, `GcWeak`, `Mutation`, `Rootable!`, `Arena` | the same names |
//! | `Lock<T>`, `RefLock<T>`, `GcLock`, `GcRefLock` | `Cell<T>`, `RefCell<T>`, `Gc<Cell<T>>`, `Gc<RefCell<T>>` |
//! | `gc.borrow_mut(mc)`, `Gc::write`, `unlock!`, `field!` | `gc.borrow_mut()`; the others have no purpose |
//! | `DynamicRootSet`, `DynamicRoot` | [`Mutation::stash`], [`Stashed`], [`Mutation::fetch`] |
//! | `Gc::downgrade(gc)` | `Gc::downgrade(gc, mc)` |
//! | `arena.collect_debt()`, `finish_cycle()` | nothing; [`Arena::collect`] |
//! | `arena.metrics().set_pacing(..)` | [`Arena::builder`] and its options |
//!
//! **Easier.** No locks and no barriers: any type with interior mutability whose contents can be traced will do, and `RefCell<Vec<Gc>>` is not special.
//! The program does not call the collector: it runs beside it, on another processor. A pause does not grow with the heap.
//! A collection of a large heap does not have to be cut into steps. Panics in a call leave an arena that can be used.
//!
//! **Harder.** Making an arena can fail, and so can making an object: there is a limit. [`Arena::mutate`] takes `&mut self`, so that calls
//! into one arena do not nest. It runs on Linux only, with a heap, a thread and address space for each arena: a program with thousands of
//! small arenas is better off there. A weak pointer is an object of its own, so it takes the [`Mutation`] to make one, and memory. `Gc<T>` wants a
//! sized `T`: there is no `Gc<dyn Trait>`, no `Gc<[T]>`, and no `Box<dyn Trait>` with pointers in it; use an enum, or a `Vec`.
//! There is no `finalize` phase in which dead objects can be looked at; what must be done at the end of a value is its fields' `Drop`.
//!
//! **Porting.** Change the derives and the locks, let the compiler lead you through the rest, and take out the calls that paced the
//! collector. A manual `unsafe impl Collect` becomes a manual `unsafe impl Trace`: say [`Shape::Native`] with `external: true` for its shape, visit
//! the same fields, and read the contract of [`Trace`], which runs in another process. Programs whose types contain themselves by way of one
//! another in `Box`es (`A` owns a `Box<B>`, `B` owns a `Box<A>`) need `#[trace(native)]` on one of them, or the compiler reports a cycle in a
//! constant. Run your tests once with `PALIMPSEST_OPTIONS=stress=1`: a cycle is asked for at every allocation, the heap is
//! verified, and what is freed is overwritten.
//!
//! # Debugging
//!
//! The collector's own signals (`SIGBUS`) stop a debugger: `handle SIGBUS nostop noprint pass`. [`Arena::stats`] says what the collector
//! does; listeners ([`ArenaBuilder::configure`]) hear of every cycle.
#![cfg(target_os = "linux")]

// The derive names this crate from the outside.
#[allow(unused_extern_crates, reason = "unit tests and examples in this crate derive too")]
extern crate self as palimpsest_safe;

mod arena;
mod builder;
mod context;
mod error;
mod gc;
mod rootable;
mod shape;
mod stash;
mod traces;
mod types;
mod weak;

pub use arena::Arena;
pub use builder::ArenaBuilder;
pub use context::Mutation;
pub use error::Error;
pub use gc::Gc;
pub use palimpsest::{OutOfMemory, Tracer};
pub use palimpsest_derive::Trace;
pub use rootable::{Root, Rootable};
pub use shape::Shape;
pub use stash::Stashed;
pub use traces::{Static, Trace};
pub use types::Types;
pub use weak::GcWeak;

#[doc(hidden)]
pub use palimpsest_derive::__rootable_elided;
#[doc(hidden)]
pub use rootable::ForEveryBrand;
#[doc(hidden)]
pub use traces::MustNotImplementDrop;
