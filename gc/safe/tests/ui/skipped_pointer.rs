//! A field that is not traced holds no pointer.

use palimpsest_safe::{Gc, Trace};

#[derive(Trace)]
struct Node<'gc> {
    #[trace(skip)]
    next: Option<Gc<'gc, u64>>,
}

fn main() {}
