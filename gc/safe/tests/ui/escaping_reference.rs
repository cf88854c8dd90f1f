//! Nor can a reference into the arena.

use palimpsest_safe::{Arena, Gc, Rootable};

fn main() {
    let mut arena = Arena::<Rootable![Gc<'_, String>]>::new(|mc| Gc::new(mc, String::new())).unwrap();
    let text: &str = arena.mutate(|_, root| Gc::as_ref(*root).as_str());
}
