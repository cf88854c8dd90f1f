//! One arena's heap and its only thread: where objects get their room, and when that thread waits for the collector.
//!
//! The thread is in one of three states as the collector sees it:
//!
//! ```text
//!   outside ──mutate──▶ pinned: no safepoint whatever it does ──return──▶ outside
//!      └───collect───▶ inside: waits for a cycle ───────────────────────▶ outside
//! ```
//!
//! Outside the collector does not wait for it; cycles begin there, and nowhere else. So a cycle never sees a value half
//! changed, and what only the stack refers to, inside [`Arena::mutate`](crate::Arena::mutate), is safe from all cycles.
//!
//! # Room
//! Since nothing can be waited for in a call of `mutate`, the heap is looked at before one, and collected where it is nearly full.
//! Asking how full it is takes the kernel some time; so it is asked only after as much has been allocated as may have filled half of what
//! was left. A heap that is full of what is alive is not collected each time, but when half of its rest has been used.
//!
//! # Values that are dropped
//! Objects whose values are to be dropped are registered with the collector, which queues those that it finds unreachable. The thread
//! takes them from the queue at the end of each call: some of them, so that a call stays short; the longer the queue is, the more.
//! Where the heap is collected before a call they are dropped there, for their room; what one panics with then waits for the
//! end, so that a panic never leaves open whether the call was made.

use crate::gc::Brand;
use crate::shape::Shape;
use crate::traces::Trace;
use crate::types::{Of, TypeInfo, Types};
use palimpsest::{Address, CycleRecord, GRANULE, Heap, Kind, Layout, Mutator, OutOfMemory};
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{NonNull, null};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Values dropped at the end of a call, at most, while not many wait: some microseconds' work. An eighth of them if they are many.
const DROPS: usize = 256;

/// Collections after an allocation has failed: one before the next call, and one before the call after it where the first found
/// nothing, since a program that has run out of room lets something go in the next call.
const TRIES: u8 = 2;

/// Places in the caches of kinds and of numbers. Types that share one take turns.
const PLACES: usize = 64;

/// The right to make objects in an arena, and what goes with it: given to the function that [`Arena::mutate`](crate::Arena::mutate)
/// calls, for that call.
#[repr(transparent)]
pub struct Mutation<'gc> {
    context: Context,
    brand: Brand<'gc>,
}

impl Mutation<'_> {
    #[inline(always)]
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }
}

impl fmt::Debug for Mutation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mutation of {:?}", self.context)
    }
}

/// An arena without its root.
pub(crate) struct Context {
    /// Borrowed for the time of one call into the collector, which calls nothing of the arena's.
    mutator: UnsafeCell<Mutator<Types>>,
    /// The kind of objects by mask, and the number of a type in the heap's table: found before.
    kinds: [Cell<(u64, Kind)>; PLACES],
    numbers: [Cell<(*const TypeInfo, u64)>; PLACES],
    /// All masks that have a kind, with it.
    layouts: Cell<[(u64, Kind); Kind::LAYOUTS]>,
    /// Bytes allocated since the heap was last looked at, and at how many to look again.
    allocated: Cell<usize>,
    look_at: Cell<usize>,
    /// Calls that are to begin with a collection, since an allocation has failed: [`TRIES`].
    short: Cell<u8>,
    /// Among all arenas of the process.
    pub(crate) id: u64,
}

/// What somebody panicked with.
type Panic = Box<dyn Any + Send>;

/// Ends what a call began, also when it unwinds.
pub(crate) struct Inside<'c> {
    context: &'c Context,
    /// Of a value that was dropped before the call.
    panicked: Option<Panic>,
}

impl Inside<'_> {
    /// The end of a call that returns: drops values that nobody can reach any more, or passes on what one panicked with that was
    /// dropped before.
    #[inline]
    pub(crate) fn finish(mut self) {
        if let Some(panic) = self.panicked.take() {
            resume_unwind(panic);
        }
        self.context.drop_some();
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.context.with_mutator(Mutator::step_out);
        // Where the call has panicked itself. Whoever panics with a value whose drop panics is not to be humoured.
        std::mem::forget(self.panicked.take());
    }
}

impl Context {
    pub(crate) fn new(mut mutator: Mutator<Types>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        mutator.step_out();
        Self {
            mutator: UnsafeCell::new(mutator),
            kinds: [const { Cell::new((0, Kind::LEAF)) }; PLACES],
            numbers: [const { Cell::new((null(), 0)) }; PLACES],
            layouts: Cell::new([(0, Kind::LEAF); Kind::LAYOUTS]),
            allocated: Cell::new(0),
            look_at: Cell::new(0),
            short: Cell::new(0),
            id: NEXT.fetch_add(1, Relaxed),
        }
    }

