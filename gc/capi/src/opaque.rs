//! The things that C holds by pointers: where they lie, and how their misuse is noticed.
//!
//! A thing lies in a *shell*, which never goes back to the allocator. When the thing is freed its shell goes to a list of its
//! type, to be used again for the next one. So a pointer to a freed thing leads to a shell, and looking at that is defined: it says
//! whether something is in it, and of which type it is. What cannot be seen is that a shell has been used again, and
//! a pointer that never came from here.
//!
//! A shell's `state` says who may use what is in it: nobody ([`FREE`]), anybody ([`ANYBODY`]), or the thread with this mark
//! ([`this_thread`]). So that a mutator is alive, on its thread and running is one comparison.

use crate::status::{Answer, Status, fail, failed, no_memory};
use palimpsest_runtime::host_fork::{self, Generation};
use std::alloc::Layout;
use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::atomic::{
    AtomicU64, AtomicUsize, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};

/// Nothing is in the shell.
pub(crate) const FREE: usize = 0;
/// What is in it may be used by any thread.
pub(crate) const ANYBODY: usize = 1;
/// What is in it is attached to a thread that may not use it now.
pub(crate) const RESTS: usize = 2;

thread_local! {
    static MARK: Cell<u8> = const { Cell::new(0) };
}

/// A number that no other living thread has: larger than the states above, being an address.
#[inline(always)]
pub(crate) fn this_thread() -> usize {
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

/// Where a thing lies.
#[repr(C)]
pub struct Shell<T> {
    pub(crate) head: Head,
    value: UnsafeCell<MaybeUninit<T>>,
}

/// How every shell begins, whatever is in it: what may be looked at before that is known.
#[repr(C)]
pub struct Head {
    /// Of the type, as long as the process lives.
    type_mark: u32,
    pub(crate) state: AtomicUsize,
}

/// The empty shells of a type. The list has room for all that there are, so that giving one back needs none.
///
/// It is under a lock that says which process holds it. Where a thread held it when another one forked, nobody gives it back in
/// the child: there it is taken all the same, and the list, which may be half changed, begins anew.
pub struct Empty<T> {
    /// The [`Generation`] of who holds the lock; 0 if nobody does.
    holder: AtomicU64,
    list: UnsafeCell<List<T>>,
}

struct List<T> {
    empty: Vec<NonNull<T>>,
    /// How many shells there are.
    all: usize,
}

impl<T> Empty<T> {
    /// No shells yet.
    pub(crate) const fn new() -> Self {
        let list = List { empty: Vec::new(), all: 0 };
        Self { holder: AtomicU64::new(0), list: UnsafeCell::new(list) }
    }

    fn lock(&self) -> Held<'_, T> {
        let own = Generation::current().number();
        loop {
            let holder = self.holder.load(Relaxed);
            // Acquire: pairs with the release in `Held::drop`.
            if holder != own && self.holder.compare_exchange(holder, own, Acquire, Relaxed).is_ok() {
                if holder != 0 {
                    // SAFETY: nobody else has the lock in this process. What was there is leaked, not looked at.
                    unsafe { (&raw mut (*self.list.get()).empty).write(Vec::new()) };
                }
                return Held(self);
            }
            // It is held for a moment only.
            std::thread::yield_now();
        }
    }
}

/// The right to use a list.
struct Held<'a, T>(&'a Empty<T>);

impl<T> Deref for Held<'_, T> {
    type Target = List<T>;
    fn deref(&self) -> &List<T> {
        // SAFETY: the lock is held.
        unsafe { &*self.0.list.get() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut List<T> {
        // SAFETY: the lock is held.
        unsafe { &mut *self.0.list.get() }
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        self.0.holder.store(0, Release);
    }
}

// SAFETY: shells with nothing in them, which nobody looks at but at their atomic state.
unsafe impl<T> Sync for Empty<T> {}

/// A type that C knows the name of, and nothing else.
///
/// # Safety
/// The only implementation is by [`opaque`], for a wrapper of a shell.
pub(crate) unsafe trait Opaque: Sized + 'static {
    type Value;
    const NAME: &'static str;
    const TYPE_MARK: u32;
    fn shell(&self) -> &Shell<Self::Value>;
    fn wrap(shell: Shell<Self::Value>) -> Self;
    fn empty() -> &'static Empty<Self>;
}

