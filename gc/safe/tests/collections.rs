//! The standard library's collections in objects, changed by the program while they are traced.
//!
//! Nothing may be lost, whichever rung keeps the snapshot, and whether a cycle is full or young. Every value says who it is, and memory
//! that was freed by mistake is poisoned.

mod support;

use palimpsest_safe::{Gc, Rootable, Trace};
use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};

/// A number, and its complement behind another pointer.
#[derive(Trace, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Value<'gc> {
    number: u64,
    check: Gc<'gc, u64>,
}

type Pointer<'gc> = Gc<'gc, Value<'gc>>;

fn value<'gc>(mc: &palimpsest_safe::Mutation<'gc>, number: u64) -> Pointer<'gc> {
    Gc::new(mc, Value { number, check: Gc::new(mc, !number) })
}

fn check(value: Pointer<'_>) -> u64 {
    assert_eq!(*value.check, !value.number);
    value.number
}

type Others<'gc> = (BinaryHeap<Pointer<'gc>>, LinkedList<Pointer<'gc>>, Box<[Pointer<'gc>]>);
type Nested<'gc> = Result<Vec<Pointer<'gc>>, String>;

/// One of each, behind pointers, so that they get old.
#[derive(Trace)]
struct Zoo<'gc> {
    vec: Gc<'gc, RefCell<Vec<Pointer<'gc>>>>,
    map: Gc<'gc, RefCell<HashMap<u64, Pointer<'gc>>>>,
    tree: Gc<'gc, RefCell<BTreeMap<Pointer<'gc>, Box<Pointer<'gc>>>>>,
    deque: Gc<'gc, RefCell<VecDeque<Option<Pointer<'gc>>>>>,
    sets: Gc<'gc, RefCell<(HashSet<Pointer<'gc>>, BTreeSet<Pointer<'gc>>)>>,
    others: Gc<'gc, RefCell<Others<'gc>>>,
    nested: Gc<'gc, RefCell<Vec<Nested<'gc>>>>,
    once: Gc<'gc, OnceCell<Pointer<'gc>>>,
}

const KEPT: u64 = 60;

#[test]
fn nothing_is_lost_while_collections_change() {
    for rung in support::rungs() {
        for young in ["on", "off"] {
            let options = format!("young={young}");
            let builder = support::stressed::<Rootable![Zoo<'_>]>(rung).options(&options).unwrap();
            let mut arena = builder
                .build(|mc| Zoo {
                    vec: Gc::new(mc, RefCell::default()),
                    map: Gc::new(mc, RefCell::default()),
                    tree: Gc::new(mc, RefCell::default()),
                    deque: Gc::new(mc, RefCell::default()),
                    sets: Gc::new(mc, RefCell::default()),
                    others: Gc::new(mc, RefCell::default()),
                    nested: Gc::new(mc, RefCell::default()),
                    once: Gc::new(mc, OnceCell::new()),
                })
                .unwrap();
            // Cycles come as fast as the collector makes them, each beside some dozens of steps.
            let mut step = 0;
            while arena.stats().cycles < 25 || step < 200 {
                for _ in 0..16 {
                    arena.mutate(|mc, zoo| one_step(mc, zoo, step));
                    step += 1;
                }
                arena.mutate(|_, zoo| check_all(zoo, step - 1));
            }
            let cycle = arena.collect();
            assert_eq!(cycle.stray_references, 0, "on {rung}, young={young}");
            arena.mutate(|_, zoo| check_all(zoo, step - 1));
            let stats = arena.stats();
            assert_eq!((stats.failures, stats.last_trouble), (0, None), "on {rung}, young={young}");
        }
    }
}

/// Adds the value of this step to each, and takes the oldest away.
fn one_step<'gc>(mc: &palimpsest_safe::Mutation<'gc>, zoo: &Zoo<'gc>, step: u64) {
    let new = || value(mc, step);
    let old = step.checked_sub(KEPT);
    let mut vec = zoo.vec.borrow_mut();
    vec.push(new());
    zoo.map.borrow_mut().insert(step, new());
    zoo.tree.borrow_mut().insert(new(), Box::new(new()));
    zoo.deque.borrow_mut().extend([None, Some(new())]);
    let mut sets = zoo.sets.borrow_mut();
    sets.0.insert(new());
    sets.1.insert(new());
    let mut others = zoo.others.borrow_mut();
    others.0.push(new());
    others.1.push_back(new());
    // Laid out anew each time.
    others.2 =
        std::mem::take(&mut others.2).into_iter().chain([new()]).skip((old.is_some()) as usize).collect();
    let mut nested = zoo.nested.borrow_mut();
    nested.push(Ok(vec![new(), new()]));
    nested.push(Err("an error".into()));
    zoo.once.get_or_init(new);
    if let Some(old) = old {
        vec.remove(0);
        zoo.map.borrow_mut().remove(&old);
        let first = *zoo.tree.borrow().keys().next().expect("the oldest");
        zoo.tree.borrow_mut().remove(&first);
        zoo.deque.borrow_mut().drain(..2);
        sets.0.retain(|value| value.number != old);
        sets.1.pop_first();
        others.0.retain(|value| value.number != old);
        others.1.pop_front();
        nested.drain(..2);
    }
}

fn check_all(zoo: &Zoo<'_>, last: u64) {
    let expected: Vec<u64> = ((last + 1).saturating_sub(KEPT)..=last).collect();
    let sorted = |mut numbers: Vec<u64>| {
        numbers.sort_unstable();
        numbers
    };
    let is = |numbers: Vec<u64>| assert_eq!(sorted(numbers), expected);
    is(zoo.vec.borrow().iter().map(|value| check(*value)).collect());
    is(zoo
        .map
        .borrow()
        .iter()
        .map(|(key, value)| {
            assert_eq!(*key, check(*value));
            *key
        })
        .collect());
    is(zoo
        .tree
        .borrow()
        .iter()
        .map(|(key, value)| {
            assert_eq!(check(*key), check(**value));
            check(*key)
        })
        .collect());
    is(zoo.deque.borrow().iter().flatten().map(|value| check(*value)).collect());
    is(zoo.sets.borrow().0.iter().map(|value| check(*value)).collect());
    is(zoo.sets.borrow().1.iter().map(|value| check(*value)).collect());
    is(zoo.others.borrow().0.iter().map(|value| check(*value)).collect());
    is(zoo.others.borrow().1.iter().map(|value| check(*value)).collect());
    is(zoo.others.borrow().2.iter().map(|value| check(*value)).collect());
    let nested = zoo.nested.borrow();
    is(nested
        .iter()
        .flatten()
        .map(|pair| {
            assert_eq!(check(pair[0]), check(pair[1]));
            check(pair[0])
        })
        .collect());
    assert_eq!(check(*zoo.once.get().expect("set in the first step")), 0);
}
