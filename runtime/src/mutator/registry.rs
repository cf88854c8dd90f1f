//! The attached threads of one heap.

mod testimony;

use super::{ATTACHED, Attachment, BLOCKED, GONE, KEEP_PROCESSOR_NS, MutatorState, runs, stopped_in};
use crate::error::Error;
use crate::sizes::STOP_SPINS;
use crate::sync::{
    AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst, available_parallelism, mutation,
};
use crate::sys::generation::Home;
use crate::sys::lock::{HoldAcrossFork, Mutex, MutexGuard};
use crate::sys::signal::{self, Fault};
use crate::sys::{clock, futex, stack};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64 as Unmodelled, Ordering::Relaxed};
use std::time::Duration;

/// For how long a thread may take to stop before it is looked after.
const LOOK_AFTER: Duration = Duration::from_millis(500);

/// The attached threads of one heap, and the word that stops them.
#[derive(Debug)]
pub struct Registry {
    threads: Mutex<Vec<Arc<MutatorState>>>,
    /// 1 while the world is to be stopped.
    pub(super) stop: AtomicU32,
    /// Counts threads that stopped while they were waited for.
    pub(super) arrivals: AtomicU32,
    /// The longest that any thread was kept from running by the last stop, in nanoseconds.
    pub(super) longest_wait: AtomicU64,
    /// Whether there are processors for all attached threads and the collector.
    pub(super) may_spin: AtomicBool,
    /// The processor on which the collector stops the world.
    pub(super) stopper: AtomicI32,
    /// The mark of the thread that has stopped the world, or is about to, and holds the list; 0: none.
    stopped_by: AtomicU64,
    /// Since when threads are waited for, by the monotonic clock; 0: they are not. No part of the protocol, and none of its model.
    stopping_since: Unmodelled,
    /// How many threads have it that nobody waits for others to stop; see [`Registry::give_way`]. Not modelled either.
    giving_way: Unmodelled,
    /// Processors this process may use. Looked up once: that reads files.
    processors: usize,
    home: Home,
}

