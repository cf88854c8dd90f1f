//! Memory to put under a barrier, and the calls that change it.
//!
//! A [`Mapping`] counts its pages in its own unit: 4 KiB (or what the machine has), also where huge pages back
//! it transparently; the size of a huge page for hugetlb, where the kernel protects nothing smaller.

use super::{Answer, Errno, check};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::AtomicU64;

/// What memory consists of.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Private anonymous memory, in small pages.
    Anonymous,
    /// A shared mapping of a memory file, in small pages.
    Shared,
    /// Private anonymous memory in transparent huge pages.
    AnonymousHuge,
    /// A shared mapping of a memory file in transparent huge pages.
    SharedHuge,
    /// A shared mapping of a memory file of reserved huge pages.
    Hugetlb,
}

impl Kind {
    /// Whether transparent huge pages are wanted.
    pub fn is_transparent_huge(self) -> bool {
        matches!(self, Kind::AnonymousHuge | Kind::SharedHuge)
    }

    /// Whether the memory is a process's own: a fork copies it.
    pub fn is_private(self) -> bool {
        matches!(self, Kind::Anonymous | Kind::AnonymousHuge)
    }
}

/// Some addresses.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// The first.
    pub at: usize,
    /// How many bytes.
    pub len: usize,
}

/// The size of a small page.
pub fn page_size() -> usize {
    // SAFETY: asks for a constant of the system.
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.cast_unsigned() as usize
}

/// The size of a transparent huge page, or 0 where there are none.
pub fn huge_page_size() -> usize {
    std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

/// A mapping of whole pages, readable and writable at first, for as long as the process lives.
#[derive(Debug)]
pub struct Mapping {
    base: *mut u8,
    /// Bytes a page.
    unit: usize,
    pages: usize,
    kind: Kind,
    /// The memory file of a shared mapping.
    file: Option<OwnedFd>,
}

// SAFETY: an address range that lives as long as the process; what threads do there is atomic or volatile.
unsafe impl Sync for Mapping {}

/// A mapping as `mmap` makes it, or its reason.
fn map(at: usize, len: usize, access: i32, flags: i32, file: i32) -> Answer<*mut u8> {
    let at = ptr::with_exposed_provenance_mut(at);
    // SAFETY: a new mapping; where MAP_FIXED is among the flags, the caller owns what was there.
    let got = unsafe { libc::mmap(at, len, access, flags, file, 0) };
    if got == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(got.cast()) }
}

const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;

impl Mapping {
    /// Maps so many pages, none of them populated.
    pub fn new(kind: Kind, pages: usize) -> Answer<Self> {
        let file = match kind {
            Kind::Anonymous | Kind::AnonymousHuge => None,
            Kind::Shared | Kind::SharedHuge => Some(memory_file(0)?),
            Kind::Hugetlb => Some(memory_file(libc::MFD_HUGETLB)?),
        };
        let unit = match (&file, kind) {
            (Some(file), Kind::Hugetlb) => block_size(file)?,
            _ => page_size(),
        };
        let align = if kind.is_transparent_huge() { huge_page_size().max(unit) } else { unit };
        let len = pages * unit;
        if let Some(file) = &file {
            // SAFETY: our descriptor.
            check(unsafe { libc::ftruncate(file.as_raw_fd(), len.cast_signed() as libc::off_t) })?;
        }
        let room = map(
            0,
            len + align,
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
        )?;
        let at = room.expose_provenance().next_multiple_of(align);
        let base = map_over(at, len, file.as_ref())?;
        let mapping = Self { base, unit, pages, kind, file };
        match kind {
            Kind::Hugetlb => {}
            _ if kind.is_transparent_huge() => mapping.advise(0..pages, libc::MADV_HUGEPAGE)?,
            // A kernel that was built without huge pages does not know the advice, and needs none.
            _ => drop(mapping.advise(0..pages, libc::MADV_NOHUGEPAGE)),
        }
        Ok(mapping)
    }

    /// How many pages.
    pub fn pages(&self) -> usize {
        self.pages
    }

    /// Bytes a page.
    pub fn unit(&self) -> usize {
        self.unit
    }

    /// What the memory consists of.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The addresses of these pages.
    pub fn span(&self, pages: Range<usize>) -> Span {
        Span { at: self.base.addr() + pages.start * self.unit, len: pages.len() * self.unit }
    }

    /// The addresses of all pages.
    pub fn all(&self) -> Span {
        self.span(0..self.pages)
    }

