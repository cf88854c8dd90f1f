//! The one room for the operating system: every system call of the project is made here, with typed results.
//!
//! Nothing outside sees a raw flag, a raw descriptor or a C structure. Each kind of call goes through
//! [`inject::check`], so that a test can make it fail; without the `fault-injection` feature that is no code
//! at all.
//!
//! Functions marked *async-signal-safe* take no lock, allocate nothing and leave `errno` alone or restored by
//! their caller; the trap handler and the forked worker may call those and nothing else.

mod clear;
pub mod clock;
pub mod event;
pub mod futex;
pub mod generation;
pub mod guarded;
pub mod inherited;
pub mod inject;
pub mod limits;
pub mod lock;
pub mod memory;
pub mod pagemap;
pub mod process;
pub mod signal;
pub mod smaps;
pub mod stack;
pub mod thread;
pub mod uffd;

pub use rustix::io::Errno;
