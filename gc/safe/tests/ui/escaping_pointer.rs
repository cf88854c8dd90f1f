//! A pointer cannot leave the call that it is good for.

use palimpsest_safe::{Arena, Gc, Rootable};

fn main() {
    let mut arena = Arena::<Rootable![()]>::new(|_| ()).unwrap();
    let mut kept = None;
    arena.mutate(|mc, ()| kept = Some(Gc::new(mc, 1)));
    let returned = arena.mutate(|mc, ()| Gc::new(mc, 1));
}
