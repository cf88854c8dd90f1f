//! A pointer gives shared references only.

use palimpsest_safe::{Arena, Gc, Rootable};

fn main() {
    let mut arena = Arena::<Rootable![()]>::new(|_| ()).unwrap();
    arena.mutate(|mc, ()| {
        let mut pointer = Gc::new(mc, 1u64);
        *pointer = 2;
    });
}
