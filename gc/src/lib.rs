//! Palimpsest: an embeddable garbage collector for language runtimes, on Linux.
//!
//! *A palimpsest is a page that was written over and on which the earlier text can still be read.*
//!
//! The mutator stores references with plain stores: no compiler inserts a write barrier, no handle stands in between. The
//! page table is the write barrier (userfaultfd write-protection), marking runs in a forked process on a snapshot of the
//! heap, and the pause is as long with a heap of gigabytes as with one of megabytes.
//!
//! This is the low-level interface, for interpreters and compilers: raw addresses, explicit heaps and mutators, several
//! heaps in a process. Start with [`Heap::builder`], [`Heap::attach`] and [`Mutator::alloc`].
//!
//! ```
//! use palimpsest::{Heap, Layout, PlainPointers, StackScan};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let heap = Heap::builder(PlainPointers).limit(64 << 20).build()?;
//! // A pair: word 0 and word 1 are references.
//! let pair = heap.define_layout(Layout::mask(0b11))?;
//! let mut mutator = heap.attach(StackScan::Conservative)?;
//!
//! let mut list = std::ptr::null_mut::<[u64; 2]>();
//! for _ in 0..100_000 {
//!     let cell = mutator.alloc(pair, 16)?.as_ptr().cast::<[u64; 2]>();
//!     // SAFETY: a new object of 16 bytes, zeroed. The store is a plain store.
//!     unsafe { (*cell)[1] = list as u64 };
//!     list = cell;
//! }
//! let cycle = mutator.collect();
//! assert!(cycle.marked_objects >= 100_000);
//! # std::hint::black_box(list);
//! # Ok(())
//! # }
//! ```
//!
//! # What the embedder keeps to
//!
//! * Threads that touch the heap are attached, poll often ([`Mutator::poll`]; every allocation is a poll), and enclose
//!   long waits in [`Mutator::blocking`].
//! * At a safepoint every object in use is reachable from a root: a root range, a handle, the scanned stack, or another
//!   such object. References are where the object's [`Kind`] says.
//! * `SIGBUS` stays unblocked in attached threads, and whoever installs a handler for it later passes on what it does not
//!   know.
//! * The kernel does not write to traced objects on a thread's behalf (`read(2)` into one fails with `EFAULT`), but under
//!   the guard of [`Mutator::kernel_io`]; buffers for I/O are better [`Kind::LEAF`] objects, which need none.
//!
//! # Forks
//!
//! A child that the process forks never shares a heap with it. By default it has none ([`HostFork::NoHeap`]): it calls `exec`,
//! or makes a heap of its own. [`Heap::attach`] is an error there, handles, mutators and the heap itself may be dropped, and
//! whoever touches an object or calls anything else is ended with a message that says why. The parent does not notice.
//!
//! With [`HostFork::Copy`] the child has a private copy, and goes on collecting; the parent's threads wait while it is made.
//!
//! Both hold for the C library's `fork`, whose handlers (`pthread_atfork`) do what is needed. Children of `vfork` and
//! `posix_spawn` call `exec` at once. A child of a raw `clone` has no heap, and no message: its fault is a plain `SIGSEGV`.
#![cfg(target_os = "linux")]

#[doc = include_str!("../../README.md")]
#[cfg(doctest)]
struct Readme;

#[doc = include_str!("../../docs/src/embedding.md")]
#[cfg(doctest)]
struct Guide;

#[doc = include_str!("../../docs/src/events.md")]
#[cfg(doctest)]
struct EventsGuide;

#[doc = include_str!("../../docs/src/tuning.md")]
#[cfg(doctest)]
struct TuningGuide;

mod core;
mod cycle;
mod embedder;
mod error;
pub mod events;
mod fallible;
mod footprint;
mod heap;
mod histogram;
mod host_fork;
mod kernel_io;
mod kind;
mod local;
mod mark;
mod metadata;
mod mutator;
pub mod options;
mod poison;
mod reclaim;
mod remembered;
mod returning;
mod roots;
mod shortage;
mod sizes;
mod space;
mod stats;
mod sync;
mod testimony;
mod unit;
mod verify;
mod weak;
mod wide;

pub use embedder::{Embedder, PlainPointers};
pub use error::{Error, OutOfMemory};
pub use footprint::Footprint;
pub use heap::{Heap, HeapBuilder};
pub use histogram::Histogram;
pub use host_fork::HostFork;
pub use kernel_io::KernelIo;
pub use kind::{Kind, Layout};
pub use mark::{Frozen, Tracer};
pub use mutator::{InlineAlloc, Mutator, StackScan};
pub use palimpsest_runtime::barrier::DeliveryKind;
pub use palimpsest_runtime::ladder::{self, Ladder, Rung, Snapshot, Wish};
pub use palimpsest_runtime::{Address, Bytes};
pub use poison::POISON;
pub use roots::{Handle, RootRange, Roots};
pub use stats::{ArmRound, CycleRecord, Scope, Stats};
pub use unit::{GRANULE, SMALL_MAX};
pub use weak::{Ephemeron, Finalizer, WeakMap, WeakRef, WeakSlot, WeakTable};
