//! A lock that a fork can go through.
//!
//! In a child that the host forks, only the forking thread exists. A lock that another thread held stays held for ever there,
//! unless the forking thread takes it before and gives it back after, on both sides: [`Mutex::hold`] and [`Mutex::let_go`]
//! are for that (`pthread_atfork`). And a lock must not remember who waits for it: a list of waiters would have threads in it
//! that the child has not, and would wake those instead of its own. So here all there is of a lock is one word on which the
//! kernel lets threads sleep (Drepper, "Futexes Are Tricky").

use super::futex;
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, Ordering};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// Held, and somebody may be asleep.
const AWAITED: u32 = 2;

/// Looks at the lock before going to sleep.
const SPINS: u32 = 100;

/// A value that one thread at a time may use.
#[derive(Default)]
pub struct Mutex<T: ?Sized> {
    state: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the value is handed to one thread at a time.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

/// The right to use a [`Mutex`]'s value. It stays with its thread.
#[must_use = "the lock is free again when this drops"]
pub struct MutexGuard<'a, T: ?Sized>(&'a Mutex<T>, PhantomData<*mut ()>);

// SAFETY: a guard gives out references, as `&T` does.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    /// A free lock.
    pub const fn new(value: T) -> Self {
        Self { state: AtomicU32::new(FREE), value: UnsafeCell::new(value) }
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Takes the lock until the guard drops.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.hold();
        MutexGuard(self, PhantomData)
    }

    /// Takes the lock. Whoever does gives it back with [`Mutex::let_go`].
    #[inline]
    pub fn hold(&self) {
        // Acquire: what the holder before has written is seen. Pairs with the release in `let_go`.
        if self.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.hold_slow();
        }
    }

    #[cold]
    fn hold_slow(&self) {
        for _ in 0..SPINS {
            if self.state.load(Ordering::Relaxed) == FREE
                && self.state.compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed).is_ok()
            {
                return;
            }
            std::hint::spin_loop();
        }
        while self.state.swap(AWAITED, Ordering::Acquire) != FREE {
            futex::wait(&self.state, AWAITED, None);
        }
    }

    /// The value, for who took the lock with [`Mutex::hold`].
    ///
    /// # Safety
    /// As for [`Mutex::let_go`], and there is no other reference to the value.
    #[allow(clippy::mut_from_ref, reason = "the lock, not the reference to it, says who may write")]
    pub unsafe fn held(&self) -> &mut T {
        // SAFETY: passed on to the caller.
        unsafe { &mut *self.value.get() }
    }

    /// Gives the lock back. Async-signal-safe.
    ///
    /// # Safety
    /// The calling thread took it with [`Mutex::hold`]; in a child, the thread that is this one's image did.
    #[inline]
    pub unsafe fn let_go(&self) {
        if self.state.swap(FREE, Ordering::Release) == AWAITED {
            futex::wake_one(&self.state);
        }
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard's thread has the lock.
        unsafe { &*self.0.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: taken by `lock`.
        unsafe { self.0.let_go() };
    }
}

impl<T: ?Sized> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without taking the lock: what it guards may be long, or in use by the caller.
        f.write_str("Mutex")
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
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
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        // Whoever changes the value has the lock, and notifies after this look.
        let seen = self.changes.load(Ordering::Relaxed);
        // SAFETY: the guard has the lock, and has it again before anyone can use it.
        unsafe { guard.0.let_go() };
        futex::wait(&self.changes, seen, None);
        guard.0.hold();
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
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!other.is_finished());
            // SAFETY: held above.
            unsafe { lock.let_go() };
            assert_eq!(other.join().unwrap(), 1);
        });
    }
}