/// Makes `$name`, a wrapper of `Shell<$value>`, opaque.
macro_rules! opaque {
    ($name:ident, $value:ty, $mark:literal) => {
        // A pointer to a thing is one to its shell's head.
        const _: () = assert!(std::mem::offset_of!($name, 0) == 0);
        // SAFETY: by this macro.
        unsafe impl $crate::opaque::Opaque for $name {
            type Value = $value;
            const NAME: &'static str = stringify!($name);
            const TYPE_MARK: u32 = u32::from_le_bytes(*$mark);
            fn shell(&self) -> &$crate::opaque::Shell<$value> {
                &self.0
            }
            fn wrap(shell: $crate::opaque::Shell<$value>) -> Self {
                Self(shell)
            }
            fn empty() -> &'static $crate::opaque::Empty<Self> {
                static EMPTY: $crate::opaque::Empty<$name> = $crate::opaque::Empty::new();
                &EMPTY
            }
        }
    };
}
pub(crate) use opaque;

/// Puts a value into a shell. `state` says who may use it.
pub(crate) fn open<T: Opaque>(value: T::Value, state: usize) -> Answer<NonNull<T>> {
    // Before the lock: that it was held at a fork is told by the fork's being counted.
    host_fork::watch().map_err(|why| failed(&why.into()))?;
    let used = T::empty().lock().empty.pop();
    let place = used.map_or_else(new_shell, Ok)?;
    // SAFETY: shells are never freed; this one is empty, and nobody else has it.
    let shell = unsafe { place.as_ref() }.shell();
    // SAFETY: likewise.
    unsafe { (*shell.value.get()).write(value) };
    // Release: with the acquire of whoever looks whether something is in it.
    shell.head.state.store(state, Release);
    Ok(place)
}

fn new_shell<T: Opaque>() -> Answer<NonNull<T>> {
    {
        let mut list = T::empty().lock();
        let more = list.all + 1 - list.empty.len();
        list.empty.try_reserve(more).map_err(|_| no_memory(T::NAME))?;
        list.all += 1;
    }
    // SAFETY: a shell is not of size zero.
    let place = NonNull::new(unsafe { std::alloc::alloc(Layout::new::<T>()) }.cast::<T>());
    let place = place.ok_or_else(|| no_memory(T::NAME))?;
    let head = Head { type_mark: T::TYPE_MARK, state: AtomicUsize::new(FREE) };
    let shell = Shell { head, value: UnsafeCell::new(MaybeUninit::uninit()) };
    // SAFETY: fresh memory of this layout.
    unsafe { place.write(T::wrap(shell)) };
    Ok(place)
}

/// The shell that a pointer of C's leads to.
///
/// # Safety
/// The pointer is NULL, or came from this interface.
unsafe fn shell_of<'a, T: Opaque>(thing: *const T) -> Answer<&'a Shell<T::Value>> {
    if thing.is_null() {
        return Err(fail(Status::PALIMPSEST_NULL, format_args!("a {} is NULL", T::NAME)));
    }
    if !thing.is_aligned() {
        return Err(fail(Status::PALIMPSEST_FREED, format_args!("{thing:p} is no {}", T::NAME)));
    }
    // SAFETY: shells are never freed, and all begin so.
    if unsafe { &*thing.cast::<Head>() }.type_mark != T::TYPE_MARK {
        let why = format_args!("{thing:p} is no {}, but something else of this interface", T::NAME);
        return Err(fail(Status::PALIMPSEST_FREED, why));
    }
    // SAFETY: it is one of this type.
    Ok(unsafe { &*thing }.shell())
}

/// What a pointer of C's leads to, for types that any thread may use.
///
/// # Safety
/// The pointer is NULL, or came from this interface, and nobody frees the thing meanwhile.
pub(crate) unsafe fn lend<'a, T: Opaque>(thing: *const T) -> Answer<&'a T::Value> {
    // SAFETY: passed on to the caller.
    let shell = unsafe { shell_of(thing)? };
    if shell.head.state.load(Acquire) == FREE {
        return Err(was_freed(thing));
    }
    // SAFETY: something is in it.
    Ok(unsafe { (*shell.value.get()).assume_init_ref() })
}

