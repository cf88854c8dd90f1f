//! Objects with a `HashMap` and a `VecDeque`, which are ordinary Rust collections in ordinary memory. The collector walks them in a forked
//! process, as they were when the cycle began, while the program goes on changing them: no lock, no barrier, no copy.
//!
//! `cargo run --example native_collection`

use palimpsest_safe::{Arena, Gc, Rootable, Trace};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::error::Error;

/// A word, and where it was seen.
#[derive(Trace)]
struct Entry<'gc> {
    word: String,
    places: RefCell<VecDeque<Gc<'gc, Place>>>,
}

#[derive(Trace)]
struct Place {
    line: usize,
}

#[derive(Trace, Default)]
struct Index<'gc> {
    entries: RefCell<HashMap<String, Gc<'gc, Entry<'gc>>>>,
}

const WORDS: [&str; 5] = ["page", "write", "barrier", "snapshot", "worker"];

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    // A cycle for every half mebibyte, so that there are some to see.
    let mut index =
        Arena::<Rootable![Index<'_>]>::builder().options("cycle-every=512K")?.build(|_| Index::default())?;

    // Many short calls: cycles begin between them.
    for line in 0..1_000_000 {
        index.mutate(|mc, index| {
            let word = WORDS[line % WORDS.len()];
            let mut entries = index.entries.borrow_mut();
            let entry = *entries
                .entry(word.into())
                .or_insert_with(|| Gc::new(mc, Entry { word: word.into(), places: RefCell::default() }));
            let mut places = entry.places.borrow_mut();
            places.push_back(Gc::new(mc, Place { line }));
            // Only the last thousand are kept. The others are garbage, and nobody has to say so.
            if places.len() > 1000 {
                places.pop_front();
            }
        });
    }

    index.mutate(|_, index| {
        for (k, word) in WORDS.iter().enumerate() {
            let entry = index.entries.borrow()[*word];
            let places = entry.places.borrow();
            assert_eq!((entry.word.as_str(), places.len()), (*word, 1000));
            assert!(places.iter().all(|place| place.line % WORDS.len() == k));
        }
    });
    let stats = index.stats();
    assert!(stats.cycles > 0);
    let last = index.collect();
    // The root, five entries, and a thousand places of each.
    assert_eq!(last.marked_objects, 1 + 5 + 5 * 1000);
    println!("{} cycles beside the program, longest pause {:.2} ms", stats.cycles, stats.pause_max_ms);
    println!("{} objects are alive", last.marked_objects);
    Ok(())
}
