//! What the derive does not know it refuses.

use palimpsest_safe::Trace;

#[derive(Trace)]
struct Node {
    #[trace(weak)]
    value: u64,
}

fn main() {}
