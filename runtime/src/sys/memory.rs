//! Address ranges and the files behind them.
//!
//! `memmap2` makes and owns the mappings; what it lacks (a fixed address, `MADV_DONTFORK`, sealing, hole
//! punching) is done here with rustix on the ranges it owns.

use super::inject::{Call, check};
use super::{Errno, clear, limits};
use crate::error::Error;
use crate::unit::{Address, Bytes, PAGE_SIZE};
use memmap2::{MmapMut, MmapOptions};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::retry_on_intr;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use std::ffi::c_void;

const OVERCOMMIT: &str = "lower the heap limit, or allow overcommit (sysctl vm.overcommit_memory=0)";

pub(super) fn io_errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Private anonymous memory, zeroed, populated on first touch, without a reservation of swap.
pub fn map_private(len: Bytes) -> Result<MmapMut, Error> {
    limits::check_address_space(len)?;
    check(Call::Map)
        .and_then(|()| MmapOptions::new().len(len.0).no_reserve_swap().map_anon().map_err(|e| io_errno(&e)))
        .map_err(|errno| Error::advise(format!("mapping {len} of memory"), errno, OVERCOMMIT))
}

/// A sparse memory file of a fixed size, sealed against being resized by anyone who gets hold of it.
pub fn memfd(name: &str, len: Bytes) -> Result<OwnedFd, Error> {
    limits::check_file_size(len)?;
    let make = || {
        let fd = clear::of_standard(create(name)?)?;
        retry_on_intr(|| {
            check(Call::MemfdSize)?;
            rustix::fs::ftruncate(&fd, len.0 as u64)
        })?;
        check(Call::MemfdSeal)?;
        rustix::fs::fcntl_add_seals(&fd, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(fd)
    };
    make().map_err(|errno| {
        let advice = "memfd_create must be allowed (seccomp) and the file size limit high enough";
        Error::advise(format!("creating a memory file of {len} for {name}"), errno, advice)
    })
}

/// A new memory file that cannot be executed: the sysctl `vm.memfd_noexec` may allow no other. Kernels before 6.3 do not
/// know the flag.
fn create(name: &str) -> Result<OwnedFd, Errno> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let make = |flags| check(Call::Memfd).and_then(|()| rustix::fs::memfd_create(name, flags));
    match make(flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => make(flags),
        result => result,
    }
}

/// Whether memory files can be made at all.
pub fn probe_memfd() -> Result<(), Errno> {
    create("palimpsest-probe").map(|_| ())
}

/// Puts the file's first `len` bytes at `at`, over what is mapped there.
///
/// # Safety
/// `at .. at + len` is page-aligned and belongs to a mapping the caller owns and to which nothing refers.
pub unsafe fn map_file_over(at: Address, len: Bytes, fd: BorrowedFd<'_>) -> Result<(), Error> {
    let flags = MapFlags::SHARED | MapFlags::FIXED | MapFlags::NORESERVE;
    check(Call::Map)
        .and_then(|()| {
            // SAFETY: the caller owns the range that this replaces.
            unsafe { rustix::mm::mmap(at.as_ptr(), len.0, ProtFlags::READ | ProtFlags::WRITE, flags, fd, 0) }
        })
        .map(|_| ())
        .map_err(|errno| Error::advise(format!("mapping {len} of shared memory at {at}"), errno, OVERCOMMIT))
}

/// In a worker: a file of its parent's, shared, where the parent has it. Async-signal-safe.
///
/// # Safety
/// Nothing is mapped at `at .. at + len` in this process.
pub unsafe fn map_file_in_worker(
    at: Address,
    len: Bytes,
    fd: BorrowedFd<'_>,
    access: Access,
) -> Result<(), Errno> {
    check(Call::WorkerMap)?;
    let flags = MapFlags::SHARED | MapFlags::FIXED_NOREPLACE | MapFlags::NORESERVE;
    let may = match access {
        Access::None => ProtFlags::empty(),
        Access::Read => ProtFlags::READ,
        Access::Write => ProtFlags::READ | ProtFlags::WRITE,
    };
    // SAFETY: FIXED_NOREPLACE replaces nothing; the caller says that the range is free.
    let got = unsafe { rustix::mm::mmap(at.as_ptr(), len.0, may, flags, fd, 0) }?;
    // Kernels before 4.17 take the address as a mere hint.
    if got.addr() == at.as_usize() { Ok(()) } else { Err(Errno::EXIST) }
}

/// Takes the place of a range, so that nothing else comes there: memory that nobody may touch. Async-signal-safe.
///
/// # Safety
/// The range is page-aligned, and what is mapped in it, if anything, is the caller's and not needed any more.
pub unsafe fn reserve_over(at: Address, len: Bytes) -> Result<(), Errno> {
    check(Call::Reserve)?;
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    // SAFETY: passed on to the caller.
    unsafe { rustix::mm::mmap_anonymous(at.as_ptr(), len.0, ProtFlags::empty(), flags) }.map(|_| ())
}

