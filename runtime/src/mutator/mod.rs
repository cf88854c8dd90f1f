//! Threads that use the heap, and bringing them all to a stop.
//!
//! Each attached thread has a [`MutatorState`] in one of these states:
//!
//! ```text
//!   Running ──poll sees the stop──▶ Parked ──the world resumes──▶ Running
//!      │                                                              ▲
//!      ├──enters a blocking region──▶ Blocked ──leaves it, no stop────┘
//!      │                                 ▲ │
//!      └──pins──▶ Pinned ──steps out─────┘ └──steps in, pinned──▶ Pinned
//! ```
//!
//! A `Pinned` thread runs, and nothing that it does is a safepoint: not in this heap, nor in another one that it waits for.
//!
//! # Several heaps
//!
//! A thread may run in several heaps at once. Whenever it waits for one of them (in a stopped world, for a cycle, to attach) it is
//! stopped for all others too, except where it is pinned: two threads that waited for two heaps, each running as the other heap sees
//! it, would wait for ever. So whatever may wait is a safepoint of all heaps that the thread runs in. What the embedder does in a blocking
//! region is another matter: there the thread is outside of one heap and runs in the others, which it may use.
//!
//! Two threads that are pinned in a heap each and wait for the other's do wait for ever, as with locks that are taken in two orders.
//!
//! To stop the world the collector raises the stop word and waits until no thread is `Running` or `Pinned`. A thread that parks or
//! blocks has written its registers to its stack and noted where its stack ends, so that a scan sees every
//! reference it holds. A thread that leaves a blocking region while the world is stopped waits until it goes on.
//!
//! Stop word and states are written and read in opposite orders by the two sides (Dekker's pattern), hence `SeqCst`:
//! either the collector sees the thread running and waits for it, or the thread sees the stop.

mod registry;

pub use registry::{Registry, StoppedWorld};

use crate::sizes::STOP_SPINS;
use crate::sync::{AtomicU32, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst, mutation, thread_local};
use crate::sys::{clock, futex, stack};
use crate::unit::Address;
use std::cell::RefCell;

const RUNNING: u32 = 0;
const PARKED: u32 = 1;
const BLOCKED: u32 = 2;
const PINNED: u32 = 3;
/// Detached, and still on the list: who attaches, detaches or stops the world next removes it.
const GONE: u32 = 4;

/// Whether the world has to wait for a thread in this state.
const fn runs(state: u32) -> bool {
    matches!(state, RUNNING | PINNED)
}

/// For how long a stopped thread, or the collector that waits for one to stop, keeps its processor busy rather than sleep,
/// where there are processors for all. A pause is a fraction of that. A thread that sleeps may find its processor taken, and
/// gets it back when that has used up its time slice: some milliseconds, where the pause itself was a fraction of one.
const KEEP_PROCESSOR_NS: u64 = 3_000_000;

/// What the collector knows of one attached thread.
#[derive(Debug)]
pub struct MutatorState {
    state: AtomicU32,
    /// While not running: nothing of the thread's frames lies below.
    stack_top: AtomicUsize,
    /// The stack's highest address, if this thread's stack is to be scanned.
    stack_base: Option<Address>,
    /// The thread's number in the kernel.
    thread: AtomicU32,
}

impl MutatorState {
    fn new(stack_base: Option<Address>) -> Self {
        let thread = clock::thread_id();
        Self {
            state: AtomicU32::new(RUNNING),
            stack_top: AtomicUsize::new(0),
            stack_base,
            thread: AtomicU32::new(thread),
        }
    }

    /// Notes the end of a thread that ended without detaching, if it did: it can be waited for no longer, and it has no
    /// stack any more.
    fn note_end(&self) {
        if !clock::thread_exists(self.thread.load(Relaxed)) {
            self.stack_top.store(0, SeqCst);
            // Unless it has detached meanwhile.
            for state in [RUNNING, PINNED] {
                let _ = self.state.compare_exchange(state, BLOCKED, SeqCst, SeqCst);
            }
        }
    }

    /// Whether the thread has detached.
    fn is_gone(&self) -> bool {
        self.state.load(SeqCst) == GONE
    }

