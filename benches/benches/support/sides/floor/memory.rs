//! Memory of the same kinds as a heap's: aligned, not inherited by children, populated.

use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;

use palimpsest_runtime::PAGE_SIZE;

/// Page tables cover 2 MiB each: alignment leaves none half used.
const ALIGN: usize = 2 << 20;

/// `len` bytes of a new memory file, mapped shared.
pub(crate) fn shared(len: usize) -> io::Result<*mut u8> {
    // SAFETY: a new descriptor, which stays open with the mapping.
    let file = unsafe { libc::memfd_create(c"floor".as_ptr(), libc::MFD_CLOEXEC) };
    // SAFETY: changes the new file's length only.
    if file < 0 || unsafe { libc::ftruncate(file, len as libc::off_t) } != 0 {
        return Err(io::Error::last_os_error());
    }
    populated(len, libc::MAP_SHARED, file)
}

/// `len` bytes of private anonymous memory.
pub(super) fn private(len: usize) -> io::Result<*mut u8> {
    populated(len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
}

/// New memory, never unmapped, with something in every page.
fn populated(len: usize, kind: c_int, file: c_int) -> io::Result<*mut u8> {
    let check =
        |at: *mut c_void| if at == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(at) };
    // SAFETY: new mappings, the second over a part of the first, which nobody else knows; then writes to the second.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let room = check(libc::mmap(ptr::null_mut(), len + ALIGN, libc::PROT_NONE, flags, -1, 0))?;
        let at = room.wrapping_add(room.align_offset(ALIGN));
        let (access, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, kind | libc::MAP_NORESERVE | libc::MAP_FIXED);
        let at = check(libc::mmap(at, len, access, flags, file, 0))?.cast::<u8>();
        advise(at, len, libc::MADV_DONTFORK)?;
        at.write_bytes(1, len);
        Ok(at)
    }
}

/// # Safety
/// The range is mapped and the caller's, and the advice is about forking.
unsafe fn advise(at: *mut u8, len: usize, advice: c_int) -> io::Result<()> {
    // SAFETY: such advice changes no contents.
    if unsafe { libc::madvise(at.cast(), len, advice) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Private memory that a fork may copy the page tables of.
pub(crate) struct Inherited {
    at: *mut u8,
    len: usize,
}

impl Inherited {
    /// So many bytes, populated.
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        Ok(Self { at: private(len)?, len })
    }

    /// Writes to every `step`th page.
    pub(crate) fn write_some(&self, step: usize) {
        for at in (0..self.len).step_by(step * PAGE_SIZE) {
            // SAFETY: its own memory, and nobody reads it.
            unsafe { self.at.add(at).cast::<usize>().write_volatile(at) };
        }
    }

    /// Says whether forks from now on copy its page tables.
    pub(crate) fn be_inherited(&self, yes: bool) {
        let advice = if yes { libc::MADV_DOFORK } else { libc::MADV_DONTFORK };
        // SAFETY: its own memory.
        unsafe { advise(self.at, self.len, advice) }.expect("advice about forking");
    }
}
