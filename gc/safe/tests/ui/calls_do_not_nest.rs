//! One call at a time.

use palimpsest_safe::{Arena, Rootable};

fn main() {
    let mut arena = Arena::<Rootable![()]>::new(|_| ()).unwrap();
    arena.mutate(|_, ()| {
        arena.collect();
    });
}
