//! A cache that keeps nothing alive: it finds what the program still has, and forgets the rest.
//!
//! `cargo run --example weak_cache`

use palimpsest_safe::{Arena, Gc, GcWeak, Mutation, Rootable, Trace};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::error::Error;

/// Something that takes long to make.
#[derive(Trace)]
struct Picture {
    number: u32,
    pixels: Vec<u8>,
}

#[derive(Trace, Default)]
struct Gallery<'gc> {
    /// What is looked at now.
    shown: RefCell<Vec<Gc<'gc, Picture>>>,
    cache: RefCell<HashMap<u32, GcWeak<'gc, Picture>>>,
    made: Cell<u32>,
}

impl<'gc> Gallery<'gc> {
    /// The picture of this number: the one that there is, if anybody still has it.
    fn picture(&self, mc: &Mutation<'gc>, number: u32) -> Gc<'gc, Picture> {
        if let Some(picture) = self.cache.borrow().get(&number).and_then(|weak| weak.upgrade(mc)) {
            return picture;
        }
        self.made.set(self.made.get() + 1);
        let picture = Gc::new(mc, Picture { number, pixels: vec![number as u8; 1024] });
        self.cache.borrow_mut().insert(number, Gc::downgrade(picture, mc));
        picture
    }

    /// Takes entries out of the cache that lead nowhere.
    fn tidy(&self, mc: &Mutation<'gc>) -> usize {
        let mut cache = self.cache.borrow_mut();
        cache.retain(|_, weak| !weak.is_dead(mc));
        cache.len()
    }
}

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let mut arena = Arena::<Rootable![Gallery<'_>]>::new(|_| Gallery::default())?;

    arena.mutate(|mc, gallery| {
        for number in 0..100 {
            let picture = gallery.picture(mc, number);
            // Every tenth is shown; the others are only in the cache.
            if number % 10 == 0 {
                gallery.shown.borrow_mut().push(picture);
            }
        }
        // All are still there: nothing is collected during a call.
        assert!(Gc::ptr_eq(gallery.picture(mc, 50), gallery.picture(mc, 50)));
        assert_eq!(gallery.made.get(), 100);
    });

    arena.collect();

    arena.mutate(|mc, gallery| {
        assert_eq!(gallery.tidy(mc), 10);
        // One that is shown is found, one that is not is made again.
        let shown = gallery.picture(mc, 50);
        assert!(Gc::ptr_eq(shown, gallery.shown.borrow()[5]));
        assert_eq!(gallery.made.get(), 100);
        assert_eq!(gallery.picture(mc, 51).number, 51);
        assert_eq!(gallery.made.get(), 101);
        let bytes: usize = gallery.shown.borrow().iter().map(|picture| picture.pixels.len()).sum();
        println!("100 pictures made, 10 shown ({bytes} bytes), 90 forgotten, 1 made again");
    });
    Ok(())
}
