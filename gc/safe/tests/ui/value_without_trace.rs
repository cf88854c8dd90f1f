//! So does every value.

use palimpsest_safe::{Arena, Gc, Rootable};

struct Unknown;

fn main() {
    let mut arena = Arena::<Rootable![()]>::new(|_| ()).unwrap();
    arena.mutate(|mc, ()| {
        Gc::new(mc, Unknown);
    });
}
