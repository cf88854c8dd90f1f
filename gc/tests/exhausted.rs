//! A process whose allocator has no memory left: what the collector needs of it is refused with an error, and allocation in the
//! heap, which has its own, goes on.
//!
//! The limit is the process's, so this runs in one of its own.

mod common;

use common::alone;
use palimpsest::{Address, Error, Heap, Kind, Mutator, PlainPointers, RootRange, StackScan};

/// Lets the process have so much more address space.
fn limit_address_space(more: usize) {
    let pages: usize = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .expect("the size of the process");
    let most = (pages * 4096 + more) as libc::rlim_t;
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: a limit of this process.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
}

/// Takes all that the allocator has, down to the smallest pieces, until what is returned drops.
fn take_all(room: &mut Vec<Vec<u8>>) {
    let mut size = 16 << 20;
    while size >= 16 {
        let mut piece = Vec::new();
        if room.len() < room.capacity() && piece.try_reserve_exact(size).is_ok() {
            room.push(piece);
        } else {
            size /= 2;
        }
    }
    assert!(room.len() < room.capacity(), "more pieces than there is room for");
}

fn allocate(m: &mut Mutator<PlainPointers>) -> bool {
    (0..1000).all(|k| m.alloc(Kind::UNIFORM, k).is_ok() && m.alloc(Kind::LEAF, 64 * k).is_ok())
}

#[test]
fn an_allocator_without_memory_is_an_error_and_not_the_end() {
    let ended = alone("an_allocator_without_memory_is_an_error_and_not_the_end", || {
        let make = || Heap::builder(PlainPointers).limit(16 << 20).build().unwrap();
        let (heap, other) = (make(), make());
        // A thread that starts asks for memory in a way that may not be refused.
        other.attach(StackScan::None).unwrap().collect();
        let mut m = heap.attach(StackScan::None).unwrap();
        m.collect();
        let object = Address::from_ptr(m.alloc(Kind::LEAF, 64).unwrap().as_ptr());
        let words = [0u64; 4];
        let range = RootRange::Fixed { start: words.as_ptr(), len: words.len() };
        let mut room = Vec::with_capacity(1 << 20);
        limit_address_space(32 << 20);
        take_all(&mut room);

        let handle = heap.try_handle(object).map(drop);
        // SAFETY: the words outlive the guard.
        let roots = unsafe { heap.try_add_roots(range) }.map(drop);
        let attached = other.attach(StackScan::None).map(drop);
        // Several times the limit, with the cycles which that takes.
        let allocated = (0..4).all(|_| allocate(&mut m));

        // From here on there is memory to say what is wrong.
        room.clear();
        for refused in [handle, roots, attached] {
            assert!(matches!(refused, Err(Error::NoMemory(_))), "{refused:?}");
        }
        assert!(allocated && heap.stats().cycles >= 4, "{}", heap.stats());
        heap.try_handle(object).unwrap();
        // SAFETY: as above.
        unsafe { heap.try_add_roots(range) }.unwrap();
        let mut m = other.attach(StackScan::None).unwrap();
        assert!(allocate(&mut m));
    });
    assert!(ended.is_none_or(|status| status.success()), "{ended:?}");
}
