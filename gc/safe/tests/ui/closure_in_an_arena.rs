//! What a closure captures cannot be traced.

use palimpsest_safe::{Arena, Gc, Rootable};

fn main() {
    let mut arena = Arena::<Rootable![()]>::new(|_| ()).unwrap();
    arena.mutate(|mc, ()| {
        let pointer = Gc::new(mc, 1u64);
        Gc::new(mc, Box::new(move || *pointer) as Box<dyn Fn() -> u64>);
    });
}
