//! A type with a derived `Trace` has no `Drop`: what it refers to may be gone.

use palimpsest_safe::{Gc, Trace};

#[derive(Trace)]
struct Node<'gc> {
    next: Option<Gc<'gc, u64>>,
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        println!("{:?}", self.next);
    }
}

fn main() {}
