//! What can be asked of a heap: figures, and texts.

use crate::cycles::{self, fill};
use crate::heap::palimpsest_heap;
use crate::opaque::{lend, null, out, out_or_none, store};
use crate::status::{Status, entry, fail, failed, palimpsest_status};
use std::ffi::c_char;

/// What a heap has done since it was made, and what it occupies. The caller sets `size`.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct palimpsest_stats {
    /// `sizeof(palimpsest_stats)`. After the call, how much of it is set.
    pub size: usize,
    /// Cycles that ended well.
    pub cycles: u64,
    /// Those of them that were of the young.
    pub young_cycles: u64,
    /// Cycles that marked in the stopped world although the heap is set to do better.
    pub fallbacks: u64,
    /// Cycles that failed.
    pub failures: u64,
    /// Collector pauses: half were not longer, in milliseconds.
    pub pause_p50_ms: f64,
    /// Collector pauses: 99 of 100 were not longer.
    pub pause_p99_ms: f64,
    /// The longest collector pause.
    pub pause_max_ms: f64,
    /// All pauses together.
    pub pause_total_ms: f64,
    /// Time from snapshots to the end of marking, all cycles together, in milliseconds.
    pub mark_ms: f64,
    /// CPU time of workers, in milliseconds.
    pub worker_cpu_ms: f64,
    /// Writes that trapped.
    pub trapped_pages: u64,
    /// Pre-images stored.
    pub preimages: u64,
    /// Objects marked, all cycles together.
    pub marked_objects: u64,
    /// Bytes of objects marked, all cycles together.
    pub marked_bytes: u64,
    /// Bytes allocated since the heap was made, as far as threads have reported them.
    pub allocated_bytes: u64,
    /// Memory of the heap in use now, garbage not yet found included.
    pub used_bytes: u64,
    /// Most memory of the heap in use at the end of a cycle.
    pub peak_used_bytes: u64,
    /// The heap limit.
    pub limit_bytes: u64,
    /// Populated memory of the heap.
    pub resident_bytes: u64,
    /// Populated memory beside the heap: metadata, page states, pre-images, packets of references.
    pub tables_bytes: u64,
    /// Memory of free blocks given back to the system since the heap was made.
    pub returned_bytes: u64,
    /// Weak references that were cut, all cycles together.
    pub weak_refs_cleared: u64,
    /// Entries of dead objects that were removed from weak maps, all cycles together.
    pub weak_entries_cleared: u64,
    /// Registrations for finalization that there are now, and are not queued.
    pub finalizers_registered: u64,
    /// Registrations that are in the queue now.
    pub finalizable: u64,
}

// SAFETY: `repr(C)`, and numbers alone.
unsafe impl cycles::Grows for palimpsest_stats {
    const NAME: &'static str = "palimpsest_stats";
    const FIRST: usize = size_of::<Self>();
}

/// What the whole process occupies, in bytes, as the kernel counts it. The caller sets `size`.
#[repr(C)]
#[derive(Copy, Clone, Debug)]
pub struct palimpsest_footprint {
    /// `sizeof(palimpsest_footprint)`. After the call, how much of it is set.
    pub size: usize,
    /// All populated memory in the process's page tables, shared or not (`Rss`).
    pub resident: u64,
    /// The same, with memory that several processes map divided among them (`Pss`).
    pub proportional: u64,
    /// What no other process maps.
    pub private_bytes: u64,
    /// Of the resident set, what the objects of this heap occupy, garbage and free blocks included.
    pub heap: u64,
    /// The most that a worker of this heap was seen to have for itself; 0 where none was seen.
    pub worker_private_peak: u64,
}

// SAFETY: `repr(C)`, and numbers alone.
unsafe impl cycles::Grows for palimpsest_footprint {
    const NAME: &'static str = "palimpsest_footprint";
    const FIRST: usize = size_of::<Self>();
}

/// Stores what the heap has done. What is populated is asked of the kernel: about a millisecond for each gibibyte in use.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_heap_stats(
    heap: *const palimpsest_heap,
    stats: *mut palimpsest_stats,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let heap = unsafe { lend(heap)? };
        heap.must_be_here()?;
        let now = heap.heap.stats();
        let all = palimpsest_stats {
            size: size_of::<palimpsest_stats>(),
            cycles: now.cycles,
            young_cycles: now.young_cycles,
            fallbacks: now.fallbacks,
            failures: now.failures,
            pause_p50_ms: now.pause_p50_ms,
            pause_p99_ms: now.pause_p99_ms,
            pause_max_ms: now.pause_max_ms,
            pause_total_ms: now.pause_total_ms,
            mark_ms: now.mark_ms,
            worker_cpu_ms: now.worker_cpu_ms,
            trapped_pages: now.trapped_pages,
            preimages: now.preimages,
            marked_objects: now.marked_objects,
            marked_bytes: now.marked_bytes,
            allocated_bytes: now.allocated_bytes,
            used_bytes: now.used_bytes,
            peak_used_bytes: now.peak_used_bytes,
            limit_bytes: now.limit_bytes,
            resident_bytes: now.resident_bytes,
            tables_bytes: now.tables_bytes,
            returned_bytes: now.returned_bytes,
            weak_refs_cleared: now.weak_refs_cleared,
            weak_entries_cleared: now.weak_entries_cleared,
            finalizers_registered: now.finalizers_registered,
            finalizable: now.finalizable,
        };
        // SAFETY: what C passes; see the crate.
        unsafe { fill(stats, all) }
    })
}

