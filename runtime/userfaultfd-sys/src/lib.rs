//! The userfaultfd interface of Linux, for the crate `userfaultfd`.
//!
//! This package stands in for the registry's package of the same name and version, which runs bindgen when it
//! is built. Its items are those that bindgen would make of `<linux/userfaultfd.h>`, so that `userfaultfd` compiles
//! on top of it unchanged:
//!
//! * structures and ioctl numbers come from `linux-raw-sys` as they are;
//! * constants come from there too, with the width of the kernel field that they go into. `linux-raw-sys` gives all
//!   of them as `u32`, and flags that are combined with a `u64` field must be `u64`.
//!
//! The kernel's own description is `Documentation/admin-guide/mm/userfaultfd.rst` and the manual page
//! `ioctl_userfaultfd(2)`.

#![no_std]

use linux_raw_sys::general;

pub use general::{
    uffd_msg, uffd_msg__bindgen_ty_1, uffd_msg__bindgen_ty_1__bindgen_ty_1,
    uffd_msg__bindgen_ty_1__bindgen_ty_1__bindgen_ty_1, uffd_msg__bindgen_ty_1__bindgen_ty_2,
    uffd_msg__bindgen_ty_1__bindgen_ty_3, uffd_msg__bindgen_ty_1__bindgen_ty_4,
    uffd_msg__bindgen_ty_1__bindgen_ty_5, uffdio_api, uffdio_continue, uffdio_copy, uffdio_move,
    uffdio_poison, uffdio_range, uffdio_register, uffdio_writeprotect, uffdio_zeropage,
};
pub use linux_raw_sys::ioctl::{
    UFFDIO_API, UFFDIO_CONTINUE, UFFDIO_COPY, UFFDIO_REGISTER, UFFDIO_UNREGISTER, UFFDIO_WAKE,
    UFFDIO_WRITEPROTECT, UFFDIO_ZEROPAGE,
};
// The system call's flag and the device's ioctl group are C ints in the interface, not fields of a structure.
pub use general::{UFFD_USER_MODE_ONLY, USERFAULTFD_IOC};

