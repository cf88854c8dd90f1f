//! Roots: handles one by one, and ranges of native memory.

use crate::heap::{Of, palimpsest_heap};
use crate::mutator::{palimpsest_mutator, running};
use crate::opaque::{ANYBODY, Shell, close, lend, null, opaque, open, out};
use crate::status::{Answer, Status, entry, entry_or, fail, failed, palimpsest_status};
use palimpsest::{Handle, RootRange, Roots};
use std::ffi::c_void;
use std::ptr::null_mut;

/// A reference from native memory that keeps its object alive until it is freed.
pub struct palimpsest_handle(Shell<(Handle, Of)>);
opaque!(palimpsest_handle, (Handle, Of), b"hndl");

/// Makes a root of an object, which is alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_handle_new(
    mutator: *mut palimpsest_mutator,
    object: *mut c_void,
    handle: *mut *mut palimpsest_handle,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, place) = unsafe { (running(mutator)?, out(handle, "handle")?) };
        let object = attached.object(object, "object")?;
        let handle = attached.heap.heap.try_handle(object).map_err(|why| failed(&why))?;
        place.write(open((handle, Of::new(&attached.heap)), ANYBODY)?.as_ptr());
        Ok(())
    })
}

/// The object of a handle. NULL where the handle was freed, or its heap is gone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_handle_get(handle: *const palimpsest_handle) -> *mut c_void {
    entry_or(null_mut(), || {
        // SAFETY: what C passes; see the crate.
        let (handle, heap) = unsafe { lend(handle)? };
        heap.must_live()?;
        Ok(handle.get().as_ptr())
    })
}

/// Makes a handle refer to another object, which is alive.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_handle_set(
    mutator: *mut palimpsest_mutator,
    handle: *mut palimpsest_handle,
    object: *mut c_void,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (attached, (handle, heap)) = unsafe { (running(mutator)?, lend(handle)?) };
        heap.must_be(&attached.heap)?;
        handle.set(attached.object(object, "object")?);
        Ok(())
    })
}

/// Frees a handle, on any thread. NULL is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_handle_free(handle: *mut palimpsest_handle) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    entry(|| unsafe { close(handle) }.map(drop))
}

/// Native memory that holds references.
pub struct palimpsest_roots(Shell<Roots>);
opaque!(palimpsest_roots, Roots, b"root");

/// Makes `words` words from `start` on roots, each through the codec, until `palimpsest_roots_free`.
///
/// Until then the memory stays where it is; attached threads may write to it between safepoints, and nobody else does. The
/// collector reads it where the C compiler sees nobody read, so it is written through a `volatile` pointer, or by code that
/// calls this interface afterwards, and is not a local variable that nobody else has the address of.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_roots_fixed(
    heap: *const palimpsest_heap,
    start: *const u64,
    words: usize,
    roots: *mut *mut palimpsest_roots,
) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    unsafe { add(heap, start, words, RootRange::Fixed { start, len: words }, roots) }
}

/// A stack that grows upwards: makes the words from `start` up to, and without, the one that `*top` points to when the snapshot
/// is taken roots, each through the codec. Otherwise as `palimpsest_roots_fixed`, for `top` too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_roots_up_to(
    heap: *const palimpsest_heap,
    start: *const u64,
    top: *const *const u64,
    roots: *mut *mut palimpsest_roots,
) -> palimpsest_status {
    if top.is_null() {
        return entry(|| Err(null("top")));
    }
    if !top.is_aligned() {
        let why = format_args!("top is {top:p}, which is not aligned for a pointer");
        return entry(|| Err(fail(Status::PALIMPSEST_INVALID, why)));
    }
    // SAFETY: what C passes; see the crate.
    unsafe { add(heap, start, 0, RootRange::UpTo { start, top }, roots) }
}

/// As `palimpsest_roots_fixed`, for words that may be anything: references, also into the middle of objects, or none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_roots_conservative(
    heap: *const palimpsest_heap,
    start: *const u64,
    words: usize,
    roots: *mut *mut palimpsest_roots,
) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    unsafe { add(heap, start, words, RootRange::Conservative { start, len: words }, roots) }
}

/// Registers a range.
///
/// # Safety
/// See the crate.
unsafe fn add(
    heap: *const palimpsest_heap,
    start: *const u64,
    words: usize,
    range: RootRange,
    roots: *mut *mut palimpsest_roots,
) -> Status {
    entry(|| {
        // SAFETY: passed on to the caller.
        let (heap, place) = unsafe { (lend(heap)?, out(roots, "roots")?) };
        heap.must_be_here()?;
        is_range(start, words)?;
        // SAFETY: likewise.
        let roots = unsafe { heap.heap.try_add_roots(range) }.map_err(|why| failed(&why))?;
        place.write(open(roots, ANYBODY)?.as_ptr());
        Ok(())
    })
}

fn is_range(start: *const u64, words: usize) -> Answer {
    if start.is_null() {
        return Err(null("start"));
    }
    let end = words.checked_mul(8).and_then(|bytes| bytes.checked_add(start.addr()));
    if !start.is_aligned() || end.is_none() {
        let why = format_args!(
            "{words} words at {start:p} are no range: it is aligned to 8 bytes, and ends in memory"
        );
        return Err(fail(Status::PALIMPSEST_INVALID, why));
    }
    Ok(())
}

/// Takes a range from the roots, on any thread; before the memory goes away. NULL is no error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_roots_free(roots: *mut palimpsest_roots) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    entry(|| unsafe { close(roots) }.map(drop))
}
