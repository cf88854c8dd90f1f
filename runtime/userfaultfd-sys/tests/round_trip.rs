//! The crate `userfaultfd`, built on this one, works against the running kernel.
//!
//! The descriptor comes from the system call with `UFFD_USER_MODE_ONLY`, which needs no privilege, and not from the
//! crate's builder, which gives up where the device node exists but may not be opened. A kernel or sandbox that
//! refuses the call is a reason to skip, said on standard error.

use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use rustix::ioctl::{Updater, ioctl};
use rustix::mm::{MapFlags, ProtFlags, UserfaultfdFlags, mmap_anonymous, munmap};
use userfaultfd::{Event, FaultKind, ReadWrite, RegisterMode, Uffd};
use userfaultfd_sys::{UFFD_API, UFFD_API_IOCTLS, UFFD_USER_MODE_ONLY, UFFDIO_API, uffdio_api};

const PAGE: usize = 4096;

/// A descriptor that has shaken hands, or the reason why this machine gives none.
fn open() -> Result<Uffd, String> {
    let flags = UserfaultfdFlags::CLOEXEC | UserfaultfdFlags::from_bits_retain(UFFD_USER_MODE_ONLY);
    // SAFETY: the descriptor becomes nobody else's.
    let fd: OwnedFd =
        unsafe { rustix::mm::userfaultfd(flags) }.map_err(|error| format!("userfaultfd(2): {error}"))?;
    let mut api = uffdio_api { api: UFFD_API, features: 0, ioctls: 0 };
    // SAFETY: the kernel reads and writes one `uffdio_api` for this request.
    unsafe { ioctl(fd.as_fd(), Updater::<{ UFFDIO_API }, uffdio_api>::new(&mut api)) }
        .map_err(|error| format!("UFFDIO_API: {error}"))?;
    assert_eq!(api.ioctls & UFFD_API_IOCTLS, UFFD_API_IOCTLS, "the handshake reports the basic requests");
    // SAFETY: an owned userfaultfd that goes over to `Uffd`.
    Ok(unsafe { Uffd::from_raw_fd(fd.into_raw_fd()) })
}

/// One fresh anonymous page, unmapped with the value.
struct Page(*mut u8);

impl Page {
    fn new() -> Self {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice.
        let at = unsafe { mmap_anonymous(null_mut(), PAGE, access, MapFlags::PRIVATE) };
        Self(at.expect("mmap").cast())
    }

    fn byte(&self) -> &AtomicU8 {
        // SAFETY: mapped as long as the value lives, and touched only through this.
        unsafe { AtomicU8::from_ptr(self.0) }
    }
}

// SAFETY: the mapping belongs to the process, and the only access to its bytes is atomic.
unsafe impl Sync for Page {}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: `new` mapped it, and no reference outlives the value.
        unsafe { munmap(self.0.cast(), PAGE) }.expect("munmap");
    }
}

/// What the handler read: the kind of fault, the access, and the page.
fn page_fault(uffd: &Uffd) -> (FaultKind, ReadWrite, usize) {
    match uffd.read_event().expect("read").expect("a blocking descriptor returns an event") {
        Event::Pagefault { kind, rw, addr, .. } => (kind, rw, addr as usize & !(PAGE - 1)),
        other => panic!("expected a page fault, got {other:?}"),
    }
}

#[test]
fn missing_page_is_filled_by_copy() {
    let uffd = match open() {
        Ok(uffd) => uffd,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let page = &Page::new();
    uffd.register(page.0.cast(), PAGE).expect("register");
    let contents = [7u8; PAGE];
    // The scope owns the descriptor: where an assertion fails it is closed, which lets the reader go.
    let read = std::thread::scope(move |scope| {
        let reader = scope.spawn(|| page.byte().load(Relaxed));
        assert_eq!(page_fault(&uffd), (FaultKind::Missing, ReadWrite::Read, page.0 as usize));
        // SAFETY: source and target are one page each, and the target is registered and missing.
        let copied = unsafe { uffd.copy(contents.as_ptr().cast(), page.0.cast(), PAGE, true) };
        assert_eq!(copied.expect("copy"), PAGE);
        uffd.unregister(page.0.cast(), PAGE).expect("unregister");
        reader.join().expect("reader")
    });
    assert_eq!(read, 7);
}

#[test]
fn write_to_a_protected_page_waits_for_unprotect() {
    let uffd = match open() {
        Ok(uffd) => uffd,
        Err(why) => return eprintln!("skipped: {why}"),
    };
    let page = &Page::new();
    page.byte().store(1, Relaxed);
    if let Err(error) = uffd.register_with_mode(page.0.cast(), PAGE, RegisterMode::WRITE_PROTECT) {
        return eprintln!("skipped: write protection: {error}");
    }
    uffd.write_protect(page.0.cast(), PAGE).expect("protect");
    std::thread::scope(move |scope| {
        let writer = scope.spawn(|| page.byte().store(2, Relaxed));
        assert_eq!(page_fault(&uffd), (FaultKind::WriteProtected, ReadWrite::Write, page.0 as usize));
        assert_eq!(page.byte().load(Relaxed), 1, "the write has not happened");
        uffd.remove_write_protection(page.0.cast(), PAGE, true).expect("unprotect");
        writer.join().expect("writer");
    });
    assert_eq!(page.byte().load(Relaxed), 2);
}
