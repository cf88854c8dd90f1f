//! What the objects of a program look like, and the gate.
//!
//! The first word of every object holds its identity, so that a wrong object is never taken for the right one. References in places
//! that are known to the collector have their lowest bit set, everything else has not. Objects of the conservative kind refer
//! to others by an address in the middle of them.

use super::model::Id;
use palimpsest::{Address, Embedder, Error, Frozen, Heap, Kind, Layout, Tracer};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Numbers of trace functions.
const BAG: u16 = 0;
const GATE: u16 = 1;

/// Sizes from this on are those of large objects.
const LARGE: u8 = 240;

/// Those have so many references at least, and no others have.
pub const LARGE_SLOTS: usize = 4_000;

/// How long a worker waits at a closed gate at most: the program may be waiting for it.
const MOST_AT_THE_GATE: Duration = Duration::from_millis(20);

/// How objects keep what they have.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Shape {
    Leaf,
    Uniform,
    Pair,
    Headed,
    Conservative,
    /// References in native memory.
    Bag,
}

/// Where everything is in an object of some shape and size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    pub shape: Shape,
    pub words: usize,
    /// Words that no reference is in, but for the first.
    pub data: Range<usize>,
    /// Words that references are in; of a bag, of its native memory.
    pub slots: Range<usize>,
}

impl Plan {
    /// One of all that there are.
    pub fn new(shape: u8, size: u8) -> Self {
        let words = match size {
            0..=199 => 4 + usize::from(size) / 4,
            200..LARGE => 64 + (usize::from(size) - 200) * 24,
            // Large: has blocks for itself.
            LARGE..=255 => 4100 + usize::from(size - LARGE) * 1024,
        };
        let shape =
            [Shape::Leaf, Shape::Uniform, Shape::Pair, Shape::Headed, Shape::Conservative, Shape::Bag]
                [usize::from(shape) % 6];
        let (words, data, slots) = match shape {
            Shape::Leaf => (words, 1..words, 0..0),
            Shape::Uniform | Shape::Conservative => (words, 1..2, 2..words),
            Shape::Pair => (4, 3..4, 1..3),
            Shape::Headed => {
                let header = 1 + usize::from(size) % 3;
                (words, 1..header, header..words)
            }
            Shape::Bag => (4, 3..4, 0..1 + usize::from(size) % 9),
        };
        Self { shape, words, data, slots }
    }

    /// A large one, with references all over.
    pub fn large(shape: u8, size: u8) -> Self {
        let shape = [Shape::Uniform, Shape::Headed, Shape::Conservative].map(|shape| shape as u8)
            [usize::from(shape) % 3];
        Self::new(shape, LARGE + size % (u8::MAX - LARGE + 1))
    }

    /// The first word: whose object it is, and for a headed one where its references begin.
    pub fn stamp(&self, id: Id) -> u64 {
        id << 16 | if self.shape == Shape::Headed { (self.slots.start as u64) << 1 } else { 0 }
    }

    /// A word of data. `salt` tells one writing of it from another.
    pub fn datum(id: Id, salt: u64, k: usize) -> u64 {
        (id << 12 ^ salt.wrapping_mul(0x9e37) ^ k as u64) << 1 & 0xffff_fffe
    }

    /// How an object of this shape refers to another.
    pub fn reference(&self, to: Address) -> u64 {
        match self.shape {
            Shape::Conservative => to.as_usize() as u64 + 11,
            _ => coded(to),
        }
    }
}

/// A reference in a place that the collector knows.
pub fn coded(to: Address) -> u64 {
    to.as_usize() as u64 | 1
}

/// The identity of the object here.
///
/// # Safety
/// A live object of a program, or one whose memory nobody has taken.
pub unsafe fn identity(at: Address) -> Id {
    // SAFETY: passed on to the caller.
    unsafe { at.as_ptr::<u64>().read() >> 16 }
}