    /// Whether the thread's stack is scanned.
    pub fn scans_stack(&self) -> bool {
        self.stack_base.is_some()
    }

    /// The part of the stack to scan, lowest address first. Meaningful while the thread is stopped.
    pub fn stack(&self) -> Option<(Address, Address)> {
        let top = Address::new(self.stack_top.load(SeqCst));
        self.stack_base.filter(|base| top.as_usize() != 0 && top < *base).map(|base| (top, base))
    }
}

impl Registry {
    /// Whether a safepoint has something to do: a load and a compare.
    #[inline(always)]
    pub fn stop_wanted(&self) -> bool {
        // Relaxed: a late look stops a little later. What follows the stop is ordered in `park`.
        self.stop.load(Relaxed) != 0
    }

    /// Parks the calling thread while the world is to be stopped. References that the caller holds in registers or on its
    /// stack are seen by a stack scan meanwhile.
    #[cold]
    pub fn park(&self, own: &MutatorState) {
        self.stopped(own, PARKED, || {});
    }

    /// Runs `f`, in which the calling thread does not touch the heap, without delaying a stop of its world. In other heaps the
    /// thread goes on running. Where it has to wait in the end, that is a safepoint of theirs.
    pub fn blocking<R>(&self, own: &MutatorState, f: impl FnOnce() -> R) -> R {
        /// Comes back also when `f` unwinds.
        struct Return<'a>(&'a Registry, &'a MutatorState);
        impl Drop for Return<'_> {
            fn drop(&mut self) {
                self.0.step_in(self.1, false);
            }
        }
        if self.is_lost() {
            return f();
        }
        stack::with_registers_on_stack(|top| {
            own.stack_top.store(top.as_usize(), SeqCst);
            self.leave_running(own, BLOCKED);
            let _return = Return(self, own);
            f()
        })
    }

    /// Runs `f`, which waits for something that happens in this heap, without delaying a stop of the world: neither of this one nor
    /// of another heap that the thread runs in.
    pub fn waiting<R>(&self, own: &MutatorState, f: impl FnOnce() -> R) -> R {
        self.stopped(own, BLOCKED, f)
    }

    /// From here to [`Registry::step_in`] the calling thread does not touch the heap and does not delay a stop of the world. Its
    /// stack is not scanned meanwhile. In other heaps that it is attached to it goes on running.
    pub fn step_out(&self, own: &MutatorState) {
        if !self.is_lost() {
            own.stack_top.store(0, SeqCst);
            self.leave_running(own, BLOCKED);
        }
    }

    /// Ends what [`Registry::step_out`] began, once the world goes on. If `pinned`, nothing that the thread does is a safepoint
    /// until it steps out again.
    ///
    /// Where it has to wait, that is a safepoint of the other heaps that the thread runs in, as [`Registry::blocking`] is.
    pub fn step_in(&self, own: &MutatorState, pinned: bool) {
        loop {
            own.state.store(if pinned { PINNED } else { RUNNING }, SeqCst);
            // Dekker: the collector raised `stop` before it looked at our state.
            if self.stop.load(SeqCst) == 0 || self.is_lost() {
                return;
            }
            self.leave_running(own, BLOCKED);
            // In this heap the thread is blocked already.
            self.stopped(own, BLOCKED, || self.wait_for_world());
        }
    }

    /// Runs `f` with the calling thread stopped, as far as this heap and all others that it runs in are concerned. In heaps that it
    /// is pinned in it goes on running, and where it is blocked already it stays so.
    fn stopped<R>(&self, own: &MutatorState, state: u32, f: impl FnOnce() -> R) -> R {
        if self.is_lost() {
            return f();
        }
        let all = Attachment::all_with(Attachment { registry: self, state: own });
        stopped_in(all, |registry| if std::ptr::eq(registry, self) { state } else { BLOCKED }, f)
    }

    fn leave_running(&self, own: &MutatorState, state: u32) {
        if mutation!("handshake: the stop is looked at before the state is changed") {
            let stops = self.stop.load(SeqCst) != 0;
            own.state.store(state, SeqCst);
            if !stops {
                return;
            }
        }
        own.state.store(state, SeqCst);
        // Dekker: the collector raised `stop` before it looked at our state.
        if self.stop.load(SeqCst) != 0 {
            self.arrivals.fetch_add(1, SeqCst);
            futex::wake_all(&self.arrivals);
        }
    }

    /// Waits until the world goes on.
    fn wait_for_world(&self) {
        let start = clock::monotonic_ns();
        let mut spins = 0;
        // The host may have forked in a blocking region: in the child nobody lets this world go on.
        while self.stop.load(SeqCst) != 0 && !self.is_lost() {
            let may_keep = self.may_spin.load(Relaxed) && clock::monotonic_ns() - start < KEEP_PROCESSOR_NS;
            if spins < STOP_SPINS || (may_keep && self.stopper.load(Relaxed) != clock::processor()) {
                std::hint::spin_loop();
            } else if may_keep {
                // The collector waits for this very processor.
                futex::yield_now();
            } else {
                futex::wait(&self.stop, 1, None);
            }
            spins += 1;
        }
        if spins > 0 {
            self.longest_wait.fetch_max(clock::monotonic_ns() - start, SeqCst);
        }
    }
}

