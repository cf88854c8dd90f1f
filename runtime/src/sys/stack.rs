//! Where the calling thread's stack is, and how to have its registers on it.
//!
//! A conservative scan of a stopped thread looks at memory only. A reference may be in a register when the
//! thread stops; those that the callee may change are saved by the compiler around the call, the others
//! ("callee-saved") are written to the stack here before the thread parks.

use super::inject::{Call, check};
use crate::unit::Address;
use std::arch::asm;

/// The highest address of the calling thread's stack (one past it), if the C library knows it.
pub fn stack_base() -> Option<Address> {
    check(Call::StackBounds).ok()?;
    // SAFETY: an all-zero pthread_attr_t is only a place for pthread_getattr_np to initialise.
    let mut attributes: libc::pthread_attr_t = unsafe { std::mem::zeroed() };
    let mut low = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: `attributes` is initialised by the first call before it is read and destroyed by the last.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) != 0 {
            return None;
        }
        let found = libc::pthread_attr_getstack(&attributes, &mut low, &mut size) == 0;
        libc::pthread_attr_destroy(&mut attributes);
        found.then(|| Address::new(low.addr() + size))
    }
}

/// Calls `f` with an address at or below which nothing of the caller's frames lies: all words from there to
/// [`stack_base`], among them the caller's registers, stay in place until `f` returns.
#[inline(never)]
pub fn with_registers_on_stack<R>(f: impl FnOnce(Address) -> R) -> R {
    let mut registers = [0usize; 12];
    #[cfg(target_arch = "x86_64")]
    // SAFETY: stores the six callee-saved registers of the System V ABI into the array, which has room for them.
    unsafe {
        asm!(
            "mov [{0}], rbx", "mov [{0} + 8], rbp", "mov [{0} + 16], r12",
            "mov [{0} + 24], r13", "mov [{0} + 32], r14", "mov [{0} + 40], r15",
            in(reg) registers.as_mut_ptr(), options(nostack, preserves_flags)
        );
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: stores x19 to x29, the callee-saved registers of AAPCS64, into the array, which has room for them.
    unsafe {
        asm!(
            "stp x19, x20, [{0}]", "stp x21, x22, [{0}, 16]", "stp x23, x24, [{0}, 32]",
            "stp x25, x26, [{0}, 48]", "stp x27, x28, [{0}, 64]", "str x29, [{0}, 80]",
            in(reg) registers.as_mut_ptr(), options(nostack, preserves_flags)
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    compile_error!("palimpsest knows the registers of x86_64 and aarch64 only");
    let result = f(Address::from_ptr(registers.as_ptr()));
    // Keeps the array alive, on the stack, until `f` has returned.
    std::hint::black_box(&registers);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_lies_between_the_spilled_registers_and_the_base() {
        let local = std::hint::black_box(7usize);
        let base = stack_base().unwrap();
        with_registers_on_stack(|top| {
            let at = Address::from_ptr(&local);
            assert!(top < at && at < base);
        });
    }
}
