//! Nobody meets a value that was dropped: not through a weak pointer, a stashed one, or a way that was laid beside a cycle.
//!
//! A graph of values with destructors is changed at random. What leads to a value last may be anything; whoever finds one looks at
//! whether it was dropped.

mod support;

use palimpsest_safe::{Arena, Gc, GcWeak, Mutation, Rootable, Stashed, Trace};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use support::{Dropped, Drops};

/// Says that it was dropped to whoever still sees it.
#[derive(Default)]
struct Grave(Rc<Cell<bool>>);

impl Drop for Grave {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

#[derive(Trace)]
struct Node<'gc> {
    #[trace(skip)]
    grave: Grave,
    #[trace(skip)]
    _counted: Dropped,
    others: RefCell<Vec<Gc<'gc, Node<'gc>>>>,
    own: Gc<'gc, Part<'gc>>,
}

/// Without memory of its own: references are in the value itself, and stay there when it was dropped.
#[derive(Trace)]
struct Part<'gc> {
    #[trace(skip)]
    grave: Grave,
    of: Cell<Option<Gc<'gc, Node<'gc>>>>,
    itself: Cell<Option<GcWeak<'gc, Part<'gc>>>>,
}

#[derive(Trace, Default)]
struct Graph<'gc> {
    nodes: RefCell<Vec<Gc<'gc, Node<'gc>>>>,
    weak: RefCell<Vec<GcWeak<'gc, Node<'gc>>>>,
    parts: RefCell<Vec<GcWeak<'gc, Part<'gc>>>>,
}

fn check<'gc>(node: Gc<'gc, Node<'gc>>) -> Gc<'gc, Node<'gc>> {
    assert!(!node.grave.0.get() && !node.own.grave.0.get(), "dropped while somebody finds it");
    assert!(Gc::ptr_eq(node.own.of.get().expect("set when it was made"), node));
    node
}

fn node<'gc>(mc: &Mutation<'gc>, drops: &Drops) -> Gc<'gc, Node<'gc>> {
    let own = Gc::new(mc, Part { grave: Grave::default(), of: Cell::default(), itself: Cell::default() });
    let (grave, others) = (Grave::default(), RefCell::default());
    let node = Gc::new(mc, Node { grave, _counted: drops.one(), others, own });
    own.of.set(Some(node));
    own.itself.set(Some(Gc::downgrade(own, mc)));
    node
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        all.get(self.below(all.len())).copied()
    }
}

type Kept = Vec<Stashed<Rootable![Node<'_>]>>;

/// How many were made in this step.
fn step<'gc>(
    mc: &Mutation<'gc>,
    graph: &Graph<'gc>,
    kept: &mut Kept,
    random: &mut Random,
    drops: &Drops,
) -> usize {
    let mut nodes = graph.nodes.borrow_mut();
    match random.below(9) {
        0..=3 => {
            let new = node(mc, drops);
            graph.weak.borrow_mut().push(Gc::downgrade(new, mc));
            graph.parts.borrow_mut().push(Gc::downgrade(new.own, mc));
            if let Some(other) = random.of(&nodes) {
                new.others.borrow_mut().push(other);
                other.others.borrow_mut().push(new);
            }
            if random.below(3) > 0 {
                nodes.push(new);
            }
            return 1;
        }
        4 if nodes.len() > 100 => nodes.truncate(50),
        5 => {
            let mut weak = graph.weak.borrow_mut();
            let at = random.below(weak.len());
            match weak.get(at).map(|weak| weak.upgrade(mc)) {
                Some(Some(node)) => nodes.push(check(node)),
                Some(None) => {
                    // For good.
                    assert!(weak.swap_remove(at).is_dead(mc));
                }
                None => {}
            }
        }
        6 => {
            let mut parts = graph.parts.borrow_mut();
            let at = random.below(parts.len());
            match parts.get(at).map(|part| part.upgrade(mc)) {
                Some(Some(part)) => {
                    let itself = part.itself.get().and_then(|weak| weak.upgrade(mc));
                    assert!(itself.is_some_and(|found| Gc::ptr_eq(found, part)));
                    nodes.extend(part.of.get().map(check));
                }
                Some(None) => drop(parts.swap_remove(at)),
                None => {}
            }
        }
        7 => {
            kept.extend(random.of(&nodes).map(|node| mc.stash(node)));
            if kept.len() > 20 {
                nodes.push(check(mc.fetch(&kept.swap_remove(random.below(20)))));
            }
        }
        _ => {
            let mut at = random.of(&nodes);
            for _ in 0..20 {
                let Some(node) = at.map(check) else { break };
                at = random.of(&node.others.borrow());
                if random.below(4) == 0 {
                    node.others.borrow_mut().pop();
                }
            }
        }
    }
    0
}

#[test]
fn no_dropped_value_is_found() {
    for rung in support::rungs() {
        let (drops, mut made) = (Drops::default(), 0);
        let (mut kept, mut random) = (Kept::new(), Random(88_172_645_463_325_252));
        let builder = support::stressed::<Rootable![Graph<'_>]>(rung);
        let mut arena: Arena<_> = builder.build(|_| Graph::default()).unwrap();
        while arena.stats().cycles < 40 || made < 5000 {
            arena.mutate(|mc, graph| {
                for _ in 0..20 {
                    made += step(mc, graph, &mut kept, &mut random, &drops);
                }
            });
            match random.below(200) {
                0 => drop(arena.collect()),
                1 | 2 => drop(arena.collect_young()),
                _ => {}
            }
        }
        kept.clear();
        arena.mutate(|_, graph| graph.nodes.borrow_mut().clear());
        // What waits to be dropped keeps what it refers to until then: that is found the second time.
        arena.collect();
        arena.collect();
        assert_eq!(drops.count(), made, "on {rung}");
        let stats = arena.stats();
        assert_eq!((stats.failures, stats.last_trouble), (0, None), "on {rung}");
    }
}
