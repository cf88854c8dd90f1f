//! Hello, heap: an arena, objects that refer to each other, and what a collection leaves.
//!
//! `cargo run --example hello_heap`

use palimpsest_safe::{Arena, Gc, Rootable, Trace};
use std::cell::Cell;
use std::error::Error;

/// An object. The derive finds its references: here the words of `next`.
#[derive(Trace)]
struct Greeting<'gc> {
    text: &'static str,
    // A plain cell. Storing into it is a plain store, also while the collector is at work.
    next: Cell<Option<Gc<'gc, Greeting<'gc>>>>,
}

/// The root: what it refers to is alive.
#[derive(Trace)]
struct Globals<'gc> {
    first: Cell<Option<Gc<'gc, Greeting<'gc>>>>,
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    // The arena's type says what its root is. `'_` is the brand that keeps its pointers inside.
    let mut arena = Arena::<Rootable![Globals<'_>]>::new(|_| Globals { first: Cell::new(None) })?;

    // All work with objects is done in calls like this one. Nothing is collected during a call.
    arena.mutate(|mc, globals| {
        let world = Gc::new(mc, Greeting { text: "heap", next: Cell::new(None) });
        let hello = Gc::new(mc, Greeting { text: "Hello", next: Cell::new(Some(world)) });
        // A cycle. It does not keep the two alive.
        world.next.set(Some(hello));
        globals.first.set(Some(hello));
    });

    // Both are reachable: with the root that makes three objects.
    let cycle = arena.collect();
    assert_eq!(cycle.marked_objects, 3);

    // What a call returns holds no pointers: a `String` is fine.
    let sentence = arena.mutate(|_, globals| {
        let hello = globals.first.take().expect("stored above");
        let world = hello.next.get().expect("stored above");
        format!("{}, {}!", hello.text, world.text)
    });
    assert_eq!(sentence, "Hello, heap!");
    println!("{sentence}");

    // The root refers to them no more.
    let cycle = arena.collect();
    assert_eq!(cycle.marked_objects, 1);
    println!("collected: {cycle}");
    Ok(())
}
