//! Handles: roots one by one, for native code that keeps a reference.

use super::RootSet;
use crate::error::Error;
use crate::fallible;
use crate::weak::WeakRefs;
use palimpsest_runtime::Address;
use palimpsest_runtime::host_fork::stop_without_heap;
use palimpsest_runtime::sys::lock::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Slots in a chunk. A chunk never moves, so that a handle can keep a reference to its slot.
const CHUNK: usize = 256;

type Chunk = Arc<[AtomicUsize; CHUNK]>;

/// All slots of a heap. 0 is an empty one.
#[derive(Debug, Default)]
pub(crate) struct HandleTable {
    chunks: Vec<Chunk>,
    free: Vec<(u32, u16)>,
}

impl HandleTable {
    fn take(&mut self, object: Address) -> Result<(Chunk, (u32, u16)), Error> {
        if self.free.is_empty() {
            let k = self.chunks.len() as u32;
            // Room for all slots: giving one back never asks for memory.
            let has_room = self.chunks.try_reserve(1).is_ok()
                && self.free.try_reserve((self.chunks.len() + 1) * CHUNK).is_ok()
                && fallible::has_room(size_of::<[AtomicUsize; CHUNK]>() + 64);
            if !has_room {
                return Err(Error::NoMemory("a handle"));
            }
            self.chunks.push(Arc::new([const { AtomicUsize::new(0) }; CHUNK]));
            self.free.extend((0..CHUNK as u16).rev().map(|slot| (k, slot)));
        }
        // The list was just filled if it was empty.
        let at = self.free.pop().unwrap_or_default();
        let chunk = self.chunks[at.0 as usize].clone();
        chunk[at.1 as usize].store(object.as_usize(), Relaxed);
        Ok((chunk, at))
    }

    fn put(&mut self, at: (u32, u16)) {
        self.chunks[at.0 as usize][at.1 as usize].store(0, Relaxed);
        self.free.push(at);
    }

    /// Passes all referenced objects on.
    pub(crate) fn visit(&self, mut visit: impl FnMut(Address)) {
        for slot in self.chunks.iter().flat_map(|chunk| chunk.iter()) {
            match slot.load(Relaxed) {
                0 => {}
                object => visit(Address::new(object)),
            }
        }
    }
}

/// A reference from native code that keeps its object alive until it is dropped, or the heap goes away, which it does not keep: after
/// that, its address is that of no object, and all to be done with it is to drop it.
///
/// It is a root of the heap it was made for, whichever thread holds it. Reading and setting it are plain loads and
/// stores; a thread that sets it is attached, or has otherwise made sure that the object is alive.
#[derive(Debug)]
pub struct Handle {
    roots: Arc<dyn AsRoots>,
    chunk: Chunk,
    at: (u32, u16),
}

/// A heap, as far as handles and root ranges know it.
pub(crate) trait AsRoots: Send + Sync + std::fmt::Debug {
    /// Its roots; none in a child of the process that made the heap.
    fn roots(&self) -> Option<&Mutex<RootSet>>;
    /// Its weak references; likewise.
    fn weak_refs(&self) -> Option<&WeakRefs>;
}

impl Handle {
    pub(crate) fn new(roots: Arc<dyn AsRoots>, object: Address) -> Result<Self, Error> {
        let Some(own) = roots.roots() else { stop_without_heap("Heap::handle") };
        let (chunk, at) = own.lock().handles.take(object)?;
        Ok(Self { roots, chunk, at })
    }

    /// The object.
    #[inline]
    pub fn get(&self) -> Address {
        Address::new(self.chunk[self.at.1 as usize].load(Relaxed))
    }

    /// Makes this a reference to another object.
    #[inline]
    pub fn set(&self, object: Address) {
        self.chunk[self.at.1 as usize].store(object.as_usize(), Relaxed);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(roots) = self.roots.roots() {
            roots.lock().handles.put(self.at);
        }
    }
}
