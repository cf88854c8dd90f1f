//! Nobody knows what a union holds.

use palimpsest_safe::Trace;

#[derive(Trace)]
union Either {
    one: u64,
    other: f64,
}

fn main() {}