/// The kinds of objects of a heap.
#[derive(Copy, Clone, Debug)]
pub struct Kinds {
    pair: Kind,
    bag: Kind,
    pub gate: Kind,
}

impl Kinds {
    pub fn new(heap: &Heap<Language>) -> Result<Self, Error> {
        Ok(Self {
            pair: heap.define_layout(Layout::mask(0b110))?,
            bag: heap.define_layout(Layout::native(BAG))?,
            gate: heap.define_layout(Layout::native(GATE))?,
        })
    }

    pub fn of(&self, shape: Shape) -> Kind {
        match shape {
            Shape::Leaf => Kind::LEAF,
            Shape::Uniform => Kind::UNIFORM,
            Shape::Pair => self.pair,
            Shape::Headed => Kind::HEADED,
            Shape::Conservative => Kind::CONSERVATIVE,
            Shape::Bag => self.bag,
        }
    }
}

/// The embedder.
#[derive(Debug)]
pub struct Language(pub Arc<Gate>);

// SAFETY: depends on the word alone; a program tags nothing but addresses of objects. What waits at the gate asks for the time and
// sleeps, which a worker may.
unsafe impl Embedder for Language {
    fn decode(&self, word: u64) -> Option<Address> {
        (word & 1 == 1).then(|| Address::new(word as usize - 1))
    }

    fn layout(&self, header: u64) -> Layout {
        Layout::leaf().with_tail((header >> 1 & 0x7fff) as u16)
    }

    fn trace(&self, id: u16, object: &Frozen<'_>, tracer: &mut Tracer<'_>) {
        if id == GATE {
            return self.0.pass(tracer);
        }
        let mut words = [0; 3];
        object.load(0, &mut words);
        let [_, bag, len] = words;
        for k in 0..len as usize / 2 {
            // SAFETY: the program's native memory, which outlives the heap; it is written to between safepoints only.
            tracer.word(unsafe { (bag as *const u64).add(k).read() });
        }
    }
}

/// Holds workers in the middle of their marking. It is the trace function of one object, and lies in memory that workers share.
#[derive(Debug)]
pub struct Gate {
    /// Whether it is closed; whether somebody has come to it since.
    shared: NonNull<[AtomicBool; 2]>,
    process: u32,
}

// SAFETY: two atomics, which are there as long as this is.
unsafe impl Send for Gate {}
// SAFETY: as above.
unsafe impl Sync for Gate {}

impl Gate {
    /// An open one.
    pub fn new() -> std::io::Result<Self> {
        // SAFETY: a new mapping, of zeroes.
        let page = unsafe {
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), 4096, access, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 0)
        };
        let shared = NonNull::new(page).filter(|page| page.as_ptr() != libc::MAP_FAILED);
        let shared = shared.ok_or_else(std::io::Error::last_os_error)?.cast();
        Ok(Self { shared, process: std::process::id() })
    }

    fn words(&self) -> &[AtomicBool; 2] {
        // SAFETY: mapped as long as this is.
        unsafe { self.shared.as_ref() }
    }

    pub fn close(&self) {
        let [closed, reached] = self.words();
        reached.store(false, SeqCst);
        closed.store(true, SeqCst);
    }

    pub fn open(&self) {
        self.words()[0].store(false, SeqCst);
    }

    /// Whether a worker has come to the gate since it was closed.
    pub fn is_reached(&self) -> bool {
        self.words()[1].load(SeqCst)
    }

    /// What a marker does here. Only a process of its own waits: elsewhere the world may be stopped.
    fn pass(&self, tracer: &mut Tracer<'_>) {
        let [closed, reached] = self.words();
        if !closed.load(SeqCst) || std::process::id() == self.process {
            return;
        }
        reached.store(true, SeqCst);
        let start = Instant::now();
        while closed.load(SeqCst) && tracer.goes_on() && start.elapsed() < MOST_AT_THE_GATE {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody has a reference.
        unsafe { libc::munmap(self.shared.as_ptr().cast(), 4096) };
    }
}
