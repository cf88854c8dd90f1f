//! An `Rc` holds no pointers: nothing would stop a walk around a cycle of them.

use palimpsest_safe::{Gc, Trace};
use std::rc::Rc;

#[derive(Trace)]
struct Node<'gc> {
    shared: Rc<Gc<'gc, u64>>,
}

fn main() {}
