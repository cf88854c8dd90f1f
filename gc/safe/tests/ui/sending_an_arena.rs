//! An arena stays on its thread.

use palimpsest_safe::{Arena, Rootable};

fn main() {
    let mut arena = Arena::<Rootable![()]>::new(|_| ()).unwrap();
    std::thread::spawn(move || arena.collect());
}
