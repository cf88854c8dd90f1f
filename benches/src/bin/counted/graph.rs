//! A heap with a graph of which every figure is known: a binary tree of [`NODES`] nodes, and one array that refers to all of them.

use std::error::Error;
use std::ptr;
use std::time::Duration;

use palimpsest::{Address, Embedder, Handle, Heap, HeapBuilder, Kind, Mutator, StackScan, Wish};

/// 8 MiB of nodes, and an array of 512 KiB.
pub const NODES: usize = 1 << 16;

const PAGE: usize = 4096;

/// 128 bytes.
#[repr(C)]
pub struct Node {
    children: [*mut Node; 2],
    words: [u64; 14],
}

/// The heap and what keeps it full. The root goes before the mutator.
pub struct Graph<E: Embedder> {
    _root: Handle,
    array: *mut *mut Node,
    /// What asks for cycles. Its stack is not scanned: the root is all there is.
    pub mutator: Mutator<E>,
}

impl<E: Embedder> Graph<E> {
    /// A heap on this rung with the graph. No cycle begins by itself.
    pub fn new(embedder: E, rung: Wish) -> Result<Self, Box<dyn Error>> {
        Self::with(Heap::builder(embedder), rung)
    }

    /// The same with what else a builder says.
    pub fn with(builder: HeapBuilder<E>, rung: Wish) -> Result<Self, Box<dyn Error>> {
        let heap = builder
            .rung(rung)
            .limit(128 << 20)
            .cycle_every(64 << 20)
            .young(false)
            .workers(1)
            .worker_patience(Duration::from_secs(60))
            .idle_after(Duration::MAX)
            .build()?;
        let mut mutator = heap.attach(StackScan::None)?;
        let array =
            mutator.alloc(Kind::UNIFORM, NODES * size_of::<*mut Node>())?.cast::<*mut Node>().as_ptr();
        let root = heap.handle(Address::from_ptr(array));
        for k in 0..NODES {
            let node = mutator.alloc(Kind::UNIFORM, size_of::<Node>())?.cast::<Node>().as_ptr();
            // SAFETY: a word of the array, which the handle keeps, and words of the new node and of an earlier one.
            unsafe {
                array.add(k).write(node);
                node.write(Node { children: [ptr::null_mut(); 2], words: [0; 14] });
                if k > 0 {
                    let parent = *array.add((k - 1) / 2);
                    (*parent).children[(k - 1) % 2] = node;
                }
            }
        }
        assert_eq!(heap.stats().cycles, 0, "no cycle begins by itself");
        Ok(Self { _root: root, array, mutator })
    }

    /// Writes a word that is no reference into every `step`th page of nodes, from the page `first` on. Returns how many.
    pub fn write(&self, first: usize, step: usize) -> usize {
        let (mut last, mut pages, mut written) = (usize::MAX, 0, 0);
        for k in 0..NODES {
            // SAFETY: a word of the array, which the handle keeps.
            let node = unsafe { *self.array.add(k) };
            if node.addr() / PAGE != last {
                last = node.addr() / PAGE;
                if pages % step == first {
                    // SAFETY: a node, which the array keeps, and a word of it that nobody else uses. 0 is no reference.
                    unsafe { (&raw mut (*node).words[0]).write_volatile(0) };
                    written += 1;
                }
                pages += 1;
            }
        }
        written
    }
}