/// Runs `f`, which waits for another thread, with the calling thread stopped in all heaps that it runs in. It is a safepoint of theirs.
pub fn aside<R>(f: impl FnOnce() -> R) -> R {
    stopped_in(Attachment::all(), |_| BLOCKED, f)
}

/// Runs `f` with the calling thread in another state for those heaps that it runs in.
fn stopped_in<R>(mut all: Attachments, state_in: impl Fn(&Registry) -> u32, f: impl FnOnce() -> R) -> R {
    /// Comes back also when `f` unwinds.
    struct Return(Attachments);
    impl Drop for Return {
        fn drop(&mut self) {
            return_to_running(&self.0);
        }
    }
    stack::with_registers_on_stack(|top| {
        all.retain(Attachment::runs);
        for attachment in all.iter() {
            let (registry, attached) = attachment.get();
            attached.stack_top.store(top.as_usize(), SeqCst);
            registry.leave_running(attached, state_in(registry));
        }
        let _return = Return(all);
        f()
    })
}

/// Makes the calling thread run again, for all heaps at once: it never waits for one while another sees it running.
fn return_to_running(all: &[Attachment]) {
    loop {
        for attachment in all {
            attachment.get().0.wait_for_world();
        }
        for attachment in all {
            attachment.get().1.state.store(RUNNING, SeqCst);
        }
        let goes_on = |registry: &Registry| {
            mutation!("handshake: runs again without a second look")
                || registry.stop.load(SeqCst) == 0
                || registry.is_lost()
        };
        if all.iter().all(|attachment| goes_on(attachment.get().0)) {
            return;
        }
        // Stopped again in between: the collector may have seen us running and be waiting.
        for attachment in all {
            let (registry, attached) = attachment.get();
            registry.leave_running(attached, PARKED);
        }
    }
}

/// Before a fork: runs `hold`, which may wait for any heap, with the calling thread counting as blocked. Of its heaps, those
/// for which `is_held` holds afterwards stay as they are, and their world stopped. For the others it runs again, since what its registers
/// held is nowhere to be found once this has returned. Returns how to have it run for those that are held, too.
pub(crate) fn hold_for_fork(hold: impl FnOnce(), is_held: impl Fn(&Registry) -> bool) -> Return {
    let all = ATTACHED.with(|list| list.borrow().clone());
    // A thread that forks in a blocking region stays blocked.
    let running: Vec<_> = all.into_iter().filter(Attachment::runs).collect();
    stack::with_registers_on_stack(|top| {
        for attachment in &running {
            let (registry, attached) = attachment.get();
            attached.stack_top.store(top.as_usize(), SeqCst);
            registry.leave_running(attached, BLOCKED);
        }
        hold();
        let (held, others): (Vec<_>, Vec<_>) = running.into_iter().partition(|own| is_held(own.get().0));
        // Whoever stops one of these may wait for a thread that waits for a world which is held, or for the caller of `fork`.
        others.iter().for_each(|own| own.get().0.give_way());
        return_to_running(&others);
        others.iter().for_each(|own| own.get().0.stop_again());
        Return(held)
    })
}