    /// The same, as it is given to a call. The brand is the caller's choice, and one that nobody else has: a lifetime of a
    /// function that is called for every lifetime.
    #[inline(always)]
    pub(crate) fn branded<'gc>(&'gc self) -> &'gc Mutation<'gc> {
        // SAFETY: a transparent wrapper.
        unsafe { &*std::ptr::from_ref(self).cast() }
    }

    pub(crate) fn heap(&self) -> &Heap<Types> {
        // SAFETY: the heap that a mutator belongs to never changes, and is borrowed while no call into the collector is at work.
        unsafe { &*self.mutator.get() }.heap()
    }

    /// Calls into the collector.
    #[inline(always)]
    pub(crate) fn with_mutator<R>(&self, call: impl FnOnce(&mut Mutator<Types>) -> R) -> R {
        // SAFETY: one thread, and `call` does nothing but call into the collector, which comes back to nothing of the arena's.
        call(unsafe { &mut *self.mutator.get() })
    }

    /// Begins a call in which nothing is collected. Collects before, where there is little room. Does not panic, whatever values do
    /// that are dropped.
    #[inline]
    pub(crate) fn enter(&self) -> Inside<'_> {
        let panicked = if self.allocated.get() >= self.look_at.get() { self.look() } else { None };
        let mut inside = self.pin();
        inside.panicked = panicked;
        inside
    }

    fn pin(&self) -> Inside<'_> {
        self.with_mutator(Mutator::step_in_pinned);
        Inside { context: self, panicked: None }
    }

    /// Looks at how full the heap is, and collects if it is nearly full. What a value panicked with that was dropped.
    #[cold]
    fn look(&self) -> Option<Panic> {
        let limit = self.heap().limit().0;
        let full = limit / 8 * 7;
        let tries = self.short.get();
        self.short.set(tries.saturating_sub(1));
        self.allocated.set(0);
        let in_use = || self.heap().stats().used_bytes as usize;
        let used = if tries > 0 { limit } else { in_use() };
        if used < full {
            self.look_at.set(((full - used) / 2).max(limit / 64));
            return None;
        }
        let mut panicked = None;
        let mut collect = |collect: fn(&mut Mutator<Types>) -> CycleRecord| {
            let cycle = self.cycle(collect);
            let _inside = self.pin();
            let other = self.drop_all();
            panicked = panicked.take().or(other);
            cycle
        };
        let mut cycle = collect(Mutator::collect);
        if cycle.finalizers_queued > 0 && cycle.marked_bytes as usize > limit / 4 * 3 {
            // What is dropped keeps its memory until the next cycle.
            cycle = collect(Mutator::collect);
        }
        let marked = cycle.marked_bytes as usize;
        if marked < full && in_use() >= full {
            // The sweeping is not over that makes room of what was found dead. The next cycle begins when it is.
            collect(Mutator::collect_young);
        }
        if marked < full {
            self.short.set(0);
        }
        let rest = limit.saturating_sub(marked);
        self.look_at.set(if self.short.get() > 0 { 0 } else { (rest / 2).max(limit / 256) });
        panicked
    }

    /// Makes a cycle, and drops all values that are to be dropped then.
    pub(crate) fn collect(&self, collect: impl FnOnce(&mut Mutator<Types>) -> CycleRecord) -> CycleRecord {
        let cycle = self.cycle(collect);
        let _inside = self.pin();
        self.drop_values(usize::MAX);
        cycle
    }

    fn cycle(&self, collect: impl FnOnce(&mut Mutator<Types>) -> CycleRecord) -> CycleRecord {
        self.with_mutator(Mutator::step_in);
        let _inside = Inside { context: self, panicked: None };
        self.with_mutator(collect)
    }

    /// Drops values that nobody can reach any more, for the end of a call.
    #[inline]
    fn drop_some(&self) {
        let waiting = self.heap().finalizable();
        if waiting > 0 {
            self.drop_values((waiting / 8).max(DROPS));
        }
    }

    fn drop_values(&self, most: usize) {
        for _ in 0..most {
            let Some((object, token)) = self.with_mutator(Mutator::take_finalizable) else { return };
            // SAFETY: registered in `register`, with the token of its type.
            unsafe { Self::drop_value(object, token) };
        }
    }

    /// Drops all of them, whatever one does. What the first panicked with.
    fn drop_all(&self) -> Option<Panic> {
        let mut panicked = None;
        while let Some((object, token)) = self.with_mutator(Mutator::take_finalizable) {
            // SAFETY: as in `drop_values`.
            let dropped = catch_unwind(AssertUnwindSafe(|| unsafe { Self::drop_value(object, token) }));
            match (&panicked, dropped.err()) {
                (None, other) => panicked = other,
                // As in `Inside`.
                (Some(_), other) => std::mem::forget(other),
            }
        }
        panicked
    }

    /// # Safety
    /// Just taken from the queue of this arena, inside.
    unsafe fn drop_value(object: Address, token: u64) {
        // SAFETY: a registration is taken once, when nobody can reach its object any more.
        unsafe { TypeInfo::of_token(token).drop_in(NonNull::new_unchecked(object.as_ptr())) };
    }

    /// Room for an object of this type, header and registration included. The value is yet to be written, before anything else.
    #[inline(always)]
    pub(crate) fn room_for<T: Trace>(&self) -> Result<NonNull<u8>, OutOfMemory> {
        let bytes = Of::<T>::BYTES;
        let kind = self.kind_of::<T>();
        let header = if Of::<T>::IS_NATIVE { self.number_of(Of::<T>::info()) } else { 0 };
        self.count(bytes);
        // SAFETY: header and value are written before the next safepoint, which is not before the end of the call.
        let object = match self.with_mutator(|mutator| unsafe { mutator.alloc_no_safepoint(kind, bytes) }) {
            Ok(object) => object,
            Err(why) => return Err(self.note_shortage(why)),
        };
        if Of::<T>::IS_REGISTERED {
            self.register(object, bytes, Of::<T>::info(), Of::<T>::IS_EXTERNAL)?;
        }
        if Of::<T>::IS_NATIVE {
            // SAFETY: the object begins with its header.
            unsafe { object.cast::<u64>().write(header) };
        }
        Ok(object)
    }

    /// So many bytes are about to be allocated.
    #[inline(always)]
    pub(crate) fn count(&self, bytes: usize) {
        self.allocated.set(self.allocated.get().wrapping_add(bytes.max(1).next_multiple_of(GRANULE)));
    }

    #[inline(always)]
    fn kind_of<T: Trace>(&self) -> Kind {
        match T::SHAPE {
            Shape::Leaf | Shape::Words(0) => Kind::LEAF,
            Shape::Native { .. } => Kind::HEADED,
            shape if shape.is_all_of(size_of::<T>()) => Kind::UNIFORM,
            Shape::Words(mask) => {
                let place = mask.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - PLACES.ilog2());
                let (known, kind) = self.kinds[place as usize].get();
                if known == mask { kind } else { self.find_kind(mask, place as usize) }
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn find_kind(&self, mask: u64, place: usize) -> Kind {
        let mut layouts = self.layouts.get();
        let kind = match layouts.iter_mut().find(|known| known.0 == mask || known.0 == 0) {
            Some((known, kind)) if *known == mask => *kind,
            Some(free) => match self.heap().define_layout(Layout::mask(mask)) {
                Ok(kind) => {
                    *free = (mask, kind);
                    self.layouts.set(layouts);
                    kind
                }
                Err(_) => Kind::CONSERVATIVE,
            },
            // There is no room for a header in objects of this type. Each word is looked at: data that happen to be the address of an
            // object keep that alive, and nothing worse.
            None => Kind::CONSERVATIVE,
        };
        self.kinds[place].set((mask, kind));
        kind
    }

    #[inline(always)]
    fn number_of(&self, info: &'static TypeInfo) -> u64 {
        let place = (std::ptr::from_ref(info).addr() / align_of::<TypeInfo>()) % PLACES;
        let (known, number) = self.numbers[place].get();
        if std::ptr::eq(known, info) {
            return number;
        }
        let number = self.heap().embedder().number(info);
        self.numbers[place].set((info, number));
        number
    }

    /// Has the collector say when the object is unreachable.
    #[inline(never)]
    fn register(
        &self,
        object: NonNull<u8>,
        bytes: usize,
        info: &'static TypeInfo,
        is_external: bool,
    ) -> Result<(), OutOfMemory> {
        let (address, token) = (Address::from_ptr(object.as_ptr()), info.token());
        let registered = self.with_mutator(|mutator| match is_external {
            true => mutator.register_external(address, token),
            false => mutator.register_finalizer(address, token),
        });
        registered.map(drop).map_err(|why| {
            // Nobody will know of the object. It has no references.
            // SAFETY: new, and of this size.
            unsafe { object.write_bytes(0, bytes) };
            self.note_shortage(why)
        })
    }

    /// An allocation has failed: the next call begins with a collection.
    #[cold]
    pub(crate) fn note_shortage(&self, why: OutOfMemory) -> OutOfMemory {
        self.short.set(TRIES);
        self.look_at.set(0);
        why
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.heap().fmt(f)
    }
}

/// The arena goes away: drops all its values, each once. A panic of one does not spare the others; the first goes on when all is done.
impl Drop for Context {
    fn drop(&mut self) {
        // A child that the process forked has no heap, and the values are not its own to drop; or it has a copy of both, unless that
        // was refused.
        if !self.heap().is_here() {
            return;
        }
        self.with_mutator(Mutator::step_in_pinned);
        self.with_mutator(Mutator::queue_all_finalizers);
        if let Some(panic) = self.drop_all().filter(|_| !std::thread::panicking()) {
            resume_unwind(panic);
        }
    }
}
