//! The host forks: its child never shares a heap with it.
//!
//! A child that is made with the C library's `fork` begins with the handlers here ([`watch`] registers them, once, when the
//! first heap is made). It gets nothing of the parent's heaps, whose memory no child inherits:
//!
//! * the places of the heaps and of their tables are reserved, without access, so that nothing else is ever mapped where
//!   stale pointers lead;
//! * descriptors that reach into the parent (a userfaultfd acts on the *parent's* memory) are replaced;
//! * a thread that touches such a place is told what happened ([`message`]), once, and its fault then goes to whoever was
//!   there before us, who ends the process as ever.
//!
//! The parent does not notice. Its cycle goes on, since a worker is no child of the host's: it is made past the C library, so
//! that these handlers do not run for it.
//!
//! The child's handler makes system calls and stores to memory of its own, nothing else. In particular it does not wait: what
//! it needs of locks, the forking thread has taken before the fork.
//!
//! The handler for `SIGSEGV` is installed in the child rather than ahead of time in its parent: a host that never forks, or
//! only to call `exec`, keeps its own in peace; there are no other threads yet that could install one at the same time; and
//! it comes in front of all that the host had installed by then.
//!
//! `vfork`, `posix_spawn` and most of what `std::process::Command` does call `exec` at once, and none of these handlers. A
//! child made with a raw `clone` has the hole in its memory, and no message.

mod message;

use crate::barrier::around_fork;
use crate::error::Error;
use crate::sys::signal::{self, Fault};
use crate::sys::{generation, inherited, process};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, Ordering};

pub use crate::sys::generation::Generation;
pub use message::stop_without_heap;

/// Begins to watch for forks, unless that was done before. Whoever makes a heap calls this first.
///
/// # Errors
/// Where the C library has no memory for it.
pub fn watch() -> Result<(), Error> {
    static ONCE: Once = Once::new();
    static ANSWER: AtomicI32 = AtomicI32::new(0);
    ONCE.call_once(|| {
        if let Err(errno) = process::at_fork(prepare, in_parent, in_child) {
            ANSWER.store(errno.raw_os_error(), Ordering::Relaxed);
        }
    });
    match ANSWER.load(Ordering::Relaxed) {
        0 => Ok(()),
        errno => Err(Error::denied("pthread_atfork", crate::sys::Errno::from_raw_os_error(errno))),
    }
}

/// In the parent, before. Takes the locks of the process that the child needs; each is held elsewhere for a moment only.
extern "C" fn prepare() {
    signal::before_fork();
    around_fork::prepare();
}

/// In the parent, after.
extern "C" fn in_parent() {
    around_fork::in_parent();
    signal::after_fork();
}

/// In the child. Async-signal-safe.
extern "C" fn in_child() {
    generation::begin();
    around_fork::in_child();
    if inherited::disown() {
        // A child without the handler has no message. Its fault ends it all the same.
        let _ = signal::install_in_child(Fault::Segv, message::on_fault);
    }
    signal::after_fork();
}
