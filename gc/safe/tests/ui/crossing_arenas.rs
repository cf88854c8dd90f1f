//! A pointer of one arena cannot be stored in another.

use palimpsest_safe::{Arena, Gc, Rootable};
use std::cell::Cell;

type Slot = Rootable![Cell<Option<Gc<'_, u64>>>];

fn main() {
    let mut one = Arena::<Slot>::new(|_| Cell::new(None)).unwrap();
    let mut two = Arena::<Slot>::new(|_| Cell::new(None)).unwrap();
    one.mutate(|mc, _| {
        let pointer = Gc::new(mc, 1);
        two.mutate(|_, slot| slot.set(Some(pointer)));
    });
}
