//! Types without references.

use super::Trace;
use crate::shape::Shape;
use palimpsest::Tracer;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::Arc;

macro_rules! leaf {
    (for T: $($name:ty),+) => {$(
        // SAFETY: no value holds a reference into an arena: such types are not `'static`, and these are.
        unsafe impl<T: ?Sized + 'static> Trace for $name {
            const SHAPE: Shape = Shape::Leaf;
            #[inline]
            fn trace(&self, _: &mut Tracer<'_>) {}
        }
    )+};
    ($($name:ty),+ $(,)?) => {$(
        // SAFETY: no value holds a reference into an arena.
        unsafe impl Trace for $name {
            const SHAPE: Shape = Shape::Leaf;
            #[inline]
            fn trace(&self, _: &mut Tracer<'_>) {}
        }
    )+};
}

leaf!((), bool, char, u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64);
leaf!(
    std::num::NonZeroU8,
    std::num::NonZeroU16,
    std::num::NonZeroU32,
    std::num::NonZeroU64,
    std::num::NonZeroU128,
    std::num::NonZeroUsize,
    std::num::NonZeroI8,
    std::num::NonZeroI16,
    std::num::NonZeroI32,
    std::num::NonZeroI64,
    std::num::NonZeroI128,
    std::num::NonZeroIsize,
);
leaf!(
    std::sync::atomic::AtomicBool,
    std::sync::atomic::AtomicU8,
    std::sync::atomic::AtomicU16,
    std::sync::atomic::AtomicU32,
    std::sync::atomic::AtomicU64,
    std::sync::atomic::AtomicUsize,
    std::sync::atomic::AtomicI8,
    std::sync::atomic::AtomicI16,
    std::sync::atomic::AtomicI32,
    std::sync::atomic::AtomicI64,
    std::sync::atomic::AtomicIsize,
);
leaf!(
    String,
    Box<str>,
    std::ffi::CString,
    std::ffi::OsString,
    std::path::PathBuf,
    std::time::Duration,
    std::time::Instant,
    std::time::SystemTime,
    std::any::TypeId,
    std::fs::File,
);
leaf!(for T: &'static T);
// A cycle of `Rc`s that hold references would be walked for ever: nothing marks an `Rc` as visited. So they hold none. What is
// shared among objects of an arena is an object of the arena.
leaf!(for T: Rc<T>, Arc<T>, std::rc::Weak<T>, std::sync::Weak<T>);

// SAFETY: holds nothing.
unsafe impl<T: ?Sized> Trace for PhantomData<T> {
    const SHAPE: Shape = Shape::Leaf;
    #[inline]
    fn trace(&self, _: &mut Tracer<'_>) {}
}

/// Puts any `'static` value into an arena, of types that know nothing of [`Trace`]. It holds no references, and may have any `Drop`.
///
/// ```
/// use palimpsest_safe::{Arena, Gc, Rootable, Static};
/// use std::net::Ipv4Addr;
///
/// # fn main() -> Result<(), palimpsest_safe::Error> {
/// let mut arena = Arena::<Rootable![Gc<'_, Static<Ipv4Addr>>]>::new(|mc| Gc::new(mc, Static(Ipv4Addr::LOCALHOST)))?;
/// arena.mutate(|_, address| assert!(address.is_loopback()));
/// # Ok(())
/// # }
/// ```
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Static<T: 'static>(pub T);

// SAFETY: a `'static` value holds no reference into an arena.
unsafe impl<T: 'static> Trace for Static<T> {
    const SHAPE: Shape = Shape::Leaf;
    #[inline]
    fn trace(&self, _: &mut Tracer<'_>) {}
}

impl<T> Deref for Static<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Static<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> From<T> for Static<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}
