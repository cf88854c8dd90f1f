//! What the derive makes of structs and enums: their shapes, and that `trace` finds what they hold.

mod support;

use palimpsest_safe::{Gc, GcWeak, Rootable, Shape, Static, Trace};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::rc::Rc;

type P<'gc> = Gc<'gc, u64>;

const INLINE: Shape = Shape::Native { external: false };
const EXTERNAL: Shape = Shape::Native { external: true };

#[derive(Trace)]
struct Unit;

#[derive(Trace)]
struct Pair<'gc>(P<'gc>, Option<P<'gc>>);

#[derive(Trace)]
struct Mixed<'gc> {
    number: u8,
    text: String,
    first: P<'gc>,
    weak: GcWeak<'gc, u64>,
    cell: Cell<Option<P<'gc>>>,
    pairs: [Pair<'gc>; 2],
    shared: Rc<String>,
    marker: PhantomData<P<'gc>>,
}

#[derive(Trace)]
#[allow(dead_code, reason = "its shape is looked at")]
enum Flat {
    A,
    B(u8, String),
    C { text: Option<Box<str>> },
}

#[derive(Trace)]
enum Tree<'gc> {
    Leaf,
    One(P<'gc>),
    Two {
        left: Box<Tree<'gc>>,
        right: Box<Tree<'gc>>,
        #[trace(skip)]
        tag: &'static str,
    },
    Many(Vec<Self>),
}

#[derive(Trace)]
struct Generic<'gc, T, U: Clone>
where
    T: PartialEq,
{
    value: T,
    next: Option<Gc<'gc, Generic<'gc, T, U>>>,
    other: U,
    tracer: (),
}

/// Contains itself by way of the other.
#[derive(Trace)]
#[trace(native)]
struct Even<'gc>(Option<Box<Odd<'gc>>>, P<'gc>);

#[derive(Trace)]
struct Odd<'gc>(Option<Box<Even<'gc>>>, P<'gc>);

/// Of a type that does not know of `Trace`.
#[derive(Trace)]
#[trace(leaf)]
#[allow(dead_code, reason = "its shape is looked at")]
struct Foreign {
    address: std::net::Ipv4Addr,
    inner: Option<Box<Foreign>>,
}

#[derive(Trace)]
enum Never {}

#[test]
fn shapes_are_joined_from_fields() {
    assert_eq!(Unit::SHAPE, Shape::Leaf);
    assert_eq!(Pair::SHAPE, Shape::Words(0b11));
    let at = |offset: usize, words: u64| words << (offset / 8);
    use std::mem::offset_of;
    let words = at(offset_of!(Mixed<'_>, first), 1)
        | at(offset_of!(Mixed<'_>, weak), 1)
        | at(offset_of!(Mixed<'_>, cell), 1)
        | at(offset_of!(Mixed<'_>, pairs), 0b1111);
    assert_eq!(Mixed::SHAPE, Shape::Words(words));
    assert_eq!(Flat::SHAPE, Shape::Leaf);
    assert_eq!(Tree::SHAPE, EXTERNAL);
    assert_eq!(Even::SHAPE, EXTERNAL);
    assert_eq!(Odd::SHAPE, EXTERNAL);
    assert_eq!(Foreign::SHAPE, Shape::Leaf);
    assert_eq!(Never::SHAPE, Shape::Leaf);
    assert!(matches!(Generic::<u64, u8>::SHAPE, Shape::Words(mask) if mask.count_ones() == 1));
    assert_eq!(Generic::<RefCell<P<'_>>, String>::SHAPE, INLINE);
    assert_eq!(Generic::<Vec<P<'_>>, String>::SHAPE, EXTERNAL);
}

#[test]
fn shapes_of_the_standard_library() {
    assert_eq!(<Option<P<'_>>>::SHAPE, Shape::REFERENCE);
    assert_eq!(<Option<Option<P<'_>>>>::SHAPE, INLINE);
    assert_eq!(<Option<Cell<P<'_>>>>::SHAPE, INLINE, "a cell has no niche");
    assert_eq!(<Cell<Option<P<'_>>>>::SHAPE, Shape::REFERENCE);
    assert_eq!(<(u8, P<'_>, u8)>::SHAPE, Shape::Words(1 << (std::mem::offset_of!((u8, P<'_>, u8), 1) / 8)));
    assert_eq!(<[P<'_>; 4]>::SHAPE, Shape::Words(0b1111));
    assert_eq!(<RefCell<P<'_>>>::SHAPE, INLINE);
    assert_eq!(<RefCell<Vec<u8>>>::SHAPE, Shape::Leaf);
    assert_eq!(<Vec<P<'_>>>::SHAPE, EXTERNAL);
    assert_eq!(<Vec<String>>::SHAPE, Shape::Leaf);
    assert_eq!(<HashMap<String, u64>>::SHAPE, Shape::Leaf);
    assert_eq!(<HashMap<String, P<'_>>>::SHAPE, EXTERNAL);
    assert_eq!(<Result<P<'_>, String>>::SHAPE, INLINE);
    assert_eq!(<Result<u8, Box<P<'_>>>>::SHAPE, EXTERNAL);
    assert_eq!(<Static<Rc<RefCell<Vec<u8>>>>>::SHAPE, Shape::Leaf);
}

#[test]
fn all_fields_of_all_variants_are_found() {
    type Root<'gc> = Gc<'gc, RefCell<Vec<Gc<'gc, (Tree<'gc>, Even<'gc>)>>>>;
    let mut arena =
        support::stressed::<Rootable![Root<'_>]>("stw").build(|mc| Gc::new(mc, RefCell::default())).unwrap();
    for seed in 0..100u64 {
        arena.mutate(|mc, all| {
            let new = |k: u64| Gc::new(mc, seed * 10 + k);
            let tree = Tree::Two {
                left: Box::new(Tree::One(new(0))),
                right: Box::new(Tree::Many(vec![Tree::Leaf, Tree::One(new(1))])),
                tag: "tag",
            };
            let even = Even(Some(Box::new(Odd(Some(Box::new(Even(None, new(2)))), new(3)))), new(4));
            all.borrow_mut().push(Gc::new(mc, (tree, even)));
        });
    }
    arena.collect();
    arena.mutate(|_, all| {
        for (seed, pair) in all.borrow().iter().enumerate() {
            let (tree, even) = Gc::as_ref(*pair);
            let Tree::Two { left, right, tag: "tag" } = tree else { panic!("two") };
            let Tree::One(zero) = **left else { panic!("one") };
            let Tree::Many(many) = &**right else { panic!("many") };
            let [Tree::Leaf, Tree::One(one)] = many[..] else { panic!("a leaf, and one") };
            let Even(Some(odd), four) = even else { panic!("even") };
            let Odd(Some(inner), three) = &**odd else { panic!("odd") };
            let found = [zero, one, inner.1, *three, *four].map(|value| *value);
            assert_eq!(found, [0, 1, 2, 3, 4].map(|k| seed as u64 * 10 + k));
        }
    });
    assert_eq!(arena.collect().marked_objects, 2 + 100 * 6);
}
