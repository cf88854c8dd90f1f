//! A system-call filter that denies userfaultfd, as a container's may: to see that the questions are answered
//! there as well.
//!
//! A filter cannot look at a path, so the device node is denied one step later, by the number of the request that
//! makes a userfaultfd of it.

use super::uffd::NEW_FROM_DEVICE;
use super::{Answer, check};
use libc::{sock_filter, sock_fprog};

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const JUMP_IF: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Where `struct seccomp_data` has the system call's number.
const NUMBER: u32 = 0;
/// Where it has the second argument, the lower half of it.
const SECOND: u32 = 24 + if cfg!(target_endian = "big") { 4 } else { 0 };

/// One instruction; `jt` and `jf` say how many to skip.
const fn op(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

/// From here on, this process and all that it starts get `EPERM` instead of a userfaultfd. Needs no privilege, and
/// gives up the chance of getting one.
pub fn deny_userfaultfd() -> Answer<()> {
    let filter = [
        op(LOAD, NUMBER, 0, 0),
        op(JUMP_IF, libc::SYS_userfaultfd as u32, 3, 0),
        op(JUMP_IF, libc::SYS_ioctl as u32, 0, 3),
        op(LOAD, SECOND, 0, 0),
        op(JUMP_IF, NEW_FROM_DEVICE as u32, 0, 1),
        op(RETURN, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, 0, 0),
        op(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: the program is as long as it says and only read.
    unsafe {
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        check(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program))?;
    }
    Ok(())
}
