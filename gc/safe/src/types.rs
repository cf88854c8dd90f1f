//! What is known of a type when its objects are made, traced and dropped.
//!
//! # Objects of a native shape
//! begin with a header: the number of their type in the heap's table of types, in front of the value. The header 0 is that of an object
//! whose value has been dropped: its bytes are still there, and a cycle of the young may look at them, but nothing in them may be
//! followed, since the memory that the value owned is gone.
//!
//! # The table
//! is read without a lock by the collector's thread, and in the forked worker, where no lock can be taken. It is written by the arena's
//! thread, only ever at its end. It consists of chunks that stay where they are. An entry is stored before the length that covers it
//! (release), and read after it (acquire). Numbers that the table does not have are no mistake: where marking runs out of room,
//! the collector asks about words that never were a header.

use crate::shape::Shape;
use crate::traces::Trace;
use palimpsest::{Address, Embedder, Frozen, Layout, Tracer};
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// The largest value of a native shape, in bytes. It is copied to the collector's stack to be traced.
const LARGEST_NATIVE: usize = 64 << 10;

/// Bytes of a header.
const HEADER: usize = size_of::<u64>();

/// Constants of a type.
pub(crate) struct Of<T>(PhantomData<T>);

impl<T: Trace> Of<T> {
    /// Whether objects have a header.
    pub(crate) const IS_NATIVE: bool = matches!(T::SHAPE, Shape::Native { .. });

    /// Where the value is in the object.
    pub(crate) const OFFSET: usize = {
        assert!(align_of::<T>() <= 16, "values in an arena are aligned to 16 bytes at most");
        assert!(
            !Self::IS_NATIVE || size_of::<T>() <= LARGEST_NATIVE,
            "a value of more than 64 KiB that is traced by its own code has to be in a `Box` or a `Vec`"
        );
        match Self::IS_NATIVE {
            true if align_of::<T>() > HEADER => align_of::<T>(),
            true => HEADER,
            false => 0,
        }
    };

    /// Bytes of the object.
    pub(crate) const BYTES: usize = Self::OFFSET + size_of::<T>();

    /// Whether there may be references in memory outside of the object.
    pub(crate) const IS_EXTERNAL: bool = matches!(T::SHAPE, Shape::Native { external: true });

    /// Whether the collector is to say when an object is unreachable.
    pub(crate) const IS_REGISTERED: bool = Self::IS_EXTERNAL || std::mem::needs_drop::<T>();

    /// The same for the time after.
    pub(crate) fn info() -> &'static TypeInfo {
        const {
            &TypeInfo {
                offset: Self::OFFSET,
                is_native: Self::IS_NATIVE,
                trace: trace_frozen::<T>,
                drop: if std::mem::needs_drop::<T>() { Some(drop_value::<T>) } else { None },
            }
        }
    }
}

/// What has to be known of a type to trace its objects and to drop their values.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[allow(
    unpredictable_function_pointer_comparisons,
    reason = "functions that are one do the same, and types that are taken for two cost a number"
)]
pub(crate) struct TypeInfo {
    offset: usize,
    is_native: bool,
    trace: unsafe fn(&Frozen<'_>, &mut Tracer<'_>),
    drop: Option<unsafe fn(NonNull<u8>)>,
}

impl TypeInfo {
    /// As the collector keeps it with a registration.
    pub(crate) fn token(&'static self) -> u64 {
        std::ptr::from_ref(self).expose_provenance() as u64
    }

    /// # Safety
    /// The token is from [`TypeInfo::token`].
    pub(crate) unsafe fn of_token(token: u64) -> &'static Self {
        // SAFETY: as the caller promises.
        unsafe { &*std::ptr::with_exposed_provenance(token as usize) }
    }

    /// Drops the value of an object, after which nothing in it is followed any more.
    ///
    /// # Safety
    /// A live object with a value of this type, which nobody refers to and nobody has dropped. The thread is inside the arena.
    pub(crate) unsafe fn drop_in(&self, object: NonNull<u8>) {
        if self.is_native {
            // First: the drop may panic half-way.
            // SAFETY: the header of a native object.
            unsafe { object.cast::<u64>().write(0) };
        }
        if let Some(drop) = self.drop {
            // SAFETY: as the caller promises.
            unsafe { drop(object.add(self.offset)) };
        }
    }
}