/// A stopped world: no attached thread runs. It goes on when this drops.
#[derive(Debug)]
pub struct StoppedWorld<'a> {
    registry: &'a Registry,
    threads: MutexGuard<'a, Vec<Arc<MutatorState>>>,
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// Nobody attached.
    pub fn new() -> Self {
        Self {
            threads: Mutex::default(),
            stop: AtomicU32::new(0),
            arrivals: AtomicU32::new(0),
            longest_wait: AtomicU64::new(0),
            may_spin: AtomicBool::new(false),
            stopper: AtomicI32::new(-1),
            stopped_by: AtomicU64::new(0),
            stopping_since: Unmodelled::new(0),
            giving_way: Unmodelled::new(0),
            processors: available_parallelism().map_or(1, usize::from),
            home: Home::new(),
        }
    }

    /// Whether this process is a fork of the one whose threads these are. Then nobody stops this world, nor lets it go on, and
    /// the calling thread, whatever it was attached to, never waits for it.
    pub fn is_lost(&self) -> bool {
        self.home.is_past()
    }

    /// Attaches the calling thread. With `scan_stack` its stack and registers are searched for references.
    ///
    /// Waits while the world is stopped. Where it does, that is a safepoint of the heaps that the thread runs in.
    ///
    /// # Errors
    /// [`Error::SignalBlocked`] if the thread could not take the signal that the barrier needs; [`Error::AlreadyAttached`];
    /// [`Error::NoHeapInChild`]; [`Error::NoMemory`].
    ///
    /// # Safety
    /// The registry stays where it is, and the returned state is kept, until the same thread has called
    /// [`Registry::detach`].
    pub unsafe fn attach(&self, scan_stack: bool, needs: Option<Fault>) -> Result<Arc<MutatorState>, Error> {
        if self.is_lost() {
            return Err(Error::NoHeapInChild);
        }
        let is_attached = |list: &std::cell::RefCell<Vec<Attachment>>| {
            list.borrow().iter().any(|attached| std::ptr::eq(attached.registry, self))
        };
        match ATTACHED.try_with(is_attached) {
            Ok(false) => {}
            Ok(true) => return Err(Error::AlreadyAttached),
            // In the destructor of a thread-local.
            Err(_) => {
                return Err(Error::denied("attaching a thread that is ending", crate::sys::Errno::SRCH));
            }
        }
        if let Some(fault) = needs.filter(|fault| signal::is_blocked(*fault)) {
            return Err(Error::SignalBlocked(fault));
        }
        crate::barrier::prepare_thread();
        let base = if scan_stack {
            let base = stack::stack_base();
            Some(base.ok_or_else(|| Error::denied("finding this thread's stack", crate::sys::Errno::IO))?)
        } else {
            None
        };
        let no_memory = |_| Error::NoMemory("a thread's attachment");
        ATTACHED.with(|list| list.borrow_mut().try_reserve(1)).map_err(no_memory)?;
        let state = Arc::new(MutatorState::new(base));
        {
            let mut threads = self.lock_threads();
            threads.try_reserve(1).map_err(no_memory)?;
            threads.push(state.clone());
        }
        ATTACHED.with(|list| list.borrow_mut().push(Attachment { registry: self, state: &*state }));
        Ok(state)
    }

    /// The list, for the calling thread, which is not attached. The collector holds it from before it looks at the threads until
    /// they run again.
    fn lock_threads(&self) -> MutexGuard<'_, Vec<Arc<MutatorState>>> {
        loop {
            if let Some(mut threads) = self.threads.try_lock() {
                threads.retain(|state| !state.is_gone());
                return threads;
            }
            let mut others = Attachment::all();
            others.retain(Attachment::runs);
            if others.is_empty() {
                return self.threads.lock();
            }
            // Not kept: to run again in those heaps the thread may have to wait for them.
            stopped_in(others, |_| BLOCKED, || drop(self.threads.lock()));
        }
    }

    /// Detaches the calling thread: it holds no reference any more and does not touch the heap again. Waits for nobody.
    pub fn detach(&self, own: &Arc<MutatorState>) {
        let _ = ATTACHED
            .try_with(|list| list.borrow_mut().retain(|attached| !std::ptr::eq(attached.registry, self)));
        if self.is_lost() {
            return;
        }
        own.stack_top.store(0, SeqCst);
        self.leave_running(own, GONE);
        // Who has the list may be the collector, and wait for this thread as far as another heap is concerned.
        if let Some(mut threads) = self.threads.try_lock() {
            threads.retain(|state| !state.is_gone());
        }
    }

    /// How many threads are attached.
    pub fn len(&self) -> usize {
        self.threads.lock().iter().filter(|state| !state.is_gone()).count()
    }

    /// The word that a safepoint looks at: above 0, the thread is to park.
    pub fn stop_word(&self) -> &AtomicU32 {
        &self.stop
    }

    /// Whether no thread is attached.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The longest that any thread was kept from running by the last stop of the world, as far as threads run again:
    /// the pause as the mutators see it, with the time it takes to wake them.
    pub fn longest_wait(&self) -> Duration {
        Duration::from_nanos(self.longest_wait.load(SeqCst))
    }

    /// For how long somebody has been waiting for threads to stop, if that is so.
    pub fn stopping_for(&self) -> Duration {
        let since = self.stopping_since.load(Relaxed);
        let waits = if since == 0 { 0 } else { clock::monotonic_ns().saturating_sub(since) };
        Duration::from_nanos(waits)
    }

    /// Stops the world: returns when no attached thread runs. The caller is not attached, or blocking.
    pub fn stop_world(&self) -> StoppedWorld<'_> {
        // A thread that does not stop is waited for, for ever if need be.
        loop {
            if let Some(world) = self.try_stop_world(Duration::MAX) {
                return world;
            }
            while self.gives_way() {
                futex::nap(Duration::from_millis(1));
            }
        }
    }

    /// From here to [`Registry::stop_again`] nobody waits for a thread to stop: whoever does lets the world go on, and tries again
    /// afterwards. For a thread that forks, and must not wait for those who wait for it.
    pub(crate) fn give_way(&self) {
        self.giving_way.fetch_add(1, SeqCst);
        self.arrivals.fetch_add(1, SeqCst);
        futex::wake_all(&self.arrivals);
    }

    /// Ends what [`Registry::give_way`] began.
    pub(crate) fn stop_again(&self) {
        self.giving_way.fetch_sub(1, SeqCst);
    }

    fn gives_way(&self) -> bool {
        self.giving_way.load(SeqCst) > 0
    }

    /// The same, but gives up after this time, and the world goes on.
    fn try_stop_world(&self, limit: Duration) -> Option<StoppedWorld<'_>> {
        let limit_ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        let mut threads = self.threads.lock();
        self.stopped_by.store(clock::thread_mark(), SeqCst);
        threads.retain(|state| !state.is_gone());
        self.longest_wait.store(0, SeqCst);
        let may_spin = threads.len() < self.processors;
        self.may_spin.store(may_spin, SeqCst);
        self.stopper.store(clock::processor(), SeqCst);
        let start = clock::monotonic_ns();
        self.stopping_since.store(start, Relaxed);
        if !mutation!("handshake: threads are looked at before the stop is raised") {
            self.stop.store(1, SeqCst);
        }
        let world = StoppedWorld { registry: self, threads };
        for thread in world.threads.iter() {
            let mut spins = 0;
            loop {
                let seen = self.arrivals.load(SeqCst);
                if !runs(thread.state.load(SeqCst)) {
                    break;
                }
                let waited = clock::monotonic_ns() - start;
                if waited >= limit_ns || self.gives_way() {
                    self.stopping_since.store(0, Relaxed);
                    return None;
                }
                if spins < STOP_SPINS || (may_spin && clock::monotonic_ns() - start < KEEP_PROCESSOR_NS) {
                    spins += 1;
                    if spins < STOP_SPINS {
                        std::hint::spin_loop();
                    } else {
                        // The thread that is to stop may be waiting for this very processor.
                        futex::yield_now();
                    }
                } else {
                    futex::wait(&self.arrivals, seen, Some(LOOK_AFTER.min(limit)));
                    if self.arrivals.load(SeqCst) == seen {
                        thread.note_end();
                    }
                }
            }
        }
        if mutation!("handshake: threads are looked at before the stop is raised") {
            self.stop.store(1, SeqCst);
        }
        self.stopping_since.store(0, Relaxed);
        Some(world)
    }
}

