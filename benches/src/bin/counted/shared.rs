//! Two words that the worker shares with the program: with them the program holds a snapshot for as long as it likes.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

/// What a heap's embedder and its program have in common, in a process and in those forked from it.
pub struct Shared {
    /// A worker is at work, so there is a snapshot.
    pub began: AtomicU32,
    /// It may end.
    pub may_end: AtomicU32,
}

impl Shared {
    /// New words, which are never unmapped.
    pub fn new() -> io::Result<&'static Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping, which reads as zeroes: two words.
        let at = unsafe { libc::mmap(ptr::null_mut(), size_of::<Self>(), access, flags, -1, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: mapped for ever, and atomics.
        Ok(unsafe { &*at.cast::<Self>() })
    }

    /// Says that a snapshot has begun, and waits until it may end. Runs in a worker: system calls and atomics only.
    pub fn hold(&self) {
        self.began.store(1, SeqCst);
        while self.may_end.load(SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
