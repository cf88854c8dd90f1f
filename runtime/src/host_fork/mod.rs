//! The host forks: its child never shares a heap with it.
//!
//! A child that is made with the C library's `fork` begins with the handlers here ([`watch`] registers them, once, when the
//! first heap is made). It gets nothing of the parent's heaps, whose memory no child inherits:
//!
//! * the places of the heaps and of their tables are reserved, without access, so that nothing else is ever mapped where
//!   stale pointers lead;
//! * descriptors that reach into the parent (a userfaultfd acts on the *parent's* memory) are replaced;
//! * a thread that touches such a place is told what happened (`message`), once, and its fault then goes to whoever was
//!   there before us, who ends the process as ever.
//!
//! A heap can be made so that its children get a copy instead (`copy`). Then the parent's threads wait while that is made.
//!
//! Otherwise the parent does not notice. Its cycle goes on, since a worker is no child of the host's: it is made past the C library, so
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

pub mod copy;
mod message;

use crate::barrier::around_fork;
use crate::error::Error;
use crate::mutator::{Return, hold_for_fork};
use crate::sys::lock::{HoldAcrossFork, Mutex};
use crate::sys::signal::{self, Fault};
use crate::sys::{generation, inherited, process};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Once, Weak};

pub use crate::sys::generation::{Generation, Home};
pub use crate::sys::inherited::Group;
pub use copy::Copied;
pub use message::stop_without_heap;

/// The heaps whose children have a copy. Held for a moment only, so that any thread may wait for it.
static ALL: Mutex<Vec<Weak<dyn Copied>>> = Mutex::new(Vec::new());

/// What a forking thread holds for its child. It is held from before the worlds are stopped until after the fork; whoever waits
/// for it counts as blocked.
struct Forking {
    held: Vec<Arc<dyn Copied>>,
    /// Whether that is all of them.
    is_whole: bool,
    own: Option<Return>,
}

static FORKING: Mutex<Forking> = Mutex::new(Forking { held: Vec::new(), is_whole: true, own: None });

/// From now on children get a copy of this heap.
pub fn copy(heap: Weak<dyn Copied>) {
    let mut all = ALL.lock();
    all.retain(|heap| heap.strong_count() > 0);
    all.push(heap);
}

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

/// In the parent, before. First stops the worlds of heaps that are copied. Then takes locks that the child needs, each of which
/// is held elsewhere for a moment only, and never while somebody waits for a world.
extern "C" fn prepare() {
    let is_held = |registry: &_| {
        // SAFETY: held by this thread, below.
        unsafe { FORKING.held() }.held.iter().any(|heap| std::ptr::eq(heap.registry(), registry))
    };
    let own = hold_for_fork(
        || {
            FORKING.hold();
            let all: Vec<_> = ALL.lock().iter().filter_map(Weak::upgrade).collect();
            // SAFETY: held.
            let forking = unsafe { FORKING.held() };
            let heaps = all.len();
            forking.held = all.into_iter().filter(|heap| heap.hold()).collect();
            forking.is_whole = forking.held.len() == heaps;
        },
        is_held,
    );
    // SAFETY: as above.
    let forking = unsafe { FORKING.held() };
    forking.held.iter().for_each(|heap| heap.hold_locks());
    forking.own = Some(own);
    ALL.hold();
    signal::before_fork();
    around_fork::prepare();
}

/// In the parent, after.
extern "C" fn in_parent() {
    around_fork::in_parent();
    signal::after_fork();
    // SAFETY: held by `prepare`; so is each heap.
    let held = unsafe {
        ALL.let_go();
        let forking = FORKING.held();
        if let Some(own) = forking.own.take() {
            own.now();
        }
        for heap in forking.held.iter().rev() {
            heap.go_on();
        }
        let held = std::mem::take(&mut forking.held);
        FORKING.let_go();
        held
    };
    // The last owner of a heap may have let go of it meanwhile: not under the lock.
    drop(held);
}

/// In the child. Async-signal-safe.
extern "C" fn in_child() {
    generation::begin();
    around_fork::in_child();
    // SAFETY: held by `prepare`, of whose thread this is the image; so is each heap.
    unsafe {
        let forking = FORKING.held();
        // The list is leaked, with what it owns: nothing is freed here.
        let held = std::mem::ManuallyDrop::new(std::mem::take(&mut forking.held));
        for heap in held.iter() {
            forking.is_whole &= heap.begin_anew();
        }
        message::NOT_COPIED.store(!forking.is_whole, Ordering::Relaxed);
        let own = std::mem::ManuallyDrop::new(forking.own.take());
        if let Some(own) = &*own {
            own.now();
        }
    }
    if inherited::disown() {
        // A child without the handler has no message. Its fault ends it all the same.
        let _ = signal::install_in_child(Fault::Segv, message::on_fault);
    }
    signal::after_fork();
    // SAFETY: as above.
    unsafe {
        ALL.let_go();
        FORKING.let_go();
    }
}
