//! The interpreter's end of the collector: how a word is decoded, and one thread's heap with its temporary roots.
//!
//! Rooting is precise; the native stack is not scanned. The discipline, for everything in this crate that
//! allocates:
//!
//! * **Every allocation is a safepoint.** An object that is not reachable from a root at that moment is gone.
//! * Operands that the interpreter works on stay on its value stack until the operation is complete.
//! * Anything else is pushed on [`LoxHeap::temporaries`] for as long as an allocation may come.
//! * A fresh object is stored somewhere reachable before the next allocation.
//!
//! Objects never move, so a reference that is rooted stays valid however many cycles pass. Stores into objects are
//! plain stores; nothing in this crate tells the collector about one.

use std::io::{self, Write as _};
use std::ptr::NonNull;

use palimpsest::{Address, Embedder, Error, Heap, Kind, Mutator, OutOfMemory, StackScan, WeakTable, Wish};

use crate::roots::{RootStack, RootWords};
use crate::value::Value;

/// Tells the collector which words are references: NaN boxes with the reference pattern.
pub struct NanBoxes;

// SAFETY: `decode` is a pure function of the word, and a word has the reference pattern only if `Value::reference`
// made it from the start address of an object.
unsafe impl Embedder for NanBoxes {
    #[inline(always)]
    fn decode(&self, word: u64) -> Option<Address> {
        Value::from_bits(word).address()
    }
}

// SAFETY: one transparent 64-bit word; all bits zero is the number 0.
unsafe impl RootWords for Value {}

/// How the heap is set up; `None` and `false` leave the collector's own choice.
#[derive(Clone, Debug, Default)]
pub struct HeapOptions {
    /// Most bytes that the heap may take.
    pub limit: Option<usize>,
    /// How a cycle keeps its snapshot, where the user has a wish.
    pub rung: Option<Wish>,
    /// Start a cycle at least every so many bytes of allocation.
    pub cycle_every: Option<usize>,
    /// Processes that mark.
    pub workers: Option<usize>,
    /// Run and verify a cycle every so many allocations.
    pub stress: Option<u64>,
    /// Further options, as the collector reads them, where none of the above says the same.
    pub others: String,
    /// Write a line about each cycle to standard error.
    pub log: bool,
}

/// Room for one root per function being compiled (see the compiler's nesting limit) and for what operations hold.
const TEMPORARIES: usize = 4096;

/// The heap as the interpreter's only thread sees it.
pub struct LoxHeap {
    /// Values that must survive the next allocation and are nowhere else.
    pub temporaries: RootStack<Value>,
    /// The interned strings.
    strings: WeakTable,
    mutator: Mutator<NanBoxes>,
}

impl LoxHeap {
    /// Creates a heap and attaches the calling thread to it.
    pub fn new(options: &HeapOptions) -> Result<LoxHeap, Error> {
        let mut builder = Heap::builder(NanBoxes).options(&options.others)?;
        if let Some(workers) = options.workers {
            builder = builder.workers(workers);
        }
        if let Some(limit) = options.limit {
            builder = builder.limit(limit);
        }
        if let Some(rung) = options.rung {
            builder = builder.rung(rung);
        }
        if let Some(bytes) = options.cycle_every {
            builder = builder.cycle_every(bytes);
        }
        if let Some(allocations) = options.stress {
            builder = builder.stress(allocations);
        }
        if options.log {
            builder = builder.on_cycle(|cycle| {
                // A panic in the collector's thread because standard error is closed would be a high price.
                let _ = writeln!(io::stderr(), "{cycle}");
            });
        }
        let heap = builder.build()?;
        if options.log {
            let _ = writeln!(io::stderr(), "rung {}", heap.ladder());
        }
        let temporaries = RootStack::new(&heap, TEMPORARIES);
        let strings = WeakTable::new(&heap)?;
        let mutator = heap.attach(StackScan::None)?;
        Ok(LoxHeap { temporaries, strings, mutator })
    }

    /// The collector's heap, for statistics and for registering more roots.
    pub fn collector(&self) -> &Heap<NanBoxes> {
        self.mutator.heap()
    }

    /// The interned strings, and the attached thread, which their operations want beside them.
    pub fn strings_and_mutator(&mut self) -> (&WeakTable, &mut Mutator<NanBoxes>) {
        (&self.strings, &mut self.mutator)
    }

    /// Memory for an object of `words` words that are all traced, zeroed. A safepoint.
    #[inline]
    pub fn allocate_traced(&mut self, words: usize) -> Result<NonNull<u64>, OutOfMemory> {
        Ok(self.mutator.alloc(Kind::UNIFORM, words * 8)?.cast())
    }

    /// Memory for an object without references, not initialised. A safepoint.
    #[inline]
    pub fn allocate_leaf(&mut self, bytes: usize) -> Result<NonNull<u64>, OutOfMemory> {
        // SAFETY: no word of a leaf is ever traced, so none has to be written first.
        Ok(unsafe { self.mutator.alloc_uninit(Kind::LEAF, bytes)? }.cast())
    }

    /// A safepoint, for loops that may not allocate.
    #[inline(always)]
    pub fn poll(&mut self) {
        self.mutator.poll();
    }

    /// Runs something that may wait (for input, or for a pipe to drain) without keeping the collector waiting. A
    /// safepoint for its whole length.
    pub fn blocking<R>(&mut self, wait: impl FnOnce() -> R) -> R {
        self.mutator.blocking(wait)
    }
}
