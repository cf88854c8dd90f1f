//! A lock that a fork can go through.
//!
//! In a child that the host forks, only the forking thread exists. A lock that another thread held stays held for ever there,
//! unless the forking thread takes it before and gives it back after, on both sides: [`HoldAcrossFork`] is for that
//! (`pthread_atfork`). And a lock must not remember who waits for it: a list of waiters would have threads in it that the
//! child has not, and would wake those instead of its own. parking_lot's own locks keep such a list, for the whole process. So
//! the mutex and its guards are parking_lot's (`lock_api`), and what they are made of is a word on which the kernel lets
//! threads sleep (Drepper, "Futexes Are Tricky").

use super::futex;
use crate::sizes::LOCK_SPINS;
use crate::sync::{AtomicU32, Ordering, mutation};
use parking_lot::lock_api::{self, GuardNoSend, RawMutex};
use std::time::Duration;

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may be asleep.
const AWAITED: u32 = 2;

/// A value that one thread at a time may use.
pub type Mutex<T> = lock_api::Mutex<RawFutex, T>;

/// The right to use a [`Mutex`]'s value. It stays with its thread.
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawFutex, T>;

/// A lock without a value and without memory of who waits.
#[derive(Debug)]
pub struct RawFutex(AtomicU32);

// SAFETY: between `lock`, or a `try_lock` that succeeds, and `unlock` the word is not `FREE`, and both make it so only from
// `FREE`: one thread at a time is there.
unsafe impl RawMutex for RawFutex {
    #[allow(clippy::declare_interior_mutable_const, reason = "the interface's way of making one")]
    const INIT: Self = Self(AtomicU32::new(FREE));
    type Guard = GuardNoSend;

    #[inline]
    fn lock(&self) -> GuardNoSend {
        if !self.take() {
            self.take_slow();
        }
        GuardNoSend::new()
    }

    #[inline]
    fn try_lock(&self) -> Option<GuardNoSend> {
        self.take().then(GuardNoSend::new)
    }

    /// Async-signal-safe.
    #[inline]
    unsafe fn unlock(&self, _: GuardNoSend) {
        if self.0.swap(FREE, Ordering::Release) == AWAITED {
            futex::wake_one(&self.0);
        }
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.0.load(Ordering::Relaxed) != FREE
    }
}

impl RawFutex {
    /// Makes a lock free, with this value, whoever held it. Its old value is leaked. Async-signal-safe.
    ///
    /// # Safety
    /// No other thread of the process uses the lock, and this one has no guard of it.
    pub unsafe fn begin_anew<T>(lock: &Mutex<T>, value: T) {
        // SAFETY: nobody else looks at it.
        unsafe {
            lock.data_ptr().write(value);
            lock.raw().0.store(FREE, Ordering::Release);
        }
    }

    #[inline]
    fn take(&self) -> bool {
        // Acquire: what the holder before has written is seen. Pairs with the release in `unlock`.
        self.0.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    #[cold]
    fn take_slow(&self) {
        for _ in 0..LOCK_SPINS {
            if self.0.load(Ordering::Relaxed) == FREE && self.take() {
                return;
            }
            std::hint::spin_loop();
        }
        let held = if mutation!("lock: nobody says that he waits") { HELD } else { AWAITED };
        while self.0.swap(held, Ordering::Acquire) != FREE {
            futex::wait(&self.0, held, None);
        }
    }
}

/// Taking a lock in one function and giving it back in another, as the handlers around a fork do.
pub trait HoldAcrossFork<T> {
    /// Takes the lock. Whoever does gives it back with [`HoldAcrossFork::let_go`].
    fn hold(&self);

    /// The value, for who took the lock with [`HoldAcrossFork::hold`].
    ///
    /// # Safety
    /// As for [`HoldAcrossFork::let_go`], and there is no other reference to the value.
    #[allow(clippy::mut_from_ref, reason = "the lock, not the reference to it, says who may write")]
    unsafe fn held(&self) -> &mut T;

    /// Gives the lock back. Async-signal-safe.
    ///
    /// # Safety
    /// The calling thread took it with [`HoldAcrossFork::hold`]; in a child, the thread that is this one's image did.
    unsafe fn let_go(&self);
}

impl<T> HoldAcrossFork<T> for Mutex<T> {
    fn hold(&self) {
        std::mem::forget(self.lock());
    }

    unsafe fn held(&self) -> &mut T {
        // SAFETY: passed on to the caller.
        unsafe { &mut *self.data_ptr() }
    }

    unsafe fn let_go(&self) {
        // SAFETY: passed on to the caller.
        unsafe { self.force_unlock(GuardNoSend::new()) };
    }
}

/// Where threads that have a [`Mutex`] wait for a change of its value.
#[derive(Debug, Default)]
pub struct Condvar {
    /// Counts notifications.
    changes: AtomicU32,
}

impl Condvar {
    /// Gives the lock back, waits for a notification, and takes it again. May return without one.
    pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
        self.wait_for(guard, None);
    }

    /// The same, for at most so long.
    pub fn wait_for<T>(&self, guard: &mut MutexGuard<'_, T>, limit: Option<Duration>) {
        // Whoever changes the value has the lock, and notifies after this look.
        let seen = self.changes.load(Ordering::Relaxed);
        MutexGuard::unlocked(guard, || futex::wait(&self.changes, seen, limit));
    }

    /// Wakes one thread that waits. The caller has changed the value under the lock.
    pub fn notify_one(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        futex::wake_one(&self.changes);
    }

    /// Wakes all.
    pub fn notify_all(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        futex::wake_all(&self.changes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_at_a_time() {
        let lock = Mutex::new(0u64);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for k in 0..20_000 {
                        let mut value = lock.lock();
                        *value += 1;
                        if k % 1000 == 0 {
                            std::thread::yield_now();
                        }
                    }
                });
            }
        });
        assert_eq!(*lock.lock(), 80_000);
    }

    #[test]
    fn whoever_waits_for_a_change_is_woken() {
        let (turn, changed) = (Mutex::new(0u32), Condvar::default());
        std::thread::scope(|s| {
            for own in 0..3 {
                let (turn, changed) = (&turn, &changed);
                s.spawn(move || {
                    for _ in 0..2_000 {
                        let mut turn = turn.lock();
                        while *turn % 3 != own {
                            changed.wait(&mut turn);
                        }
                        *turn += 1;
                        changed.notify_all();
                    }
                });
            }
        });
        assert_eq!(*turn.lock(), 6_000);
    }

    #[test]
    fn what_is_held_is_let_go() {
        let lock = Mutex::new(1);
        lock.hold();
        std::thread::scope(|s| {
            let other = s.spawn(|| *lock.lock());
            std::thread::sleep(Duration::from_millis(20));
            assert!(!other.is_finished());
            // SAFETY: held above.
            unsafe { lock.let_go() };
            assert_eq!(other.join().unwrap(), 1);
        });
    }
}