/// Repeats constants of `linux-raw-sys` at another width, each under its own documentation.
macro_rules! widths {
    ($($width:ty { $($(#[$doc:meta])* $name:ident)+ })+) => { $($(
        $(#[$doc])*
        pub const $name: $width = {
            // A value that the narrower type cannot hold must not compile.
            assert!(general::$name as u64 <= <$width>::MAX as u64);
            general::$name as $width
        };
    )+)+ };
}

widths! {
    u8 {
        /// The ioctl group of the requests on a userfaultfd.
        UFFDIO
        /// A message: a thread touched a page that is missing, write-protected or not mapped yet.
        UFFD_EVENT_PAGEFAULT
        /// A message: the process forked, and the child's ranges have a descriptor of their own.
        UFFD_EVENT_FORK
        /// A message: `mremap(2)` moved a registered range.
        UFFD_EVENT_REMAP
        /// A message: `madvise(2)` is about to drop pages of a registered range.
        UFFD_EVENT_REMOVE
        /// A message: a registered range is about to be unmapped.
        UFFD_EVENT_UNMAP
    }
    u64 {
        /// The number of the request `UFFDIO_REGISTER` in its group; as bit, whether it is available.
        _UFFDIO_REGISTER
        /// The number of the request `UFFDIO_UNREGISTER`.
        _UFFDIO_UNREGISTER
        /// The number of the request `UFFDIO_WAKE`.
        _UFFDIO_WAKE
        /// The number of the request `UFFDIO_COPY`.
        _UFFDIO_COPY
        /// The number of the request `UFFDIO_ZEROPAGE`.
        _UFFDIO_ZEROPAGE
        /// The number of the request `UFFDIO_MOVE`.
        _UFFDIO_MOVE
        /// The number of the request `UFFDIO_WRITEPROTECT`.
        _UFFDIO_WRITEPROTECT
        /// The number of the request `UFFDIO_CONTINUE`.
        _UFFDIO_CONTINUE
        /// The number of the request `UFFDIO_POISON`.
        _UFFDIO_POISON
        /// The number of the request `UFFDIO_API`.
        _UFFDIO_API

        /// The version of the interface that the handshake names.
        UFFD_API

        /// The fault was a write.
        UFFD_PAGEFAULT_FLAG_WRITE
        /// The fault was a write to a write-protected page.
        UFFD_PAGEFAULT_FLAG_WP
        /// The fault was minor: the page is in the page cache and only the mapping misses it.
        UFFD_PAGEFAULT_FLAG_MINOR

        /// Write-protect faults are reported.
        UFFD_FEATURE_PAGEFAULT_FLAG_WP
        /// Forks are reported.
        UFFD_FEATURE_EVENT_FORK
        /// Calls of `mremap(2)` are reported.
        UFFD_FEATURE_EVENT_REMAP
        /// Dropped pages are reported.
        UFFD_FEATURE_EVENT_REMOVE
        /// Missing pages of hugetlbfs are handled.
        UFFD_FEATURE_MISSING_HUGETLBFS
        /// Missing pages of shared memory are handled.
        UFFD_FEATURE_MISSING_SHMEM
        /// Unmapping is reported.
        UFFD_FEATURE_EVENT_UNMAP
        /// A fault raises SIGBUS in the faulting thread instead of sending a message.
        UFFD_FEATURE_SIGBUS
        /// A page fault message carries the faulting thread's id.
        UFFD_FEATURE_THREAD_ID
        /// Minor faults of hugetlbfs are handled.
        UFFD_FEATURE_MINOR_HUGETLBFS
        /// Minor faults of shared memory are handled.
        UFFD_FEATURE_MINOR_SHMEM
        /// A page fault message carries the exact address, not its page's.
        UFFD_FEATURE_EXACT_ADDRESS
        /// Write protection works on hugetlbfs and shared memory.
        UFFD_FEATURE_WP_HUGETLBFS_SHMEM
        /// Write protection covers anonymous pages that do not exist yet.
        UFFD_FEATURE_WP_UNPOPULATED
        /// The request `UFFDIO_POISON` is there.
        UFFD_FEATURE_POISON
        /// The kernel resolves write-protect faults itself, so that only dirtiness is tracked.
        UFFD_FEATURE_WP_ASYNC
        /// The request `UFFDIO_MOVE` is there.
        UFFD_FEATURE_MOVE

        /// Register for faults on missing pages.
        UFFDIO_REGISTER_MODE_MISSING
        /// Register for writes to write-protected pages.
        UFFDIO_REGISTER_MODE_WP
        /// Register for minor faults.
        UFFDIO_REGISTER_MODE_MINOR
        /// Copy without waking who waits for the page.
        UFFDIO_COPY_MODE_DONTWAKE
        /// Copy, and leave the page write-protected.
        UFFDIO_COPY_MODE_WP
        /// Map zeroes without waking who waits for the page.
        UFFDIO_ZEROPAGE_MODE_DONTWAKE
    }
}

/// Protect the range; without it the request unprotects.
pub const UFFDIO_WRITEPROTECT_MODE_WP: u64 = 1 << 0;
/// Unprotect without waking who waits for the page.
pub const UFFDIO_WRITEPROTECT_MODE_DONTWAKE: u64 = 1 << 1;
/// Map what the page cache has without waking who waits for the page.
pub const UFFDIO_CONTINUE_MODE_DONTWAKE: u64 = 1 << 0;

/// The requests on a descriptor that every kernel has, one bit each.
pub const UFFD_API_IOCTLS: u64 = 1 << _UFFDIO_REGISTER | 1 << _UFFDIO_UNREGISTER | 1 << _UFFDIO_API;

/// The features of the oldest kernel that the enabled cargo features name.
pub const UFFD_API_FEATURES: u64 = UFFD_FEATURE_EVENT_FORK
    | UFFD_FEATURE_EVENT_REMAP
    | UFFD_FEATURE_EVENT_REMOVE
    | UFFD_FEATURE_EVENT_UNMAP
    | UFFD_FEATURE_MISSING_HUGETLBFS
    | UFFD_FEATURE_MISSING_SHMEM
    | since(cfg!(feature = "linux4_14"), UFFD_FEATURE_SIGBUS | UFFD_FEATURE_THREAD_ID);

/// The requests on a registered range of anonymous memory in the oldest kernel that the enabled cargo features name.
pub const UFFD_API_RANGE_IOCTLS: u64 = 1 << _UFFDIO_WAKE
    | 1 << _UFFDIO_COPY
    | 1 << _UFFDIO_ZEROPAGE
    | since(cfg!(feature = "linux5_7"), 1 << _UFFDIO_WRITEPROTECT)
    | since(cfg!(feature = "linux5_13"), 1 << _UFFDIO_CONTINUE);

/// The requests on a registered range of any kind of memory in the oldest kernel that the enabled cargo features name.
pub const UFFD_API_RANGE_IOCTLS_BASIC: u64 =
    since(cfg!(feature = "linux4_14"), 1 << _UFFDIO_WAKE | 1 << _UFFDIO_COPY);

const fn since(enabled: bool, bits: u64) -> u64 {
    if enabled { bits } else { 0 }
}
