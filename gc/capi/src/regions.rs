//! Regions of a thread's time in which it does something else, and callbacks for them.

use crate::mutator::{palimpsest_mutator, running};
use crate::opaque::{ANYBODY, RESTS, Shell, close, null, opaque, open, out, state_of, this_thread};
use crate::status::{Status, entry, fail, palimpsest_status};
use palimpsest::{Address, KernelIo};
use std::ffi::c_void;
use std::sync::atomic::Ordering::Relaxed;

/// Called in a blocking region.
pub type palimpsest_blocking_function = Option<unsafe extern "C" fn(data: *mut c_void)>;

/// Called with the reserve.
pub type palimpsest_reserve_function =
    Option<unsafe extern "C" fn(mutator: *mut palimpsest_mutator, data: *mut c_void)>;

/// Calls `function`, which touches no object, without the collector having to wait for this thread: for system calls, locks and
/// native code that runs long. A safepoint before and after. References that only the function holds are no roots meanwhile.
/// Calls with this mutator fail in it, with `PALIMPSEST_BLOCKED`. In other heaps that it is attached to the thread goes on
/// running; the end of this may be a safepoint of theirs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_blocking(
    mutator: *mut palimpsest_mutator,
    function: palimpsest_blocking_function,
    data: *mut c_void,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, state) = unsafe { (running(mutator)?, state_of(mutator)?) };
        let function = function.ok_or_else(|| null("function"))?;
        attached.with(|mutator| {
            mutator.blocking(|| {
                state.store(RESTS, Relaxed);
                // SAFETY: the user's function, with what the user gave for it.
                unsafe { function(data) };
                state.store(this_thread(), Relaxed);
            });
        });
        Ok(())
    })
}

/// Calls `function` with the reserve: the last part of the heap limit, which no other allocation uses. For after
/// `PALIMPSEST_OUT_OF_MEMORY`: to make an exception object, to unwind, to save what is worth saving. The function uses the
/// mutator, but does not detach.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_with_reserve(
    mutator: *mut palimpsest_mutator,
    function: palimpsest_reserve_function,
    data: *mut c_void,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let attached = unsafe { running(mutator)? };
        let function = function.ok_or_else(|| null("function"))?;
        // SAFETY: the user's function, with what the user gave for it.
        attached.with_reserve(|| unsafe { function(mutator, data) });
        Ok(())
    })
}

/// Memory of a traced object that is open for system calls.
pub struct palimpsest_kernel_io(Shell<KernelIo>);
opaque!(palimpsest_kernel_io, KernelIo, b"kern");

/// Opens `bytes` bytes from `start` on, which are memory of this heap, for system calls that write to it, until
/// `palimpsest_kernel_io_end`. Without, `read(2)` into a traced object fails with `EFAULT`. Leaf objects need none of this.
///
/// The pages are copied in the pause of every cycle meanwhile, so this is for the time of a system call. The caller keeps the object
/// alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_kernel_io_begin(
    mutator: *mut palimpsest_mutator,
    start: *mut c_void,
    bytes: usize,
    io: *mut *mut palimpsest_kernel_io,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, place) = unsafe { (running(mutator)?, out(io, "io")?) };
        if start.is_null() {
            return Err(null("start"));
        }
        let at = Address::from_ptr(start);
        if !attached.with(|mutator| mutator.heap().has_memory(at, bytes)) {
            let why = format_args!("{bytes} bytes at {at} are not memory of this heap");
            return Err(fail(Status::PALIMPSEST_NOT_AN_OBJECT, why));
        }
        let opened = attached.with(|mutator| mutator.kernel_io(at, bytes));
        place.write(open(opened, ANYBODY)?.as_ptr());
        Ok(())
    })
}

/// Ends what `palimpsest_kernel_io_begin` began, on any thread. NULL is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_kernel_io_end(io: *mut palimpsest_kernel_io) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    entry(|| unsafe { close(io) }.map(drop))
}
