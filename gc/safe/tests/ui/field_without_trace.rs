//! Every field says where its pointers are.

use palimpsest_safe::Trace;

struct Unknown;

#[derive(Trace)]
struct Node {
    unknown: Unknown,
}

fn main() {}
