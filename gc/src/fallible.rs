//! Memory of the host's allocator, asked for in a way that may be refused.
//!
//! `Box` and `Arc` end the process where there is none. An embedder that runs out of memory has better things to do.

use std::mem::MaybeUninit;

/// Room for one value.
pub(crate) fn boxed<T>() -> Option<Box<MaybeUninit<T>>> {
    let mut room: Vec<MaybeUninit<T>> = Vec::new();
    room.try_reserve_exact(1).ok()?;
    room.push(MaybeUninit::uninit());
    let one: Box<[MaybeUninit<T>; 1]> = room.into_boxed_slice().try_into().ok()?;
    // SAFETY: an array of one value has the layout of the value.
    Some(unsafe { Box::from_raw(Box::into_raw(one).cast()) })
}

/// Whether the allocator has so many bytes at this moment. For what cannot be refused, an `Arc`, just before it is made:
/// another thread may be quicker, but a program that has run out of memory is told so and not ended.
pub(crate) fn has_room(bytes: usize) -> bool {
    let mut room: Vec<u8> = Vec::new();
    let has_room = room.try_reserve_exact(bytes).is_ok();
    // Or the compiler would do without asking.
    std::hint::black_box(room.as_ptr());
    has_room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_boxed_is_a_box() {
        let value = Box::write(boxed::<[u64; 5]>().unwrap(), [7; 5]);
        assert_eq!(*value, [7; 5]);
        assert!(has_room(1 << 12) && !has_room(isize::MAX as usize));
    }
}