/// The same for the one type whose things belong to threads, where the thing is this thread's and may be used now.
///
/// # Safety
/// As for [`lend`]; and `T` is the only type that is opened with a thread's mark.
#[inline(always)]
pub(crate) unsafe fn lend_here<'a, T: Opaque>(thing: *const T) -> Option<&'a T::Value> {
    if thing.is_null() || !thing.is_aligned() {
        return None;
    }
    // SAFETY: shells are never freed, and all begin so.
    let head = unsafe { &*thing.cast::<Head>() };
    // Relaxed: this thread put its mark there. Only a type whose things belong to threads has such marks.
    if head.state.load(Relaxed) != this_thread() {
        return None;
    }
    // SAFETY: so it is one of this type, and something is in it.
    Some(unsafe { (*(*thing).shell().value.get()).assume_init_ref() })
}

/// Who may use the thing: see the constants.
///
/// # Safety
/// As for [`lend`].
pub(crate) unsafe fn state_of<'a, T: Opaque>(thing: *const T) -> Answer<&'a AtomicUsize> {
    // SAFETY: passed on to the caller.
    Ok(&unsafe { shell_of(thing)? }.head.state)
}

/// Takes a thing out of its shell, which is empty then. NULL is no error: nothing is taken.
///
/// # Safety
/// As for [`lend`], and nobody uses the thing meanwhile.
pub(crate) unsafe fn close<T: Opaque>(thing: *mut T) -> Answer<Option<T::Value>> {
    let Some(place) = NonNull::new(thing) else { return Ok(None) };
    // SAFETY: passed on to the caller.
    let shell = unsafe { shell_of(thing)? };
    // One of two that free it at once finds it full.
    if shell.head.state.swap(FREE, AcqRel) == FREE {
        return Err(was_freed(thing));
    }
    // SAFETY: something was in it, and nobody else takes it.
    let value = unsafe { (*shell.value.get()).assume_init_read() };
    let mut list = T::empty().lock();
    // Room is missing only where the list has begun anew, in a child; then the shell is lost.
    if list.empty.try_reserve(1).is_ok() {
        list.empty.push(place);
    }
    Ok(Some(value))
}

#[cold]
pub(crate) fn was_freed<T: Opaque>(thing: *const T) -> Status {
    fail(Status::PALIMPSEST_FREED, format_args!("the {} at {thing:p} was freed before", T::NAME))
}

/// The place for what a function yields beside its status.
///
/// # Safety
/// The pointer is NULL, or may be written to.
pub(crate) unsafe fn out<'a, T>(place: *mut T, name: &str) -> Answer<&'a mut MaybeUninit<T>> {
    if place.is_null() {
        return Err(null(name));
    }
    if !place.is_aligned() {
        let why = format_args!("{name} is {place:p}, which is not aligned for what is to be stored there");
        return Err(fail(Status::PALIMPSEST_INVALID, why));
    }
    // SAFETY: passed on to the caller. What is there is not read.
    Ok(unsafe { &mut *place.cast::<MaybeUninit<T>>() })
}

/// The same for what the caller may not want to know.
///
/// # Safety
/// As for [`out`].
pub(crate) unsafe fn out_or_none<'a, T>(place: *mut T, name: &str) -> Answer<Option<&'a mut MaybeUninit<T>>> {
    // SAFETY: passed on to the caller.
    if place.is_null() { Ok(None) } else { unsafe { out(place, name) }.map(Some) }
}

/// Stores something where there is a place for it.
pub(crate) fn store<T>(place: Option<&mut MaybeUninit<T>>, value: T) {
    if let Some(place) = place {
        place.write(value);
    }
}

/// An argument is NULL.
#[cold]
pub(crate) fn null(name: &str) -> Status {
    fail(Status::PALIMPSEST_NULL, format_args!("{name} is NULL"))
}
