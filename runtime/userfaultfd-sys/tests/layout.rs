//! The structures have the kernel's sizes, and the ioctl numbers are what group, number and structure encode to.
//!
//! The encoding carries the size of the structure, so a structure that went wrong shows in both.

use rustix::ioctl::opcode::{read, read_write};
use userfaultfd_sys::*;

#[test]
fn structures_have_the_sizes_of_the_kernel_header() {
    let sizes = [
        ("uffd_msg", size_of::<uffd_msg>(), 32),
        ("uffdio_api", size_of::<uffdio_api>(), 24),
        ("uffdio_range", size_of::<uffdio_range>(), 16),
        ("uffdio_register", size_of::<uffdio_register>(), 32),
        ("uffdio_copy", size_of::<uffdio_copy>(), 40),
        ("uffdio_zeropage", size_of::<uffdio_zeropage>(), 32),
        ("uffdio_writeprotect", size_of::<uffdio_writeprotect>(), 24),
        ("uffdio_continue", size_of::<uffdio_continue>(), 32),
        ("uffdio_poison", size_of::<uffdio_poison>(), 32),
        ("uffdio_move", size_of::<uffdio_move>(), 40),
    ];
    for (name, size, expected) in sizes {
        assert_eq!(size, expected, "{name}");
    }
}

#[test]
fn requests_encode_group_number_and_structure() {
    let requests = [
        ("UFFDIO_API", UFFDIO_API, read_write::<uffdio_api>(UFFDIO, _UFFDIO_API as u8)),
        ("UFFDIO_REGISTER", UFFDIO_REGISTER, read_write::<uffdio_register>(UFFDIO, _UFFDIO_REGISTER as u8)),
        ("UFFDIO_UNREGISTER", UFFDIO_UNREGISTER, read::<uffdio_range>(UFFDIO, _UFFDIO_UNREGISTER as u8)),
        ("UFFDIO_WAKE", UFFDIO_WAKE, read::<uffdio_range>(UFFDIO, _UFFDIO_WAKE as u8)),
        ("UFFDIO_COPY", UFFDIO_COPY, read_write::<uffdio_copy>(UFFDIO, _UFFDIO_COPY as u8)),
        ("UFFDIO_ZEROPAGE", UFFDIO_ZEROPAGE, read_write::<uffdio_zeropage>(UFFDIO, _UFFDIO_ZEROPAGE as u8)),
        (
            "UFFDIO_WRITEPROTECT",
            UFFDIO_WRITEPROTECT,
            read_write::<uffdio_writeprotect>(UFFDIO, _UFFDIO_WRITEPROTECT as u8),
        ),
        ("UFFDIO_CONTINUE", UFFDIO_CONTINUE, read_write::<uffdio_continue>(UFFDIO, _UFFDIO_CONTINUE as u8)),
    ];
    for (name, ours, encoded) in requests {
        assert_eq!(ours, encoded, "{name}");
    }
}

/// What `linux-raw-sys` does not have is written out in the crate, so it is held against the manual page here.
#[test]
fn modes_are_those_of_the_manual_page() {
    assert_eq!(UFFDIO_WRITEPROTECT_MODE_WP, 1);
    assert_eq!(UFFDIO_WRITEPROTECT_MODE_DONTWAKE, 2);
    assert_eq!(UFFDIO_CONTINUE_MODE_DONTWAKE, 1);
}