/// Advice that changes what a range is, rather than how it performs.
#[derive(Copy, Clone, Debug)]
pub enum Advise {
    /// Children do not inherit the range.
    DontFork,
    /// Children inherit the range again.
    DoFork,
    /// Drop the contents: private memory reads as zero again.
    Discard,
    /// Drop the contents of a shared file's range: it reads as zero, and its pages go back to the system.
    PunchHole,
    /// Populate the pages for writing now, and say so if that cannot be done.
    Populate,
    /// Have huge pages where that is possible.
    HugePages,
}

/// What a thread may do with memory, as far as `mprotect` is concerned.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Access {
    /// Nothing.
    None,
    /// Read.
    Read,
    /// Read and write.
    Write,
}

/// Changes what may be done with a range. Async-signal-safe.
///
/// # Safety
/// The range is page-aligned, mapped, and the caller's, who is prepared for the faults.
#[inline]
pub unsafe fn protect(at: Address, len: Bytes, access: Access) -> Result<(), Errno> {
    let (flags, call) = match access {
        Access::None => (rustix::mm::MprotectFlags::empty(), Call::Protect),
        Access::Read => (rustix::mm::MprotectFlags::READ, Call::Protect),
        Access::Write => {
            (rustix::mm::MprotectFlags::READ | rustix::mm::MprotectFlags::WRITE, Call::ProtectOpen)
        }
    };
    check(call)?;
    // SAFETY: passed on to the caller.
    unsafe { rustix::mm::mprotect(at.as_ptr::<c_void>(), len.0, flags) }
}

/// Bytes in a page. Asked of libc: rustix looks it up in a way that does not survive valgrind.
pub fn page_size() -> usize {
    // SAFETY: `sysconf` has no precondition.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(PAGE_SIZE)
}

/// The text of a file that the kernel writes.
pub(super) fn read_text(path: impl AsRef<std::path::Path>) -> Result<String, Errno> {
    check(Call::ReadFile)?;
    std::fs::read_to_string(path).map_err(|error| io_errno(&error))
}

/// How many mappings the process may have (`vm.max_map_count`).
pub fn most_mappings() -> usize {
    let text = read_text("/proc/sys/vm/max_map_count").unwrap_or_default();
    // What the kernel is built with, where it cannot be read.
    text.trim().parse().unwrap_or(65_530)
}

/// Gives the kernel advice on a range.
///
/// # Safety
/// The range is page-aligned, mapped, and the caller's; for [`Advise::Discard`] and [`Advise::PunchHole`]
/// nobody needs its contents.
pub unsafe fn advise(at: Address, len: Bytes, advice: Advise) -> Result<(), Error> {
    // SAFETY: passed on to the caller.
    unsafe { advise_raw(at, len, advice) }
        .map_err(|errno| Error::denied(format!("advising {advice:?} on {len} at {at}"), errno))
}

/// The same, async-signal-safe.
///
/// # Safety
/// As for [`advise`].
pub unsafe fn advise_raw(at: Address, len: Bytes, advice: Advise) -> Result<(), Errno> {
    let (raw, call) = match advice {
        Advise::DontFork => (Advice::LinuxDontFork, Call::DontFork),
        Advise::DoFork => (Advice::LinuxDoFork, Call::DoFork),
        Advise::Discard => (Advice::LinuxDontNeed, Call::Discard),
        Advise::PunchHole => (Advice::LinuxRemove, Call::PunchHole),
        Advise::Populate => (Advice::LinuxPopulateWrite, Call::Populate),
        Advise::HugePages => (Advice::LinuxHugepage, Call::HugePages),
    };
    check(call)
        // SAFETY: the range is the caller's, and its contents are not needed where the advice drops them.
        .and_then(|()| unsafe { rustix::mm::madvise(at.as_ptr::<c_void>(), len.0, raw) })
}

/// Copies what is populated of a memory file, which is mapped at `at`, to the same places of another.
///
/// # Safety
/// The first `len` bytes of `from` are mapped there, readable, and nobody changes them meanwhile.
pub unsafe fn copy_to(
    from: BorrowedFd<'_>,
    at: Address,
    len: Bytes,
    to: BorrowedFd<'_>,
) -> Result<(), Error> {
    use rustix::fs::SeekFrom;
    let asked = || check(Call::CopyFile);
    let seek = |to| retry_on_intr(|| asked().and_then(|()| rustix::fs::seek(from, to)));
    let write = |bytes: &[u8], at| retry_on_intr(|| asked().and_then(|()| rustix::io::pwrite(to, bytes, at)));
    let copy = || {
        let mut offset = 0;
        loop {
            offset = match seek(SeekFrom::Data(offset)) {
                // Holes only, from here on.
                Err(Errno::NXIO) => return Ok(()),
                result => result?,
            };
            let end = seek(SeekFrom::Hole(offset))?.min(len.0 as u64);
            while offset < end {
                let now = (end - offset).min(1 << 20) as usize;
                // SAFETY: populated memory of the file, which is mapped and does not change.
                let bytes =
                    unsafe { std::slice::from_raw_parts(at.add(offset as usize).as_ptr::<u8>(), now) };
                match write(bytes, offset) {
                    Ok(0) => return Err(Errno::NOSPC),
                    result => offset += result? as u64,
                }
            }
        }
    };
    copy().map_err(|errno: Errno| {
        Error::advise(
            format!("copying {len} of shared memory for a child"),
            errno,
            "there must be memory for both",
        )
    })
}

