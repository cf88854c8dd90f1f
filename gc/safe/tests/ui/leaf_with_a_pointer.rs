//! A leaf holds no pointer.

use palimpsest_safe::{Gc, Trace};

#[derive(Trace)]
#[trace(leaf)]
struct Node<'gc> {
    next: Option<Gc<'gc, u64>>,
}

fn main() {}
