//! Kinds: which words of an object are references.

use crate::heap::{Shared, palimpsest_heap};
use crate::opaque::{lend, out};
use crate::status::{Answer, Status, entry, fail, failed, palimpsest_status};
use palimpsest::Kind;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How an object is traced: one of the constants, or what `palimpsest_define_layout` or `palimpsest_define_traced` gave.
pub type palimpsest_kind = u8;

/// No references. Such objects are never write-protected: kernel I/O into them works.
pub const PALIMPSEST_LEAF: palimpsest_kind = 1;
/// Every word goes through the codec.
pub const PALIMPSEST_UNIFORM: palimpsest_kind = 2;
/// Any word may be a reference, also one into the middle of an object.
pub const PALIMPSEST_CONSERVATIVE: palimpsest_kind = 3;
/// The function of `palimpsest_config_layouts` tells the layout from the object's first word; without one, every word goes
/// through the codec.
pub const PALIMPSEST_HEADED: palimpsest_kind = 4;

/// The `tail` of a layout that has none.
pub const PALIMPSEST_NO_TAIL: u16 = u16::MAX;

/// Which words of an object are references. Each goes through the codec.
#[repr(C)]
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct palimpsest_layout {
    /// Bit `i` is set if word `i` is a reference, of the first 64.
    pub mask: u64,
    /// Besides, all words from this one on; `PALIMPSEST_NO_TAIL` for none.
    pub tail: u16,
    /// Instead of all that, the trace function of this number, which `palimpsest_config_trace` gave; 0 for none.
    pub traced_by: u16,
}

impl palimpsest_layout {
    pub(crate) const NO_TAIL: u16 = PALIMPSEST_NO_TAIL;

    /// The bytes that an object has at least: up to its last reference.
    fn least(&self) -> usize {
        8 * (u64::BITS - self.mask.leading_zeros()) as usize
    }
}

/// Tells the layout of a headed object from its first word. It runs in a forked worker, where other threads do not exist: it takes
/// no lock, allocates nothing, writes nothing, and depends on nothing that changes. It has an answer for every word, also for
/// one that no object's header can be.
pub type palimpsest_layout_function =
    Option<unsafe extern "C" fn(header: u64, data: *mut c_void) -> palimpsest_layout>;

/// The function, and what it is called with.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Layouts {
    pub(crate) function: unsafe extern "C" fn(header: u64, data: *mut c_void) -> palimpsest_layout,
    pub(crate) data: *mut c_void,
}

// SAFETY: the pointer is the user's, who knows on which threads the function is called.
unsafe impl Send for Layouts {}
// SAFETY: likewise.
unsafe impl Sync for Layouts {}

impl Layouts {
    #[inline]
    pub(crate) fn of(&self, header: u64) -> palimpsest_layout {
        // SAFETY: the user's function, with what the user gave for it.
        unsafe { (self.function)(header, self.data) }
    }
}

/// The kinds of a heap, by the number that C has: how many bytes an object has at least, [`Kinds::UNDEFINED`] for what is none.
#[derive(Debug)]
pub(crate) struct Kinds([AtomicUsize; 16]);

impl Kinds {
    const UNDEFINED: usize = usize::MAX;

    pub(crate) fn new() -> Self {
        let predefined = PALIMPSEST_LEAF..=PALIMPSEST_HEADED;
        let least = |kind: usize| if predefined.contains(&(kind as u8)) { 0 } else { Self::UNDEFINED };
        Self(std::array::from_fn(|kind| AtomicUsize::new(least(kind))))
    }

    /// The collector's name of a kind, for an object of so many bytes.
    #[inline(always)]
    pub(crate) fn of(&self, kind: palimpsest_kind, bytes: usize) -> Answer<Kind> {
        let known = match self.0.get(usize::from(kind)) {
            // Relaxed: whoever has a kind's number has synchronised with the thread that defined it.
            Some(least) if bytes >= least.load(Relaxed) => Kind::from_number(kind),
            _ => None,
        };
        known.ok_or_else(|| self.refuse(kind, bytes))
    }

    #[cold]
    fn refuse(&self, kind: palimpsest_kind, bytes: usize) -> Status {
        let least = self.0.get(usize::from(kind)).map_or(Self::UNDEFINED, |least| least.load(Relaxed));
        if least == Self::UNDEFINED {
            let why =
                format_args!("{kind} is no kind of this heap; use a constant, or what defined a layout gave");
            return fail(Status::PALIMPSEST_INVALID, why);
        }
        let why = format_args!(
            "an object of kind {kind} has {least} bytes at least, for its references; not {bytes}"
        );
        fail(Status::PALIMPSEST_INVALID, why)
    }

    /// Notes a kind that the heap has defined, and returns its number.
    pub(crate) fn add(&self, kind: Kind, least: usize) -> palimpsest_kind {
        let number = kind.number();
        self.0[usize::from(number)].store(least, Relaxed);
        number
    }
}

/// Defines which words of objects of a new kind are references. For objects without a header, at most 11 a heap together with
/// those of `palimpsest_define_traced`; further types have one, and are `PALIMPSEST_HEADED`.
///
/// An object of the kind is allocated with room for all references that `mask` names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn palimpsest_define_layout(
    heap: *const palimpsest_heap,
    mask: u64,
    tail: u16,
    kind: *mut palimpsest_kind,
) -> palimpsest_status {
    entry(|| {
        // SAFETY: what C passes; see the crate.
        let (heap, kind) = unsafe { (lend(heap)?, out(kind, "kind")?) };
        heap.must_be_here()?;
        let layout = palimpsest_layout { mask, tail, traced_by: 0 };
        kind.write(define(heap, layout.into(), layout.least())?);
        Ok(())
    })
}

/// Defines a kind.
pub(crate) fn define(heap: &Shared, layout: palimpsest::Layout, least: usize) -> Answer<palimpsest_kind> {
    let kind = heap.heap.define_layout(layout).map_err(|why| failed(&why))?;
    Ok(heap.kinds.add(kind, least))
}

const _: () = {
    // What C has as constants is what the collector calls so.
    assert!(Kind::LEAF.number() == PALIMPSEST_LEAF && Kind::UNIFORM.number() == PALIMPSEST_UNIFORM);
    assert!(
        Kind::CONSERVATIVE.number() == PALIMPSEST_CONSERVATIVE && Kind::HEADED.number() == PALIMPSEST_HEADED
    );
};