/// Around a fork of the host whose child gets a copy of the heap.
impl Registry {
    /// Stops the world, until the same thread calls [`Registry::let_world_go`], or its image in the child
    /// [`Registry::begin_anew`]. `false`: it has not stopped in this time, and goes on.
    pub fn hold_world(&self, limit: Duration) -> bool {
        let world = self.try_stop_world(limit);
        let stopped = world.is_some();
        std::mem::forget(world);
        stopped
    }

    /// Lets the world go on.
    ///
    /// # Safety
    /// The calling thread has called [`Registry::hold_world`].
    pub unsafe fn let_world_go(&self) {
        self.stopped_by.store(0, SeqCst);
        self.stop.store(0, SeqCst);
        futex::wake_all(&self.stop);
        // SAFETY: the lock was taken by `hold_world`.
        unsafe { self.threads.let_go() };
    }

    /// In the child: of the attached threads there is the calling one, if it was attached. Async-signal-safe.
    ///
    /// # Safety
    /// The calling thread is the image of the one that called [`Registry::hold_world`].
    pub unsafe fn begin_anew(&self) {
        // SAFETY: the lock was taken by `hold_world`; there is no other thread.
        let threads = unsafe { self.threads.held() };
        let own = Attachment::own_state(self);
        let place = threads.iter().position(|state| std::ptr::eq(&**state, own));
        if let Some(place) = place {
            threads.swap(0, place);
            threads[0].thread.store(clock::thread_id(), SeqCst);
        }
        // The others' states are leaked, with the threads.
        // SAFETY: not more than there are.
        unsafe { threads.set_len(usize::from(place.is_some())) };
        self.home.move_here();
        self.stopped_by.store(0, SeqCst);
        self.stopping_since.store(0, Relaxed);
        // Of a fork before this one, whose thread is about to end it in the parent.
        self.giving_way.store(0, SeqCst);
        self.stop.store(0, SeqCst);
        // SAFETY: as above.
        unsafe { self.threads.let_go() };
    }
}

