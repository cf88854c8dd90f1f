//! Threads of the collector's own.
//!
//! They are the C library's, not the standard library's. One of those holds a lock of the whole process for a moment, as it begins and as
//! it ends. In a child that the host forks in such a moment of *another* thread nobody lets go of that lock again, and no thread of the
//! standard library's begins there: a child with a copy of a heap would wait for its collector for ever. The locks under which
//! the C library starts a thread are free in a child.

use super::inject::{Call, check};
use super::{Errno, signal};
use std::ffi::{CStr, c_void};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes of stack, as the standard library has: a listener, which is the host's code, runs there. What threads have by default is
/// taken where that is too little for the host's thread-local variables.
const STACK: usize = 2 << 20;

/// A thread. It goes on by itself when this is dropped.
///
/// In a child of the process there is no such thread: there this is to be forgotten.
#[derive(Debug)]
pub struct Thread(libc::pthread_t);

// SAFETY: every thread may ask for any by this.
unsafe impl Send for Thread {}

/// What a thread begins with.
struct Start {
    name: &'static CStr,
    body: Box<dyn FnOnce() + Send>,
}

impl Thread {
    /// Starts one, of this name in the kernel, which begins with all signals blocked. One that panics says so, and ends.
    ///
    /// # Errors
    /// Where there may be no more threads, or no memory for one. `body` is dropped then.
    pub fn start(name: &'static CStr, body: impl FnOnce() + Send + 'static) -> Result<Self, Errno> {
        let start = Box::into_raw(Box::new(Start { name, body: Box::new(body) }));
        // A new thread has its creator's mask: a signal that comes before it could set its own would run a handler in it.
        // SAFETY: the new thread owns `start`.
        let thread = signal::with_all_blocked(|| unsafe { create(start) });
        // SAFETY: where there is no thread, nobody owns it.
        thread.map(Self).inspect_err(|_| drop(unsafe { Box::from_raw(start) }))
    }

    /// Whether this is the calling thread.
    pub fn is_current(&self) -> bool {
        // SAFETY: neither has a precondition, and the number is the thread's until it is joined.
        unsafe { libc::pthread_equal(self.0, libc::pthread_self()) != 0 }
    }

    /// Waits until it has ended.
    pub fn join(self) {
        // SAFETY: nobody else joins or detaches it.
        unsafe { libc::pthread_join(self.0, std::ptr::null_mut()) };
        std::mem::forget(self);
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: nobody joins it from here on.
        unsafe { libc::pthread_detach(self.0) };
    }
}

/// Has the C library start a thread.
///
/// # Safety
/// The new thread, if there is one, owns `start`.
unsafe fn create(start: *mut Start) -> Result<libc::pthread_t, Errno> {
    check(Call::Thread)?;
    let answer = |errno| if errno == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(errno)) };
    let (mut attributes, mut thread) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: the attributes are used between the calls that make them and end them. A thread that was made has a number.
    unsafe {
        answer(libc::pthread_attr_init(attributes.as_mut_ptr()))?;
        let mut create = |with| answer(libc::pthread_create(thread.as_mut_ptr(), with, run, start.cast()));
        let made = match answer(libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), STACK)) {
            Ok(()) => create(attributes.as_ptr()),
            Err(errno) => Err(errno),
        };
        let made = if made == Err(Errno::INVAL) { create(std::ptr::null()) } else { made };
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        made.map(|()| thread.assume_init())
    }
}

extern "C" fn run(start: *mut c_void) -> *mut c_void {
    // SAFETY: `create` passed it on, to this thread alone.
    let Start { name, body } = *unsafe { Box::from_raw(start.cast::<Start>()) };
    // For whoever lists the threads: a wish.
    let _ = rustix::thread::set_name(name);
    // Whoever panics has said so. Neither that nor another panic, as what was thrown is dropped, must leave this function.
    if let Err(thrown) = catch_unwind(AssertUnwindSafe(body)) {
        std::mem::forget(thrown);
    }
    std::ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    #[test]
    fn a_thread_runs_and_is_joined_also_after_a_panic() {
        let ran = Arc::new(AtomicU32::new(0));
        let add = |what: u32| {
            let ran = ran.clone();
            move || {
                ran.fetch_add(what, SeqCst);
                assert!(what != 10, "on purpose");
            }
        };
        let threads = [1, 10, 100].map(|what| Thread::start(c"palimpsest-test", add(what)).unwrap());
        assert!(threads.iter().all(|thread| !thread.is_current()));
        threads.into_iter().for_each(Thread::join);
        assert_eq!(ran.load(SeqCst), 111);
        assert_eq!(Arc::strong_count(&ran), 1, "what a thread began with is dropped");
    }
}
