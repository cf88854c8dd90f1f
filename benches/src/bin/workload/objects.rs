//! Allocation as the workloads want it: typed, and without a failure to handle.
//!
//! A workload that runs out of memory has no result, so [`new`], [`bytes`], [`words`] and [`pointers`] end the program with what to
//! change instead of returning an error through a recursion that is being measured.

use palimpsest::{Kind, OutOfMemory};

/// The mutator of this program's heap: an object's pointers are plain addresses.
pub(crate) type Mutator = palimpsest::Mutator<palimpsest::PlainPointers>;

/// A new object that holds `value`. `kind` says which of its words are pointers.
#[inline]
pub(crate) fn new<T: Copy>(mutator: &mut Mutator, kind: Kind, value: T) -> *mut T {
    const { assert!(align_of::<T>() <= 16, "objects are 16-byte aligned") };
    // SAFETY: the next statement writes the whole object, and this thread has no safepoint before it.
    let place = unsafe { mutator.alloc_uninit(kind, size_of::<T>()) };
    let place = place.unwrap_or_else(|error| out_of_memory(&error)).cast::<T>().as_ptr();
    // SAFETY: fresh memory of this size and alignment, which nobody else knows.
    unsafe { place.write(value) };
    place
}

/// A new object without pointers, `size` times the same byte.
#[inline]
pub(crate) fn bytes(mutator: &mut Mutator, size: usize, byte: u8) -> *mut u8 {
    // SAFETY: a leaf object is not traced, and the next statement writes it.
    let place = unsafe { mutator.alloc_uninit(Kind::LEAF, size) };
    let place = place.unwrap_or_else(|error| out_of_memory(&error)).as_ptr();
    // SAFETY: fresh memory of this size, which nobody else knows.
    unsafe { place.write_bytes(byte, size) };
    place
}

/// A new object of `len` words without pointers, at least two: how many there are, and then `tag` + 1, `tag` + 2 and so on.
#[inline]
pub(crate) fn words(mutator: &mut Mutator, len: usize, tag: u64) -> *mut u64 {
    // SAFETY: a leaf object is not traced, and all of it is written below.
    let place = unsafe { mutator.alloc_uninit(Kind::LEAF, len * size_of::<u64>()) };
    let place = place.unwrap_or_else(|error| out_of_memory(&error)).cast::<u64>().as_ptr();
    // SAFETY: fresh memory of `len` words, which nobody else knows.
    unsafe {
        place.write(len as u64);
        for index in 1..len {
            place.add(index).write(tag.wrapping_add(index as u64));
        }
    }
    place
}

/// What a checksum takes from an object that [`words`] made: its length, the word in its middle and the last one.
///
/// # Safety
/// Such an object, which is live.
#[inline]
pub(crate) unsafe fn read_words(words: *const u64) -> u64 {
    // SAFETY: the first word says how many there are.
    unsafe {
        let len = *words;
        len.wrapping_add(*words.add(len as usize / 2)).wrapping_add(*words.add(len as usize - 1))
    }
}

/// A new array of `len` null pointers.
pub(crate) fn pointers<T>(mutator: &mut Mutator, len: usize) -> *mut *mut T {
    zeroed(mutator, Kind::UNIFORM, len * size_of::<*mut T>()).cast()
}

/// A new array of `len` times 0.0.
pub(crate) fn doubles(mutator: &mut Mutator, len: usize) -> *mut f64 {
    zeroed(mutator, Kind::LEAF, len * size_of::<f64>()).cast()
}

fn zeroed(mutator: &mut Mutator, kind: Kind, size: usize) -> *mut u8 {
    mutator.alloc(kind, size).unwrap_or_else(|error| out_of_memory(&error)).as_ptr()
}

#[cold]
#[inline(never)]
fn out_of_memory(error: &OutOfMemory) -> ! {
    eprintln!("workload: {error}; run it with a higher --heap-limit, or with smaller sizes");
    std::process::exit(1);
}