impl StoppedWorld<'_> {
    /// The attached threads. In a worker this is the parent's list as it was at the fork.
    pub fn threads(&self) -> &[Arc<MutatorState>] {
        &self.threads
    }
}

impl Drop for StoppedWorld<'_> {
    fn drop(&mut self) {
        self.registry.stopped_by.store(0, SeqCst);
        self.registry.stop.store(0, SeqCst);
        if !mutation!("handshake: nobody is woken when the world goes on") {
            futex::wake_all(&self.registry.stop);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, AtomicU64};

    #[test]
    fn nobody_runs_in_a_stopped_world() {
        let (registry, count, done) = (Registry::new(), AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|s| {
            for k in 0..4 {
                let (registry, count, done) = (&registry, &count, &done);
                s.spawn(move || {
                    let own = // SAFETY: the registry outlives the threads, which keep the state until they detach.
                    unsafe { registry.attach(k % 2 == 0, None) }.unwrap();
                    while !done.load(SeqCst) {
                        count.fetch_add(1, SeqCst);
                        if registry.stop_wanted() {
                            registry.park(&own);
                        }
                        if k == 3 {
                            registry.blocking(&own, std::thread::yield_now);
                        }
                    }
                    registry.detach(&own);
                });
            }
            for _ in 0..200 {
                let world = registry.stop_world();
                let before = count.load(SeqCst);
                for thread in world.threads() {
                    assert!(thread.stack().is_none_or(|(top, base)| top < base));
                }
                std::thread::yield_now();
                assert_eq!(count.load(SeqCst), before);
            }
            done.store(true, SeqCst);
        });
        assert!(registry.is_empty());
    }

    #[test]
    fn a_thread_attaches_once() {
        let registry = Registry::new();
        // SAFETY: the registry stays, and so does the state.
        let own = unsafe { registry.attach(false, None) }.unwrap();
        // SAFETY: as above.
        assert!(matches!(unsafe { registry.attach(false, None) }, Err(Error::AlreadyAttached)));
        registry.detach(&own);
    }

    /// Each thread waits in one heap while it is attached to the other, whose world is stopped again and again.
    #[test]
    fn threads_of_two_heaps_do_not_wait_for_each_other() {
        let (heaps, done) = ([Registry::new(), Registry::new()], AtomicBool::new(false));
        std::thread::scope(|s| {
            for _ in 0..2 {
                s.spawn(|| {
                    // SAFETY: the registries outlive the threads, which keep the states until they detach.
                    let own = [0, 1].map(|k| unsafe { heaps[k].attach(false, None) }.unwrap());
                    while !done.load(SeqCst) {
                        for k in [0, 1] {
                            if heaps[k].stop_wanted() {
                                heaps[k].park(&own[k]);
                            }
                        }
                    }
                    for k in [0, 1] {
                        heaps[k].detach(&own[k]);
                    }
                });
            }
            let stoppers: Vec<_> =
                heaps.iter().map(|heap| s.spawn(|| (0..200).for_each(|_| drop(heap.stop_world())))).collect();
            stoppers.into_iter().for_each(|s| s.join().unwrap());
            done.store(true, SeqCst);
        });
    }

    /// The same with threads that attach to one heap, and detach, while they run in the other.
    #[test]
    fn threads_that_attach_to_two_heaps_do_not_wait_for_each_other() {
        let (heaps, done) = ([Registry::new(), Registry::new()], AtomicBool::new(false));
        std::thread::scope(|s| {
            for k in [0, 1] {
                let (inside, other, done) = (&heaps[k], &heaps[1 - k], &done);
                s.spawn(move || {
                    // SAFETY: the registries outlive the threads, which keep the states until they detach.
                    let attach = |heap: &Registry| unsafe { heap.attach(false, None) }.unwrap();
                    let own = attach(inside);
                    while !done.load(SeqCst) {
                        let beside = attach(other);
                        other.detach(&beside);
                        if inside.stop_wanted() {
                            inside.park(&own);
                        }
                    }
                    inside.detach(&own);
                });
            }
            let stoppers: Vec<_> =
                heaps.iter().map(|heap| s.spawn(|| (0..500).for_each(|_| drop(heap.stop_world())))).collect();
            stoppers.into_iter().for_each(|s| s.join().unwrap());
            done.store(true, SeqCst);
        });
        assert!(heaps.iter().all(Registry::is_empty));
    }

    /// A thread that detaches waits for nobody, and is none of those who are stopped next.
    #[test]
    fn a_thread_detaches_from_a_stopped_world() {
        let registry = Registry::new();
        std::thread::scope(|s| {
            let (outside, detach) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
            let registry = &registry;
            let thread = s.spawn(move || {
                // SAFETY: as above.
                let own = unsafe { registry.attach(false, None) }.unwrap();
                registry.step_out(&own);
                outside.0.send(()).unwrap();
                detach.1.recv().unwrap();
                registry.detach(&own);
            });
            outside.1.recv().unwrap();
            let world = registry.stop_world();
            assert_eq!(world.threads().len(), 1);
            detach.0.send(()).unwrap();
            thread.join().unwrap();
            drop(world);
            assert!(registry.is_empty());
            assert_eq!(registry.stop_world().threads().len(), 0);
        });
    }

    /// A thread in a blocking region of one heap runs in the other.
    #[test]
    fn a_blocking_region_is_of_one_heap() {
        let heaps = [Registry::new(), Registry::new()];
        // SAFETY: as above.
        let own = [0, 1].map(|k| unsafe { heaps[k].attach(false, None) }.unwrap());
        let blocked = heaps[0].blocking(&own[0], || {
            assert!(heaps[1].try_stop_world(Duration::from_millis(5)).is_none());
            heaps[0].try_stop_world(Duration::MAX).is_some()
        });
        assert!(blocked);
        let waits = heaps[0]
            .waiting(&own[0], || heaps.iter().all(|heap| heap.try_stop_world(Duration::MAX).is_some()));
        assert!(waits);
        for (heap, own) in heaps.iter().zip(&own) {
            heap.detach(own);
        }
    }

    /// The same with threads that are outside of one heap as a rule, and step in while they run in the other.
    #[test]
    fn threads_that_step_into_two_heaps_do_not_wait_for_each_other() {
        let (heaps, done) = ([Registry::new(), Registry::new()], AtomicBool::new(false));
        std::thread::scope(|s| {
            for k in [0, 1] {
                let (inside, outside, done) = (&heaps[k], &heaps[1 - k], &done);
                s.spawn(move || {
                    // SAFETY: the registries outlive the threads, which keep the states until they detach.
                    let own = [inside, outside].map(|heap| unsafe { heap.attach(false, None) }.unwrap());
                    outside.step_out(&own[1]);
                    while !done.load(SeqCst) {
                        outside.step_in(&own[1], false);
                        outside.step_out(&own[1]);
                        if inside.stop_wanted() {
                            inside.park(&own[0]);
                        }
                    }
                    outside.step_in(&own[1], false);
                    inside.detach(&own[0]);
                    outside.detach(&own[1]);
                });
            }
            let stoppers: Vec<_> = heaps
                .iter()
                .map(|heap| s.spawn(|| (0..2000).for_each(|_| drop(heap.stop_world()))))
                .collect();
            stoppers.into_iter().for_each(|s| s.join().unwrap());
            done.store(true, SeqCst);
        });
    }

    #[test]
    fn a_thread_that_ends_attached_is_not_waited_for() {
        let registry = Registry::new();
        std::thread::scope(|s| {
            // SAFETY: the thread does nothing more.
            s.spawn(|| std::mem::forget(unsafe { registry.attach(true, None) }.unwrap()));
        });
        let world = registry.stop_world();
        assert_eq!(world.threads()[0].stack(), None);
    }

    #[test]
    fn a_thread_comes_and_goes_while_the_world_stops() {
        let registry = Registry::new();
        std::thread::scope(|s| {
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    s.spawn(|| {
                        for _ in 0..300 {
                            // SAFETY: as above.
                            let own = unsafe { registry.attach(false, None) }.unwrap();
                            registry.detach(&own);
                        }
                    })
                })
                .collect();
            while !threads.iter().all(std::thread::ScopedJoinHandle::is_finished) {
                drop(registry.stop_world());
            }
        });
    }
}
