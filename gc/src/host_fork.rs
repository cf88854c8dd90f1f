//! What a child of the process has of a heap, when the host forks.

use crate::core::Core;
use crate::cycle::retire_all;
use crate::embedder::Embedder;
use palimpsest_runtime::host_fork::Copied;
use palimpsest_runtime::host_fork::copy::{adopt_group, copy_group, forget_group, inherit_group, keep_group};
use palimpsest_runtime::mutator::Registry;
use palimpsest_runtime::sys::lock::HoldAcrossFork;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

/// What children that the process forks have of the heap.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum HostFork {
    /// Nothing. A child calls `exec`, or makes a heap of its own; one that touches this heap is ended, with a message. The fork
    /// costs some microseconds, and a cycle in flight goes on.
    #[default]
    NoHeap,
    /// A copy, at the same addresses, that goes on collecting: in the child the heap, its handles, its weak references, tables and maps, its finalizers and the
    /// forking thread's [`Mutator`](crate::Mutator) are used as before. Neither side sees what the other does from then on.
    ///
    /// The fork waits for a cycle that is in flight, stops the world while the heap is copied, and, where the forking thread runs in
    /// another heap, waits for a pause of that one; it needs memory for both and takes time with the size of what is in use. This
    /// holds for every `fork` through the C library, also where `exec` follows; not for `vfork` and `posix_spawn`.
    ///
    /// With such a heap in the process, `fork` is a safepoint of every heap that the calling thread is attached to. Where an attached
    /// thread neither polls nor blocks for two seconds, or a listener takes as long (either may wait for a lock which the caller of
    /// `fork` holds: one of the C library's before glibc 2.36, for one), the child is left without a copy; so it is, at once, by a caller
    /// of `fork` that is itself pinned in the heap ([`Mutator::step_in_pinned`](crate::Mutator::step_in_pinned)).
    ///
    /// Of the attached threads the child has the one that forked. Root ranges that others registered are still roots there, so
    /// they must not lie on those threads' stacks, which are gone.
    ///
    /// Where the copy cannot be made (no memory, no descriptors, a userfaultfd that is denied to the child), and for a child
    /// that the collector's own thread forks (in a listener), it is as with [`HostFork::NoHeap`].
    Copy,
}

impl<E: Embedder> Copied for Core<E> {
    fn rest(&self, patience: Duration) -> bool {
        // A thread that is to stop, or a listener, may wait for something that the forking thread has.
        let is_hopeless = || self.registry.stopping_for().max(self.events.telling_for()) >= patience;
        self.is_ours() && self.mailbox.rest(is_hopeless)
    }

    fn stop(&self, limit: Duration) -> bool {
        self.registry.hold_world(limit)
    }

    fn copy(&self) -> bool {
        // Threads that the child has not own no blocks there.
        retire_all(self);
        copy_group(self.group).is_ok()
    }

    unsafe fn start(&self) {
        // SAFETY: passed on to the caller.
        unsafe { self.registry.let_world_go() };
    }

    fn work(&self) {
        self.mailbox.go_on();
    }

    fn hold_locks(&self) {
        // In a child of a child: a thread that steps in is none that the world waits for.
        self.restarting.hold();
        self.roots.hold();
        self.layouts_lock().hold();
        self.weak_tables.hold();
        self.weak.refs.hold();
        self.ledger.hold();
        if let Some(barrier) = &self.barrier {
            barrier.hold();
        }
        // From here on nobody can begin to take the heap away.
        let stays = self.mailbox.hold();
        self.fork_failed.store(!stays, Relaxed);
    }

    fn inherit(&self) {
        if !self.fork_failed.load(Relaxed) && inherit_group(self.group).is_err() {
            self.fork_failed.store(true, Relaxed);
        }
    }

    fn disinherit(&self) {
        forget_group(self.group);
    }

    unsafe fn go_on(&self) {
        // SAFETY: the caller has called `hold` and `hold_locks`.
        unsafe {
            self.mailbox.let_go();
            self.let_locks_go();
            self.start();
        }
        self.work();
        self.weak_tables.forget_held();
    }

    unsafe fn begin_anew(&self) -> bool {
        if self.fork_failed.load(Relaxed) {
            return false;
        }
        // SAFETY: copied by `hold`; there is one thread in this process, and it is here.
        let adopted = unsafe { adopt_group(self.group) }
            .and_then(|()| self.barrier.as_ref().map_or(Ok(()), |barrier| barrier.begin_anew()))
            .and_then(|()| self.tracker.as_ref().map_or(Ok(()), |tracker| tracker.begin_anew()));
        if adopted.is_err() {
            return false;
        }
        keep_group(self.group);
        self.map.begin_anew();
        self.home.move_here();
        self.process.store(std::process::id(), Relaxed);
        self.collector_gone.store(true, SeqCst);
        // SAFETY: held by the thread that this one is the image of.
        unsafe {
            self.let_locks_go();
            self.registry.begin_anew();
            self.mailbox.begin_anew();
        }
        true
    }

    fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl<E: Embedder> Core<E> {
    /// # Safety
    /// Held by this thread or the one that it is the image of.
    unsafe fn let_locks_go(&self) {
        // SAFETY: passed on to the caller.
        unsafe {
            if let Some(barrier) = &self.barrier {
                barrier.let_go();
            }
            self.ledger.let_go();
            self.weak.refs.let_go();
            self.weak_tables.let_go();
            self.layouts_lock().let_go();
            self.roots.let_go();
            self.restarting.let_go();
        }
    }
}