/// In a child: a copy of a file, mapped shared where the parent has the original. Async-signal-safe.
///
/// # Safety
/// `at .. at + len` is page-aligned and the caller's, and nothing of it is needed.
pub unsafe fn put_file(at: Address, len: Bytes, fd: BorrowedFd<'_>) -> Result<(), Errno> {
    check(Call::PutCopy)?;
    let flags = MapFlags::SHARED | MapFlags::FIXED | MapFlags::NORESERVE;
    // SAFETY: passed on to the caller.
    unsafe { rustix::mm::mmap(at.as_ptr(), len.0, ProtFlags::READ | ProtFlags::WRITE, flags, fd, 0) }
        .map(|_| ())
}

/// How much of a range of private memory is populated.
///
/// # Errors
/// Where part of the range is not mapped.
pub fn resident(at: Address, len: Bytes) -> Result<Bytes, Errno> {
    /// Pages that are asked about at a time: 64 MiB.
    const PAGES: usize = 16_384;
    let mut pages = [0u8; PAGES];
    let mut resident = 0;
    for from in (0..len.0).step_by(PAGES * PAGE_SIZE) {
        check(Call::Resident)?;
        let now = (len.0 - from).min(PAGES * PAGE_SIZE);
        // SAFETY: the call writes a byte for each page of the range, for which there is room, and reads nothing.
        let answer = unsafe { libc::mincore(at.add(from).as_ptr(), now, pages.as_mut_ptr()) };
        if answer != 0 {
            return Err(io_errno(&std::io::Error::last_os_error()));
        }
        resident += pages[..now.div_ceil(PAGE_SIZE)].iter().filter(|page| **page & 1 != 0).count();
    }
    Ok(Bytes(resident * PAGE_SIZE))
}

/// What the kernel does about huge pages for private memory: whether it never gives any.
pub fn has_huge_pages() -> bool {
    // A kernel without them has no such file.
    let text = read_text("/sys/kernel/mm/transparent_hugepage/enabled");
    text.is_ok_and(|text| !text.contains("[never]"))
}

/// How much of a memory file is populated.
pub fn populated(fd: impl AsFd) -> Bytes {
    check(Call::FileStatus)
        .and_then(|()| rustix::fs::fstat(fd))
        .map_or(Bytes(0), |s| Bytes(s.st_blocks as usize * 512))
}

#[cfg(test)]
mod tests {
    use super::super::guarded::Guarded;
    use super::*;

    #[test]
    fn private_memory_is_counted_page_by_page() {
        let mut map = map_private(Bytes::mib(100)).unwrap();
        let at = Address::from_ptr(map.as_ptr());
        assert_eq!(resident(at, Bytes::mib(100)).unwrap(), Bytes(0));
        for page in [0, 17, 25_599] {
            map[page * PAGE_SIZE] = 1;
        }
        assert_eq!(resident(at, Bytes::mib(100)).unwrap(), Bytes(3 * PAGE_SIZE));
        assert_eq!(resident(at.add(17 * PAGE_SIZE), Bytes(PAGE_SIZE)).unwrap(), Bytes(PAGE_SIZE));
        // SAFETY: the whole mapping is this test's, and its contents are not needed.
        unsafe { advise(at, Bytes::mib(100), Advise::Discard) }.unwrap();
        assert_eq!(resident(at, Bytes::mib(100)).unwrap(), Bytes(0));
    }

    #[test]
    fn a_memory_file_is_sparse_and_sealed() {
        let fd = memfd("test", Bytes::mib(64)).unwrap();
        assert_eq!(populated(&fd), Bytes(0));
        assert!(rustix::fs::ftruncate(&fd, 4096).is_err());
        let map = Guarded::file(fd.as_fd(), Bytes::mib(64)).unwrap();
        // SAFETY: the first byte of a live mapping that nothing else refers to.
        unsafe { map.at().as_ptr::<u8>().write_volatile(1) };
        assert_eq!(populated(&fd), Bytes(4096));
        // SAFETY: the whole mapping is this test's, and its contents are not needed.
        unsafe { advise(map.at(), Bytes::mib(64), Advise::PunchHole) }.unwrap();
        assert_eq!(populated(&fd), Bytes(0));
    }
}
