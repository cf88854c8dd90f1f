//! And so do pointers, also to threads that end before the call does.

use palimpsest_safe::{Arena, Gc, Rootable};

fn main() {
    let mut arena = Arena::<Rootable![()]>::new(|_| ()).unwrap();
    arena.mutate(|mc, ()| {
        let pointer = Gc::new(mc, 1u64);
        std::thread::scope(|scope| {
            scope.spawn(|| *pointer + 1);
        });
    });
}
