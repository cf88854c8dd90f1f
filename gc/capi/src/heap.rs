//! Heaps.

use crate::codec::Codec;
use crate::config::palimpsest_config;
use crate::events::Listening;
use crate::kinds::Kinds;
use crate::opaque::{ANYBODY, Shell, close, lend, opaque, open, out};
use crate::status::{Answer, Status, entry, fail, failed, palimpsest_status};
use palimpsest::Heap;
use palimpsest_runtime::host_fork::Generation;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// A heap. Any thread may use it.
pub struct palimpsest_heap(Shell<Arc<Shared>>);
opaque!(palimpsest_heap, Arc<Shared>, b"heap");

/// What a heap and its mutators share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) heap: Heap<Codec>,
    pub(crate) kinds: Kinds,
    pub(crate) listening: Vec<Listening>,
    /// The process that was last found to have the heap, by its number among forks: so that each asks once.
    here: AtomicU64,
}

impl Shared {
    /// Refuses what a child that has no heap would be ended for.
    #[inline(always)]
    pub(crate) fn must_be_here(&self) -> Answer {
        let process = Generation::current().number();
        // Relaxed: it changes where a child has one thread, or by threads that all store the same.
        if self.here.load(Relaxed) == process { Ok(()) } else { self.ask(process) }
    }

    /// Whether a child has a copy is known to the library itself.
    #[cold]
    fn ask(&self, process: u64) -> Answer {
        if !self.heap.is_here() {
            let why = palimpsest_runtime::Error::NoHeapInChild;
            return Err(fail(Status::PALIMPSEST_NO_HEAP_IN_CHILD, format_args!("{why}")));
        }
        self.here.store(process, Relaxed);
        Ok(())
    }
}

/// A heap that something was made for which does not keep it.
#[derive(Clone, Debug)]
pub(crate) struct Of(Weak<Shared>);

impl Of {
    pub(crate) fn new(heap: &Arc<Shared>) -> Self {
        Self(Arc::downgrade(heap))
    }

    /// Refuses a heap that is gone.
    pub(crate) fn must_live(&self) -> Answer {
        match self.0.upgrade() {
            Some(heap) => heap.must_be_here(),
            None => Err(fail(
                Status::PALIMPSEST_HEAP_GONE,
                format_args!("its heap has been freed, and has no mutator; free this as well"),
            )),
        }
    }

    /// Refuses a mutator of another heap.
    pub(crate) fn must_be(&self, heap: &Arc<Shared>) -> Answer {
        if std::ptr::eq(self.0.as_ptr(), Arc::as_ptr(heap)) {
            return Ok(());
        }
        self.must_live()?;
        Err(fail(
            Status::PALIMPSEST_WRONG_HEAP,
            format_args!("this belongs to another heap than the mutator"),
        ))
    }
}

/// Makes a heap, and starts its collector's thread. It is freed by `palimpsest_heap_free`.
///
/// Fails where an option has a value that it does not take, a limit does not allow a heap of this size, memory or a thread
/// cannot be had, or a rung is forced that this machine does not have. Where none is forced, a machine without a write barrier is no
/// error: `PALIMPSEST_TEXT_DEGRADED` says so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_heap_new(
    config: *const palimpsest_config,
    heap: *mut *mut palimpsest_heap,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (config, place) = unsafe { (lend(config)?, out(heap, "heap")?) };
        let (builder, listening) = config.borrow().builder()?;
        let heap = builder.build().map_err(|why| failed(&why))?;
        let here = AtomicU64::new(Generation::current().number());
        let shared = Shared { heap, kinds: Kinds::new(), listening, here };
        place.write(open(Arc::new(shared), ANYBODY)?.as_ptr());
        Ok(())
    })
}

/// Frees a heap. It lives on until its last mutator is detached; this pointer is not used again. What was made for it
/// (handles, root ranges, weak references and maps) is freed before or after. NULL is no error.
///
/// Waits until the collector's thread has ended, where this was the last that held the heap. Nothing is finalized:
/// `palimpsest_finalizers_queue_all` is for that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_heap_free(heap: *mut palimpsest_heap) -> palimpsest_status {
    // SAFETY: what C passes; see the crate.
    entry(|| unsafe { close(heap) }.map(drop))
}

/// The most bytes that the heap uses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_heap_limit(
    heap: *const palimpsest_heap,
    bytes: *mut usize,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (heap, bytes) = unsafe { (lend(heap)?, out(bytes, "bytes")?) };
        bytes.write(heap.heap.limit().0);
        Ok(())
    })
}
