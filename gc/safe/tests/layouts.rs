//! Values of all sizes and alignments, and more layouts than the collector can tell apart.

mod support;

use palimpsest_safe::{Gc, Mutation, Rootable, Static, Trace};
use std::cell::{Cell, RefCell};

type Leaf<'gc> = Gc<'gc, u64>;

/// So many words of data, a reference, and another one behind it.
#[derive(Trace)]
struct Spaced<'gc, const N: usize> {
    before: [u64; N],
    one: Leaf<'gc>,
    between: Cell<u32>,
    another: Option<Leaf<'gc>>,
}

impl<'gc, const N: usize> Spaced<'gc, N> {
    fn new(mc: &Mutation<'gc>, seed: u64) -> Gc<'gc, Self> {
        let (one, another) = (Gc::new(mc, seed), Some(Gc::new(mc, !seed)));
        Gc::new(mc, Self { before: [seed; N], one, between: Cell::new(7), another })
    }

    fn check(&self, seed: u64) {
        assert_eq!((*self.one, self.another.map(|leaf| *leaf)), (seed, Some(!seed)));
        assert!(self.before.iter().all(|word| *word == seed) && self.between.get() == 7);
    }
}

macro_rules! spaced {
    ($($n:literal)*) => {
        #[derive(Trace)]
        struct All<'gc>($(Gc<'gc, Spaced<'gc, $n>>),*);

        #[test]
        fn more_masks_than_kinds() {
            let mut arena = support::stressed::<Rootable![RefCell<Vec<All<'_>>>]>("stw").build(|_| RefCell::default()).unwrap();
            for seed in 0..50 {
                arena.mutate(|mc, all| all.borrow_mut().push(All($(Spaced::<$n>::new(mc, seed)),*)));
            }
            arena.collect();
            arena.mutate(|_, all| for (seed, all) in all.borrow().iter().enumerate() {
                let k = 0;
                spaced!(@check all seed k $($n)*);
            });
            // Seventeen types, three objects each; and the root.
            assert_eq!(arena.collect().marked_objects, 1 + 50 * 17 * 3);
        }
    };
    (@check $all:ident $seed:ident $k:ident $($n:literal)*) => {
        let All(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q) = $all;
        let _ = $k;
        a.check($seed as u64); b.check($seed as u64); c.check($seed as u64); d.check($seed as u64);
        e.check($seed as u64); f.check($seed as u64); g.check($seed as u64); h.check($seed as u64);
        i.check($seed as u64); j.check($seed as u64); k.check($seed as u64); l.check($seed as u64);
        m.check($seed as u64); n.check($seed as u64); o.check($seed as u64); p.check($seed as u64);
        q.check($seed as u64);
    };
}

// The last ones reach beyond what a mask has bits for.
spaced!(0 1 2 3 4 5 6 7 8 9 10 20 30 59 60 61 100);

#[repr(align(16))]
#[derive(Trace)]
struct Aligned<'gc> {
    #[trace(skip)]
    byte: u8,
    cell: RefCell<Option<Leaf<'gc>>>,
}

#[test]
fn values_are_aligned() {
    let mut arena = support::small::<Rootable![RefCell<Vec<Gc<'_, Aligned<'_>>>>]>()
        .build(|_| RefCell::default())
        .unwrap();
    for seed in 0..100u8 {
        arena.mutate(|mc, all| {
            let value = Aligned { byte: seed, cell: RefCell::new(Some(Gc::new(mc, seed.into()))) };
            all.borrow_mut().push(Gc::new(mc, value));
        });
    }
    arena.collect();
    arena.mutate(|_, all| {
        for (seed, value) in all.borrow().iter().enumerate() {
            assert!(Gc::as_ptr(*value).addr().is_multiple_of(16));
            assert_eq!(
                (value.byte as usize, value.cell.borrow().map(|leaf| *leaf)),
                (seed, Some(seed as u64))
            );
        }
    });
}

#[test]
fn values_without_size_have_places_of_their_own() {
    let mut arena = support::small::<Rootable![Vec<Gc<'_, ()>>]>().build(|_| Vec::new()).unwrap();
    arena.mutate_root(|mc, all| all.extend((0..100).map(|_| Gc::new(mc, ()))));
    assert_eq!(arena.collect().marked_objects, 101);
    arena.mutate(|_, all| assert!(!Gc::ptr_eq(all[0], all[1]) && all[0] == all[1]));
}

/// More than a page, more than what shares a block with others, and more than a mask can say.
type Large<'gc> = [Cell<Option<Leaf<'gc>>>; 8000];
type Huge = Static<[u8; 300_000]>;

#[test]
fn large_values() {
    for rung in support::rungs() {
        type Root<'gc> = RefCell<Vec<(Gc<'gc, Large<'gc>>, Gc<'gc, Huge>)>>;
        let builder = support::small::<Rootable![Root<'_>]>().options(&format!("rung={rung}")).unwrap();
        let mut arena = builder.build(|_| RefCell::default()).unwrap();
        for seed in 0..4u64 {
            arena.mutate(|mc, all| {
                let large = Gc::new(mc, [const { Cell::new(None) }; 8000]);
                let huge = Gc::new(mc, Static([seed as u8; 300_000]));
                all.borrow_mut().push((large, huge));
            });
            arena.collect();
            // Stores all over an old object.
            arena.mutate(|mc, all| {
                for k in (0..8000).step_by(97) {
                    all.borrow()[seed as usize].0[k].set(Some(Gc::new(mc, seed + k as u64)));
                }
            });
            arena.collect_young();
        }
        arena.collect();
        arena.mutate(|_, all| {
            for (seed, (large, huge)) in all.borrow().iter().enumerate() {
                for k in 0..8000 {
                    let expected = (k % 97 == 0).then_some(seed as u64 + k as u64);
                    assert_eq!(large[k].get().map(|leaf| *leaf), expected, "on {rung}");
                }
                assert!(huge.0.iter().all(|byte| *byte == seed as u8));
            }
        });
    }
}
