//! One arena for each thread, and results by a channel. An arena stays on its thread; each has a heap of its own, so that no thread
//! ever waits for another one's collection. Threads that share one heap are for the raw interface (`palimpsest::Heap::attach`).
//!
//! `cargo run --example threads`

use palimpsest_safe::{Arena, Error, Gc, Rootable, Trace};
use std::sync::mpsc;
use std::thread;

/// A node of a search tree.
#[derive(Trace)]
struct Node<'gc> {
    key: u64,
    left: Option<Gc<'gc, Node<'gc>>>,
    right: Option<Gc<'gc, Node<'gc>>>,
}

type Tree<'gc> = Option<Gc<'gc, Node<'gc>>>;

/// The tree with a key more. It shares what is the same with the old tree, which is garbage unless somebody has kept it.
fn insert<'gc>(mc: &palimpsest_safe::Mutation<'gc>, tree: Tree<'gc>, key: u64) -> Gc<'gc, Node<'gc>> {
    let Some(node) = tree else { return Gc::new(mc, Node { key, left: None, right: None }) };
    let Node { key: here, left, right } = *node;
    match key.cmp(&here) {
        std::cmp::Ordering::Equal => node,
        std::cmp::Ordering::Less => Gc::new(mc, Node { key: here, left: Some(insert(mc, left, key)), right }),
        std::cmp::Ordering::Greater => {
            Gc::new(mc, Node { key: here, left, right: Some(insert(mc, right, key)) })
        }
    }
}

fn size(tree: Tree<'_>) -> u64 {
    tree.map_or(0, |node| 1 + size(node.left) + size(node.right))
}

/// What one thread does; how many keys its tree has.
fn work(seed: u64) -> Result<u64, Error> {
    let mut arena = Arena::<Rootable![Tree<'_>]>::builder().limit(64 << 20).build(|_| None)?;
    let mut random = seed;
    for _ in 0..10_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let key = random >> 52;
        arena.mutate_root(|mc, tree| *tree = Some(insert(mc, *tree, key)));
    }
    Ok(arena.mutate(|_, tree| size(*tree)))
}

pub(crate) fn main() -> Result<(), Error> {
    let (results, all) = mpsc::channel();
    for seed in 0..4 {
        let results = results.clone();
        thread::spawn(move || results.send((seed, work(seed))).expect("the main thread waits for all"));
    }
    drop(results);
    let mut finished = 0;
    for (seed, keys) in all {
        let keys = keys?;
        println!("thread {seed}: a tree of {keys} keys");
        // Ten thousand draws out of 4096 miss hardly any.
        assert!((3500..=4096).contains(&keys));
        finished += 1;
    }
    assert_eq!(finished, 4);
    Ok(())
}
