//! Native memory that the collector reads as roots: the value stack, the call frames and the compiler's temporaries.
//!
//! A [`RootStack`] is an array of fixed size whose fill level lives next to it in memory. Both are registered with
//! the heap once, and from then on a push is a store and a moved pointer: nobody is told. The collector reads the
//! words from the base up to the top *at the moment of a snapshot*, which can only be inside an allocation, a poll or
//! a blocking call of this thread. So the one rule is: before any of those, everything that must live is below
//! the top, and the top is up to date.
//!
//! The memory never moves and is only touched through raw pointers, because the interpreter loop holds pointers into
//! it and a snapshot worker reads it at the same time (its own frozen copy of it).

use std::alloc::{self, Layout};
use std::ptr::NonNull;

use palimpsest::{Heap, RootRange, Roots};

use crate::heap::NanBoxes;

/// Types a root stack may hold: a whole number of 64-bit words, each of which is a `Value` or a raw word that does
/// not decode as a reference.
///
/// # Safety
///
/// The type is `repr(C)` or `repr(transparent)`, made of 64-bit words as above, and valid when all bits are zero.
pub unsafe trait RootWords: Copy {}

/// A stack of fixed capacity whose live part is a precise root of the heap.
pub struct RootStack<T: RootWords> {
    /// Dropped first (see `Drop`), so that the collector never looks at freed memory.
    registration: Option<Roots>,
    /// One word that holds the top, then the elements.
    memory: NonNull<*mut T>,
    capacity: usize,
}

impl<T: RootWords> RootStack<T> {
    /// An empty stack for `capacity` elements. The memory is reserved, but not populated before it is used.
    pub fn new(heap: &Heap<NanBoxes>, capacity: usize) -> RootStack<T> {
        let layout = Self::layout(capacity);
        // SAFETY: the layout is not of size zero, since it has room for the top.
        let memory = unsafe { alloc::alloc_zeroed(layout) };
        let Some(memory) = NonNull::new(memory.cast::<*mut T>()) else { alloc::handle_alloc_error(layout) };
        let mut stack = RootStack { registration: None, memory, capacity };
        stack.set_top(stack.base());
        let range = RootRange::UpTo {
            start: stack.base().cast_const().cast(),
            top: memory.as_ptr().cast_const().cast(),
        };
        // SAFETY: the memory stays where it is until the registration is dropped, the top always lies within it (the
        // only setter's contract), and what lies below the top are words as `RootWords` promises.
        stack.registration = Some(unsafe { heap.add_roots(range) });
        stack
    }

    fn layout(capacity: usize) -> Layout {
        let (layout, _) = Layout::new::<*mut T>()
            .extend(Layout::array::<T>(capacity).expect("a stack is smaller than the address space"))
            .expect("a stack is smaller than the address space");
        layout.pad_to_align()
    }

    /// The first element.
    #[inline(always)]
    pub fn base(&self) -> *mut T {
        // SAFETY: the elements follow the top within the same allocation.
        unsafe { self.memory.as_ptr().add(1).cast() }
    }

    /// One past the last element in use.
    #[inline(always)]
    pub fn top(&self) -> *mut T {
        // SAFETY: the first word of the memory is the top, initialised in `new`.
        unsafe { self.memory.as_ptr().read() }
    }

    /// Moves the top. What lies below it must be initialised; new memory is (all zero).
    #[inline(always)]
    pub fn set_top(&mut self, top: *mut T) {
        debug_assert!(top >= self.base() && top <= self.limit());
        // SAFETY: the first word of the memory is the top.
        unsafe { self.memory.as_ptr().write(top) }
    }

    /// One past the last element that there is room for.
    #[inline(always)]
    pub fn limit(&self) -> *mut T {
        self.base().wrapping_add(self.capacity)
    }

    /// How many elements are in use.
    #[inline(always)]
    pub fn len(&self) -> usize {
        (self.top() as usize - self.base() as usize) / size_of::<T>()
    }

    /// Adds an element. The caller has checked that there is room.
    #[inline(always)]
    pub fn push(&mut self, element: T) {
        let top = self.top();
        assert!(
            top < self.limit(),
            "a root stack is full: its capacity does not fit the limits of the interpreter"
        );
        // SAFETY: `top` lies within the memory, below its end.
        unsafe { top.write(element) };
        self.set_top(top.wrapping_add(1));
    }

    /// Takes the last element off.
    #[inline(always)]
    pub fn pop(&mut self) -> T {
        let top = self.top();
        assert!(top > self.base(), "a root stack is empty");
        let last = top.wrapping_sub(1);
        self.set_top(last);
        // SAFETY: `last` lies within the memory, and everything below the old top is initialised.
        unsafe { last.read() }
    }

    /// Forgets everything from element `len` on.
    pub fn truncate(&mut self, len: usize) {
        assert!(len <= self.len());
        self.set_top(self.base().wrapping_add(len));
    }

    /// Element `index`.
    pub fn get(&self, index: usize) -> T {
        assert!(index < self.len());
        // SAFETY: in bounds of what is in use.
        unsafe { self.base().add(index).read() }
    }
}

impl<T: RootWords> Drop for RootStack<T> {
    fn drop(&mut self) {
        drop(self.registration.take());
        // SAFETY: allocated in `new` with this layout, and no longer registered.
        unsafe { alloc::dealloc(self.memory.as_ptr().cast(), Self::layout(self.capacity)) }
    }
}
