//! Nor can a value that holds one be made there.

use palimpsest_safe::{Arena, Gc, Rootable};

fn main() {
    let mut one = Arena::<Rootable![()]>::new(|_| ()).unwrap();
    let mut two = Arena::<Rootable![()]>::new(|_| ()).unwrap();
    one.mutate(|of_one, ()| {
        let pointer = Gc::new(of_one, 1);
        two.mutate(|of_two, ()| {
            Gc::new(of_two, vec![pointer]);
        });
    });
}