/// Whether the calling thread is pinned in this heap, and so does not stop for it.
pub(crate) fn is_pinned(registry: &Registry) -> bool {
    let pinned =
        |own: &Attachment| std::ptr::eq(own.registry, registry) && own.get().1.state.load(SeqCst) == PINNED;
    Attachment::all().iter().any(pinned)
}

/// Whether the calling thread's attachments can be told: not where it is ending.
pub(crate) fn attachments_are_known() -> bool {
    ATTACHED.try_with(|_| ()).is_ok()
}

/// The heaps whose worlds the forking thread has stopped, and in which it is to run again; see [`hold_for_fork`].
#[derive(Default)]
pub(crate) struct Return(Vec<Attachment>);

// SAFETY: used by the forking thread, or its image, only.
unsafe impl Send for Return {}

impl Return {
    /// Has the calling thread run, before it lets those worlds go on. Async-signal-safe.
    pub(crate) fn now(&self) {
        for attachment in &self.0 {
            attachment.get().1.state.store(RUNNING, SeqCst);
        }
    }
}

thread_local! {
    /// The heaps that this thread is attached to.
    static ATTACHED: RefCell<Vec<Attachment>> = const { RefCell::new(Vec::new()) };
}

/// That this thread is attached to a heap.
#[derive(Copy, Clone, PartialEq, Eq)]
struct Attachment {
    /// Both are there as long as the thread is attached.
    registry: *const Registry,
    state: *const MutatorState,
}

impl Attachment {
    fn get(&self) -> (&Registry, &MutatorState) {
        // SAFETY: whoever attached a thread keeps registry and state until it is detached (`Registry::attach`), and these
        // are used by that thread only.
        unsafe { (&*self.registry, &*self.state) }
    }

    /// The calling thread's state in a registry; null if it is not attached. Async-signal-safe in a thread that has looked at
    /// its attachments before.
    fn own_state(registry: &Registry) -> *const MutatorState {
        let find = |list: &RefCell<Vec<Self>>| {
            list.borrow().iter().find(|own| std::ptr::eq(own.registry, registry)).map(|own| own.state)
        };
        ATTACHED.try_with(find).ok().flatten().unwrap_or(std::ptr::null())
    }

    /// Whether the thread runs in this heap and may be stopped.
    fn runs(&self) -> bool {
        self.get().1.state.load(SeqCst) == RUNNING
    }

    /// All of the calling thread's, if it is not ending.
    fn all() -> Attachments {
        ATTACHED.try_with(|list| Attachments::of(&list.borrow())).unwrap_or(Attachments::NONE)
    }

    /// All of the calling thread's; `own` among them also where the thread is ending and has no list any more.
    fn all_with(own: Self) -> Attachments {
        let all = Self::all();
        if all.contains(&own) { all } else { Attachments::of(&[own]) }
    }
}

/// Heaps that a thread is attached to, as a rule.
const FEW: usize = 4;

/// A copy of a thread's list. It needs no memory of the allocator as a rule: every stop makes one.
enum Attachments {
    Few([Attachment; FEW], usize),
    Many(Vec<Attachment>),
}

impl Attachments {
    const NOBODY: [Attachment; FEW] =
        [Attachment { registry: std::ptr::null(), state: std::ptr::null() }; FEW];
    const NONE: Self = Attachments::Few(Self::NOBODY, 0);

    fn of(list: &[Attachment]) -> Self {
        let mut few = Self::NOBODY;
        match few.get_mut(..list.len()) {
            Some(places) => {
                places.copy_from_slice(list);
                Attachments::Few(few, list.len())
            }
            None => Attachments::Many(list.to_vec()),
        }
    }

    fn retain(&mut self, keep: impl Fn(&Attachment) -> bool) {
        match self {
            Attachments::Few(few, len) => {
                let mut kept = 0;
                for at in 0..*len {
                    if keep(&few[at]) {
                        few[kept] = few[at];
                        kept += 1;
                    }
                }
                *len = kept;
            }
            Attachments::Many(many) => many.retain(keep),
        }
    }
}

impl std::ops::Deref for Attachments {
    type Target = [Attachment];
    fn deref(&self) -> &[Attachment] {
        match self {
            Attachments::Few(few, len) => &few[..*len],
            Attachments::Many(many) => many,
        }
    }
}