    /// A word of a page, for loads and stores that compile to one instruction.
    pub fn word(&self, page: usize, word: usize) -> &AtomicU64 {
        assert!(page < self.pages && word < self.unit / 8);
        // SAFETY: within the mapping, aligned, and only ever used as an atomic by this process's threads.
        unsafe { AtomicU64::from_ptr(self.base.add(page * self.unit + word * 8).cast()) }
    }

    /// A plain store to the first word of a page.
    pub fn store(&self, page: usize, value: u64) {
        // SAFETY: as in `word`; volatile, so that the store is made exactly here and once.
        unsafe { ptr::write_volatile(self.word(page, 0).as_ptr(), value) };
    }

    /// A plain load of the first word of a page.
    pub fn load(&self, page: usize) -> u64 {
        // SAFETY: as in `word`.
        unsafe { ptr::read_volatile(self.word(page, 0).as_ptr()) }
    }

    /// Writes to each page, so that it exists.
    pub fn populate(&self) {
        for page in 0..self.pages {
            self.store(page, 0);
        }
    }

    /// Changes what may be done with pages: `libc::PROT_*`. Async-signal-safe.
    pub fn allow(&self, pages: Range<usize>, access: i32) -> Answer<()> {
        allow(self.span(pages), access)
    }

    /// Gives the kernel an advice about pages: `libc::MADV_*`.
    pub fn advise(&self, pages: Range<usize>, advice: i32) -> Answer<()> {
        let span = self.span(pages);
        let at = ptr::with_exposed_provenance_mut(span.at);
        // SAFETY: our own mapping, whose contents may change.
        check(unsafe { libc::madvise(at, span.len, advice) }).map(drop)
    }

    /// Unmaps everything.
    pub fn unmap(&self) -> Answer<()> {
        // SAFETY: our own mapping, which is used again only after `map_again`.
        check(unsafe { libc::munmap(self.base.cast(), self.pages * self.unit) }).map(drop)
    }

    /// Maps the same kind of memory (for a shared mapping, the same file) over the same addresses.
    pub fn map_again(&self) -> Answer<()> {
        map_over(self.base.addr(), self.pages * self.unit, self.file.as_ref()).map(drop)
    }

    /// Moves the whole mapping to other addresses; this one may not be used any more.
    pub fn move_away(&self) -> Answer<Self> {
        let len = self.pages * self.unit;
        let room = map(0, len, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
        // SAFETY: moves our mapping over one that was made for that and is not used otherwise.
        let got = unsafe {
            libc::mremap(self.base.cast(), len, len, libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED, room)
        };
        if got == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Ok(Self { base: got.cast(), file: None, ..*self })
    }
}

/// Maps at these addresses: the file, or anonymous memory.
fn map_over(at: usize, len: usize, file: Option<&OwnedFd>) -> Answer<*mut u8> {
    match file {
        Some(file) => map(at, len, READ_WRITE, libc::MAP_SHARED | libc::MAP_FIXED, file.as_raw_fd()),
        None => map(at, len, READ_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED, -1),
    }
}

/// Changes what may be done with addresses. Async-signal-safe.
pub fn allow(span: Span, access: i32) -> Answer<()> {
    // SAFETY: callers pass addresses of a `Mapping`, to which only stores that may fault are made.
    check(unsafe { libc::mprotect(ptr::with_exposed_provenance_mut(span.at), span.len, access) }).map(drop)
}

/// A new, empty memory file.
pub fn memory_file(flags: u32) -> Answer<OwnedFd> {
    // SAFETY: a new descriptor, which gets its owner.
    unsafe {
        let fd = check(libc::memfd_create(c"doctor".as_ptr(), libc::MFD_CLOEXEC | flags))?;
        Ok(OwnedFd::from_raw_fd(fd as i32))
    }
}

fn block_size(file: &OwnedFd) -> Answer<usize> {
    // SAFETY: all-zero is a valid `stat`, and fstat writes it.
    unsafe {
        let mut stat: libc::stat = std::mem::zeroed();
        check(libc::fstat(file.as_raw_fd(), &raw mut stat))?;
        Ok(stat.st_blksize as usize)
    }
}

/// Zeroed words that a process shares with the children it forks.
pub fn board() -> Answer<&'static [AtomicU64; 64]> {
    let at = map(0, page_size(), READ_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1)?;
    // SAFETY: a new, zeroed, page-aligned mapping that lives as long as the process.
    Ok(unsafe { &*at.cast() })
}

/// An address that can be neither read nor written.
pub fn forbidden() -> Answer<Span> {
    let len = page_size();
    let at = map(0, len, libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)?;
    Ok(Span { at: at.expose_provenance(), len })
}
