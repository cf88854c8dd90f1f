//! Marks for a tracer: a system call that does nothing and that nothing else makes.

use std::ffi::c_long;

/// What a mark says. The tracer (`tests/gate/trace`) has the same numbers.
#[derive(Clone, Copy)]
pub enum Mark {
    /// What is counted begins.
    Begin = 1,
    /// The thread that asked for a cycle goes on. What it does from here on is not counted.
    Returned = 2,
    /// What is counted is over.
    End = 3,
}

/// Makes a mark. `word` is an address that it passes on.
#[inline(never)]
pub fn mark(mark: Mark, word: usize) {
    // SAFETY: advice about a descriptor that is none changes nothing; the kernel refuses it.
    unsafe { libc::syscall(libc::SYS_fadvise64, -1 as c_long, word, mark as c_long, 0 as c_long) };
}
