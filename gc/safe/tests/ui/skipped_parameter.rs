//! Nor does one whose type may be anything.

use palimpsest_safe::Trace;

#[derive(Trace)]
struct Node<T> {
    #[trace(skip)]
    value: T,
}

fn main() {}