/// # Safety
/// A valid `T` that is not used again.
unsafe fn drop_value<T>(value: NonNull<u8>) {
    // SAFETY: as the caller promises.
    unsafe { value.cast::<T>().drop_in_place() }
}

/// Room for a copy of a value, in whole words.
#[repr(C, align(16))]
struct Room<T> {
    value: MaybeUninit<T>,
    /// Whatever the value's size leaves over of its last word is in here.
    rest: u64,
}

/// Traces a copy of an object's value. Runs in the worker: takes nothing but stack.
///
/// # Safety
/// The object was made for a `T`, which has not been dropped.
unsafe fn trace_frozen<T: Trace>(object: &Frozen<'_>, tracer: &mut Tracer<'_>) {
    let mut room = Room::<T> { value: MaybeUninit::uninit(), rest: 0 };
    let words = size_of::<T>().div_ceil(8);
    let first: *mut u64 = (&raw mut room).cast();
    // SAFETY: `words` words are within the room, which is aligned, and they are written before there is a reference to them.
    let copy = unsafe {
        first.write_bytes(0, words);
        std::slice::from_raw_parts_mut(first, words)
    };
    object.load(Of::<T>::OFFSET / 8, copy);
    // SAFETY: the bytes of a value as it was between two calls of `mutate`. `trace` only reads, and does not mind that this is
    // a copy; it is not dropped.
    unsafe { room.value.assume_init_ref() }.trace(tracer);
}

/// Types in a chunk, and chunks.
const CHUNK: usize = 256;
const CHUNKS: usize = 256;

type Chunk = [AtomicPtr<TypeInfo>; CHUNK];

/// The types with a header that a heap has objects of; and how references look: a word is the address of an object, or null.
///
/// Of use to nobody but an [`Arena`](crate::Arena); it is named by [`ArenaBuilder::configure`](crate::ArenaBuilder::configure).
pub struct Types {
    chunks: [OnceLock<Box<Chunk>>; CHUNKS],
    len: AtomicUsize,
}

impl Types {
    pub(crate) fn new() -> Self {
        Self { chunks: [const { OnceLock::new() }; CHUNKS], len: AtomicUsize::new(0) }
    }

    fn get(&self, at: usize) -> Option<&'static TypeInfo> {
        // Pairs with the release in `number`.
        if at >= self.len.load(Acquire) {
            return None;
        }
        let info = self.chunks.get(at / CHUNK)?.get()?[at % CHUNK].load(Relaxed);
        // SAFETY: below the length there are types that were added.
        unsafe { info.as_ref() }
    }

    /// The number of a type, from 1 on. Called by the arena's thread only.
    ///
    /// # Panics
    /// Where there are 65,536 others.
    #[cold]
    pub(crate) fn number(&self, info: &'static TypeInfo) -> u64 {
        let len = self.len.load(Relaxed);
        // The same type may come from several places in the program, each with a constant of its own.
        if let Some(known) = (0..len).find(|at| self.get(*at) == Some(info)) {
            return known as u64 + 1;
        }
        let chunk = self.chunks.get(len / CHUNK).expect("at most 65,536 types in an arena");
        let chunk = chunk.get_or_init(|| Box::new([const { AtomicPtr::new(null_mut()) }; CHUNK]));
        chunk[len % CHUNK].store(std::ptr::from_ref(info).cast_mut(), Relaxed);
        // Pairs with the acquire in `get`.
        self.len.store(len + 1, Release);
        len as u64 + 1
    }
}

impl fmt::Debug for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Types({})", self.len.load(Relaxed))
    }
}

// SAFETY: `decode` depends on the word alone, and words of the shapes that use it are `Gc`s or null. No method allocates, locks or panics.
unsafe impl Embedder for Types {
    #[inline(always)]
    fn decode(&self, word: u64) -> Option<Address> {
        if word == 0 { None } else { Some(Address::new(word as usize)) }
    }

