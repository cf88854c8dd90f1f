//! Nor does an arena hold references to what lives on the stack.

use palimpsest_safe::{Arena, Gc, Rootable};

fn main() {
    let text = String::from("on the stack");
    let mut arena = Arena::<Rootable![()]>::new(|_| ()).unwrap();
    arena.mutate(|mc, ()| {
        Gc::new(mc, text.as_str());
    });
}
