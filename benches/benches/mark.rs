//! How fast one worker marks, and two, in objects a second, by the shape of the graph.
//!
//! * `list`: one chain of 16-byte cells. Each is known only when the one before was read: nothing can be fetched ahead.
//! * `tree`: a binary tree of 16-byte nodes, built depth first, so that near nodes are near in memory.
//! * `array`: one array of 16-byte leaf objects, which are marked but not read.
//! * `graph`: 64-byte nodes with four edges to anywhere. Nearly every edge misses the caches and the TLB.
//!
//! The floor is the program's own walk over the same objects: depth first, with a stack and one byte for each 16 of memory that says
//! which were met, and nothing else. It walks the live heap by itself; a worker starts up first, and looks for what was written.
//!
//! About a million objects each. The time is the cycle's, from the snapshot until marking was complete; nothing is written
//! meanwhile, so there is no pre-image to look for.

use std::ptr;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use palimpsest::{Address, GRANULE, Handle, Heap, Kind, Layout, PlainPointers, StackScan};

#[path = "support/objects.rs"]
mod objects;
use objects::Mutator;

/// Objects of each shape, give or take one.
const OBJECTS: usize = 1 << 20;
const LIMIT: usize = 512 << 20;

/// Makes a shape and keeps it.
type Build = fn(&mut Mutator) -> Handle;

/// How many words of an object, from its start, are references; of the shape's root and of all others.
type References = [usize; 2];

fn mark(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mark");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(2));
    group.throughput(Throughput::Elements(OBJECTS as u64));
    let shapes: [(&str, Build, References); 4] = [
        ("list", list, [1, 1]),
        ("tree", tree, [2, 2]),
        ("array", array, [OBJECTS, 0]),
        ("graph", graph, [4, 4]),
    ];
    for (name, build, references) in shapes {
        for workers in [1, 2] {
            let heap = Heap::builder(PlainPointers).limit(LIMIT).workers(workers).build().expect("a heap");
            let mut mutator = heap.attach(StackScan::Conservative).expect("attached");
            let mut root = None;
            group.bench_function(BenchmarkId::new(name, workers), |bencher| {
                root.get_or_insert_with(|| build(&mut mutator));
                bencher.iter_custom(|cycles| (0..cycles).map(|_| time_to_mark(&mut mutator)).sum());
            });
            if workers == 1 {
                group.bench_function(BenchmarkId::new(name, "floor"), |bencher| {
                    let root = root.get_or_insert_with(|| build(&mut mutator)).get();
                    let mut walk = Walk::new();
                    bencher
                        .iter_custom(|walks| (0..walks).map(|_| walk.time(root.as_ptr(), references)).sum());
                });
            }
        }
    }
    group.finish();
}

fn time_to_mark(mutator: &mut Mutator) -> Duration {
    let record = mutator.collect();
    // What conservative scanning finds besides is next to nothing.
    assert!(record.marked_objects.abs_diff(OBJECTS as u64) < 100, "{record}");
    Duration::from_secs_f64(record.mark_ms / 1e3)
}

/// The least that visits each object once.
struct Walk {
    /// A byte for each granule, again and again: objects are never further apart than this, but for a root in the other space.
    met: Vec<u8>,
    stack: Vec<*const usize>,
}

impl Walk {
    fn new() -> Self {
        Self { met: vec![0; LIMIT / GRANULE], stack: Vec::with_capacity(OBJECTS) }
    }

    fn time(&mut self, root: *const usize, references: References) -> Duration {
        self.met.fill(0);
        let start = Instant::now();
        let met = self.walk(root, references);
        let spent = start.elapsed();
        assert!(met.abs_diff(OBJECTS) <= 1, "{met}");
        spent
    }