    fn layout(&self, header: u64) -> Layout {
        match header.checked_sub(1) {
            Some(at) if (at as usize) < self.len.load(Acquire) && at <= u64::from(u16::MAX) => {
                Layout::native(at as u16)
            }
            _ => Layout::leaf(),
        }
    }

    fn trace(&self, id: u16, object: &Frozen<'_>, tracer: &mut Tracer<'_>) {
        if let Some(info) = self.get(id.into()) {
            // SAFETY: an object whose header has the number of this type. Its value is whole: cycles begin between calls of
            // `mutate`; the header is 0 from before the value is dropped.
            unsafe { (info.trace)(object, tracer) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Gc;
    use std::cell::RefCell;
    use std::mem::ManuallyDrop;
    use std::rc::Rc;

    type Cells<'gc> = RefCell<Vec<Gc<'gc, u64>>>;

    #[test]
    fn a_native_value_has_a_header_in_front_of_it() {
        assert_eq!((Of::<u64>::OFFSET, Of::<u64>::BYTES), (0, 8));
        assert_eq!((Of::<()>::OFFSET, Of::<()>::BYTES), (0, 0));
        assert_eq!(Of::<Cells<'_>>::OFFSET, 8);
        assert_eq!(Of::<Cells<'_>>::BYTES, 8 + size_of::<Cells<'_>>());
        #[repr(align(16))]
        struct Aligned;
        // SAFETY: no references.
        unsafe impl Trace for Aligned {
            const SHAPE: Shape = Shape::Native { external: false };
            fn trace(&self, _: &mut Tracer<'_>) {}
        }
        assert_eq!(Of::<Aligned>::OFFSET, 16);
    }

    #[test]
    fn every_type_has_one_number_and_unknown_headers_have_no_references() {
        let types = Types::new();
        let (one, two) = (Of::<Cells<'_>>::info(), Of::<RefCell<Option<Gc<'_, u64>>>>::info());
        assert_eq!([one, two, one].map(|info| types.number(info)), [1, 2, 1]);
        assert_eq!(types.layout(2), Layout::native(1));
        for header in [0, 3, 1 << 16, 1 << 40, u64::MAX] {
            assert_eq!(types.layout(header), Layout::leaf());
        }
    }

    #[test]
    fn the_table_grows_by_chunks() {
        let types = Types::new();
        // More than a chunk. Each is looked for among all others, which takes an interpreter its time.
        let count = if cfg!(miri) { CHUNK + 4 } else { 2 * CHUNK + 100 };
        static INFOS: OnceLock<Vec<TypeInfo>> = OnceLock::new();
        let info = |offset| TypeInfo { offset, ..*Of::<Cells<'_>>::info() };
        let infos = INFOS.get_or_init(|| (0..count).map(info).collect());
        for (k, info) in infos.iter().enumerate() {
            assert_eq!(types.number(info), k as u64 + 1);
        }
        assert!(infos.iter().enumerate().all(|(k, info)| types.get(k) == Some(info)));
        assert_eq!(types.get(count), None);
    }

    #[test]
    fn a_value_is_dropped_in_its_place_and_not_followed_afterwards() {
        type Value<'gc> = RefCell<(Vec<Gc<'gc, u64>>, Rc<()>)>;
        #[repr(C)]
        struct Object<'gc> {
            header: u64,
            value: ManuallyDrop<Value<'gc>>,
        }
        let counted = Rc::new(());
        let mut object =
            Object { header: 7, value: ManuallyDrop::new(RefCell::new((Vec::new(), counted.clone()))) };
        assert_eq!(std::mem::offset_of!(Object<'_>, value), Of::<Value<'_>>::OFFSET);
        // SAFETY: an object as they are in the heap, of which nobody has a reference.
        unsafe { Of::<Value<'_>>::info().drop_in(NonNull::from(&mut object).cast()) };
        assert_eq!((Rc::strong_count(&counted), object.header), (1, 0));
    }
}
