//! With poisoning on a use after free is seen: freed memory holds a pattern, and the verification knows it.

mod common;

use common::{alone_heard, rungs};
use palimpsest::{Address, Heap, HeapBuilder, Kind, POISON, PlainPointers, StackScan};
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

fn builder() -> HeapBuilder<PlainPointers> {
    Heap::builder(PlainPointers).limit(64 << 20).poison(true)
}

/// The word at an address that nothing keeps.
fn word_at(address: usize) -> u64 {
    // SAFETY: memory of a heap that is still there; the world does nothing to it meanwhile.
    unsafe { std::ptr::with_exposed_provenance::<u64>(address).read_volatile() }
}

#[test]
fn freed_memory_of_every_size_is_poison_and_what_lives_is_not() {
    for rung in rungs() {
        for kind in [Kind::UNIFORM, Kind::LEAF] {
            let heap = builder().rung(rung).build().expect("a heap");
            let mut mutator = heap.attach(StackScan::None).expect("a thread");
            let mut make = |bytes: usize| {
                let object = mutator.alloc(kind, bytes).expect("memory").cast::<u64>();
                // SAFETY: the last word of the new object.
                unsafe { object.add(bytes / 8 - 1).write(42) };
                object.as_ptr().expose_provenance()
            };
            let kept = make(48);
            let freed: Vec<_> =
                [16, 64, 4096, 30_000, 40_000, 200_000, 3 << 20].map(|bytes| (bytes, make(bytes))).to_vec();
            let _root = heap.handle(Address::new(kept));
            mutator.collect();
            // Sweeping goes on in the background.
            let give_up = Instant::now() + Duration::from_secs(20);
            for (bytes, at) in freed {
                for word in [at, at + bytes / 16 * 8, at + bytes - 8] {
                    while word_at(word) != POISON && Instant::now() < give_up {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    assert_eq!(word_at(word), POISON, "{bytes} bytes of {kind:?} on {rung}");
                }
            }
            assert_eq!((word_at(kept), word_at(kept + 40)), (0, 42));
            // What is made of such memory is zeroed, as ever.
            for bytes in [16, 64, 40_000, 3 << 20] {
                let object = mutator.alloc(kind, bytes).expect("memory").as_ptr().expose_provenance();
                assert!((object..object + bytes).step_by(8).all(|word| word_at(word) == 0), "{bytes} bytes");
            }
        }
    }
}

#[test]
fn a_use_after_free_is_called_that_by_the_verification() {
    let end = alone_heard("a_use_after_free_is_called_that_by_the_verification", "alone", || {
        let heap = builder().verify(true).build().expect("a heap");
        let mut mutator = heap.attach(StackScan::None).expect("a thread");
        let holder = mutator.alloc(Kind::UNIFORM, 16).expect("memory").cast::<usize>();
        let _root = heap.handle(Address::from_ptr(holder.as_ptr()));
        // A reference that the collector is not told of.
        let hidden = mutator.alloc(Kind::UNIFORM, 64).expect("memory").as_ptr().expose_provenance();
        while word_at(hidden) != POISON {
            mutator.collect();
        }
        // SAFETY: the holder is rooted. What is written is the bug.
        unsafe { holder.write(hidden) };
        mutator.collect();
    });
    let Some((end, said)) = end else { return };
    assert_eq!(end.signal(), Some(libc::SIGABRT), "{said}");
    assert!(said.contains("where no object starts: what was there has been freed, and is poison"), "{said}");
    assert!(said.contains("(the poison of freed memory)"), "{said}");
}

#[test]
fn an_object_that_was_never_initialised_is_found_by_its_poison() {
    let end = alone_heard("an_object_that_was_never_initialised_is_found_by_its_poison", "alone", || {
        let heap = builder().verify(true).build().expect("a heap");
        let mut mutator = heap.attach(StackScan::None).expect("a thread");
        let first = mutator.alloc(Kind::UNIFORM, 32).expect("memory").as_ptr().expose_provenance();
        while word_at(first) != POISON {
            mutator.collect();
        }
        for _ in 0..100_000 {
            // SAFETY: it is not: nobody initialises it before the next safepoint. That is what is to be found.
            let object = unsafe { mutator.alloc_uninit(Kind::UNIFORM, 32) }.expect("memory");
            std::mem::forget(heap.handle(Address::from_ptr(object.as_ptr())));
            if word_at(object.as_ptr().expose_provenance()) == POISON {
                mutator.collect();
                return;
            }
        }
    });
    let Some((end, said)) = end else { return };
    assert_eq!(end.signal(), Some(libc::SIGABRT), "{said}");
    assert!(said.contains("has poison in the place of a reference"), "{said}");
}