    /// How many objects were met.
    fn walk(&mut self, root: *const usize, [of_root, of_others]: References) -> usize {
        let mut objects = 0;
        let granules = self.met.len();
        self.stack.push(root);
        self.met[root.addr() / GRANULE % granules] = 1;
        while let Some(object) = self.stack.pop() {
            let references = if objects == 0 { of_root } else { of_others };
            objects += 1;
            for word in 0..references {
                // SAFETY: an object that the root's handle keeps, which has so many words, each an address of an object or 0.
                let next = unsafe { *object.add(word) };
                if next != 0 {
                    let met = &mut self.met[next / GRANULE % granules];
                    if *met == 0 {
                        *met = 1;
                        self.stack.push(ptr::with_exposed_provenance(next));
                    }
                }
            }
        }
        objects
    }
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Cell {
    next: *mut Cell,
    value: u64,
}

fn list(mutator: &mut Mutator) -> Handle {
    let kind = mutator.heap().define_layout(Layout::mask(0b1)).expect("a kind");
    let mut list = ptr::null_mut();
    for value in 0..OBJECTS as u64 {
        list = objects::new(mutator, kind, Cell { next: list, value });
    }
    mutator.heap().handle(Address::from_ptr(list))
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Tree {
    children: [*mut Tree; 2],
}

fn tree(mutator: &mut Mutator) -> Handle {
    let kind = mutator.heap().define_layout(Layout::mask(0b11)).expect("a kind");
    let root = subtree(mutator, kind, OBJECTS.ilog2());
    mutator.heap().handle(Address::from_ptr(root))
}

/// A tree of so many levels.
fn subtree(mutator: &mut Mutator, kind: Kind, levels: u32) -> *mut Tree {
    if levels == 0 {
        return ptr::null_mut();
    }
    let children = [subtree(mutator, kind, levels - 1), subtree(mutator, kind, levels - 1)];
    objects::new(mutator, kind, Tree { children })
}

fn array(mutator: &mut Mutator) -> Handle {
    filled(mutator, |mutator| objects::new(mutator, Kind::LEAF, [1u64; 2])).1
}

#[derive(Clone, Copy)]
#[repr(C)]
struct Node {
    edges: [*mut Node; 4],
    words: [u64; 4],
}

/// All nodes in one circle through random places, so that each is reachable, and three random edges a node.
fn graph(mutator: &mut Mutator) -> Handle {
    let kind = mutator.heap().define_layout(Layout::mask(0b1111)).expect("a kind");
    let empty = Node { edges: [ptr::null_mut(); 4], words: [1; 4] };
    let (nodes, _nodes) = filled(mutator, |mutator| objects::new(mutator, kind, empty));
    // SAFETY: an object of so many words, each the address of a node; it lives as long as its handle, and this function
    // has no safepoint.
    let nodes = unsafe { std::slice::from_raw_parts_mut(nodes, OBJECTS) };
    let mut random = random();
    for k in 1..OBJECTS {
        nodes.swap(k, random(k + 1));
    }
    for (k, &node) in nodes.iter().enumerate() {
        let mut any = || nodes[random(OBJECTS)];
        let edges = [nodes[(k + 1) % OBJECTS], any(), any(), any()];
        // SAFETY: a node, which only this thread uses.
        unsafe { (*node).edges = edges };
    }
    mutator.heap().handle(Address::from_ptr(nodes[0]))
}

/// An array of new objects, and what keeps it.
fn filled<T>(mutator: &mut Mutator, mut new: impl FnMut(&mut Mutator) -> *mut T) -> (*mut *mut T, Handle) {
    let array = mutator.alloc(Kind::UNIFORM, OBJECTS * size_of::<*mut T>()).expect("room for the array");
    let array = array.cast::<*mut T>().as_ptr();
    let handle = mutator.heap().handle(Address::from_ptr(array));
    for k in 0..OBJECTS {
        let object = new(mutator);
        // SAFETY: a word of the array, which the handle keeps.
        unsafe { array.add(k).write(object) };
    }
    (array, handle)
}

/// Random numbers below a bound, the same in every run (xorshift64).
fn random() -> impl FnMut(usize) -> usize {
    let mut state = 88_172_645_463_325_252u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    }
}

criterion_group!(benches, mark);
criterion_main!(benches);