/// Stores how long ago the heap was made, in milliseconds: the clock of `began_ms` in pauses and cycles.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_heap_age(
    heap: *const palimpsest_heap,
    ms: *mut f64,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (heap, place) = unsafe { (lend(heap)?, out(ms, "ms")?) };
        heap.must_be_here()?;
        place.write(heap.heap.age().as_secs_f64() * 1e3);
        Ok(())
    })
}

/// Stores what the process occupies. The kernel walks all of its page tables for that: milliseconds, for a large process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_heap_footprint(
    heap: *const palimpsest_heap,
    footprint: *mut palimpsest_footprint,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let heap = unsafe { lend(heap)? };
        heap.must_be_here()?;
        let now = heap.heap.footprint().map_err(|why| failed(&why))?;
        let all = palimpsest_footprint {
            size: size_of::<palimpsest_footprint>(),
            resident: now.resident.0 as u64,
            proportional: now.proportional.0 as u64,
            private_bytes: now.private.0 as u64,
            heap: now.heap.0 as u64,
            worker_private_peak: now.worker_private_peak.map_or(0, |bytes| bytes.0 as u64),
        };
        // SAFETY: what C passes; see the crate.
        unsafe { fill(footprint, all) }
    })
}

/// A text about a heap, for `palimpsest_heap_text`.
pub type palimpsest_text = u32;

/// The statistics, in some lines for people.
pub const PALIMPSEST_TEXT_STATS: palimpsest_text = 0;
/// How the heap keeps its snapshots: `preimage/signal/user-call`, for one.
pub const PALIMPSEST_TEXT_RUNG: palimpsest_text = 1;
/// The same with all that was tried before it, and why that was refused.
pub const PALIMPSEST_TEXT_LADDER: palimpsest_text = 2;
/// Why the heap does less than it was asked to; empty if it does not.
pub const PALIMPSEST_TEXT_DEGRADED: palimpsest_text = 3;
/// Why the last cycle that fell back or failed did so; empty if none has.
pub const PALIMPSEST_TEXT_TROUBLE: palimpsest_text = 4;
/// The options that the heap was made with and that are not as they would be by themselves, as an options string.
pub const PALIMPSEST_TEXT_OPTIONS: palimpsest_text = 5;

/// Stores a text in `buffer`, of `size` bytes, as much as there is room for with a NUL at its end; and in `needed`, unless that is
/// NULL, the bytes that all of it needs, with the NUL. `buffer` may be NULL if `size` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_heap_text(
    heap: *const palimpsest_heap,
    text: palimpsest_text,
    buffer: *mut c_char,
    size: usize,
    needed: *mut usize,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let needed = unsafe { out_or_none(needed, "needed")? };
        // SAFETY: what C passes; see the crate.
        let heap = unsafe { lend(heap)? };
        heap.must_be_here()?;
        if buffer.is_null() && size > 0 {
            return Err(null("buffer"));
        }
        let heap = &heap.heap;
        let text = match text {
            PALIMPSEST_TEXT_STATS => heap.stats().to_string(),
            PALIMPSEST_TEXT_RUNG => heap.ladder().chosen().to_string(),
            PALIMPSEST_TEXT_LADDER => heap.ladder().to_string(),
            PALIMPSEST_TEXT_DEGRADED => heap.stats().degraded.unwrap_or_default(),
            PALIMPSEST_TEXT_TROUBLE => heap.stats().last_trouble.unwrap_or_default(),
            PALIMPSEST_TEXT_OPTIONS => heap.options(),
            _ => return Err(fail(Status::PALIMPSEST_INVALID, format_args!("{text} is no text of a heap"))),
        };
        if let Some(room) = size.checked_sub(1) {
            let stored = room.min(text.len());
            // SAFETY: as long as the caller says.
            unsafe { buffer.cast::<u8>().copy_from_nonoverlapping(text.as_ptr(), stored) };
            // SAFETY: behind what was stored, at most at the end.
            unsafe { buffer.cast::<u8>().add(stored).write(0) };
        }
        store(needed, text.len() + 1);
        Ok(())
    })
}
