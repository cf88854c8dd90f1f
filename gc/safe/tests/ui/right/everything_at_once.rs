//! The same things done right.

use palimpsest_safe::{Arena, Gc, GcWeak, Rootable, Static, Stashed, Trace};
use std::cell::RefCell;
use std::rc::Rc;

#[derive(Trace)]
struct Node<'gc, T> {
    value: T,
    next: RefCell<Option<Gc<'gc, Node<'gc, T>>>>,
    back: Option<GcWeak<'gc, Node<'gc, T>>>,
    shared: Rc<String>,
    #[trace(skip)]
    handler: fn(u32) -> u32,
}

type Tree<T> = Rootable!['gc => Node<'gc, T>];

fn node<'gc>(value: u32) -> Node<'gc, Static<u32>> {
    Node {
        value: Static(value),
        next: RefCell::default(),
        back: None,
        shared: Rc::default(),
        handler: |number| number + 1,
    }
}

fn main() {
    let mut one = Arena::<Tree<Static<u32>>>::new(|_| node(1)).unwrap();
    let mut two = Arena::<Rootable![Gc<'_, u64>]>::new(|mc| Gc::new(mc, 2)).unwrap();
    let number = one.mutate(|mc, root| {
        *root.next.borrow_mut() = Some(Gc::new(mc, node(2)));
        root.value.0 + two.mutate(|_, two| **two) as u32
    });
    let stashed: Stashed<Tree<Static<u32>>> = one.mutate(|mc, root| mc.stash(root.next.borrow().unwrap()));
    let next = one.mutate(|mc, _| (mc.fetch(&stashed).handler)(mc.fetch(&stashed).value.0));
    assert_eq!((number, next), (3, 3));
}
