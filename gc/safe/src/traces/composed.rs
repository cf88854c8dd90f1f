//! Values that hold others in themselves.
//!
//! The contents of a cell are visited as they are, whatever its borrow flag says: nobody has a reference into it while it is traced.

use super::{Trace, trace_all};
use crate::shape::Shape;
use palimpsest::Tracer;
use std::cell::{Cell, OnceCell, RefCell};
use std::mem::offset_of;

// SAFETY: `None` of an option as small as a pointer is null; otherwise the value is visited where there is one.
unsafe impl<T: Trace> Trace for Option<T> {
    const SHAPE: Shape = T::SHAPE.optional(size_of::<T>(), size_of::<Self>());
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        if let Some(value) = self {
            value.trace(tracer);
        }
    }
}

// SAFETY: whichever value there is is visited.
unsafe impl<T: Trace, E: Trace> Trace for Result<T, E> {
    const SHAPE: Shape = Shape::of_variants(&[T::SHAPE, E::SHAPE]);
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        match self {
            Ok(value) => value.trace(tracer),
            Err(error) => error.trace(tracer),
        }
    }
}

// SAFETY: all are visited, and lie one after another.
unsafe impl<T: Trace, const N: usize> Trace for [T; N] {
    const SHAPE: Shape = T::SHAPE.repeated(size_of::<T>(), N);
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        trace_all(self, tracer);
    }
}

// SAFETY: a cell is its value in memory. Nobody writes to it while it is traced.
unsafe impl<T: Trace> Trace for Cell<T> {
    const SHAPE: Shape = T::SHAPE;
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        // SAFETY: as above.
        unsafe { &*self.as_ptr() }.trace(tracer);
    }
}

// SAFETY: the value is visited, borrowed or not. Nobody writes to it while it is traced: who has borrowed it has leaked
// the borrow, or else would be inside `mutate`.
unsafe impl<T: Trace> Trace for RefCell<T> {
    const SHAPE: Shape = T::SHAPE.held();
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        // SAFETY: as above.
        unsafe { &*self.as_ptr() }.trace(tracer);
    }
}

// SAFETY: the value is visited if there is one.
unsafe impl<T: Trace> Trace for OnceCell<T> {
    const SHAPE: Shape = T::SHAPE.held();
    #[inline]
    fn trace(&self, tracer: &mut Tracer<'_>) {
        if let Some(value) = self.get() {
            value.trace(tracer);
        }
    }
}

macro_rules! tuple {
    ($($name:ident $at:tt),+) => {
        // SAFETY: all fields are visited, and each shape is at its field's place.
        unsafe impl<$($name: Trace),+> Trace for ($($name,)+) {
            const SHAPE: Shape = Shape::of_fields(&[$((offset_of!(Self, $at), $name::SHAPE)),+]);
            #[inline]
            fn trace(&self, tracer: &mut Tracer<'_>) {
                $(self.$at.trace(tracer);)+
            }
        }
    };
}

tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
