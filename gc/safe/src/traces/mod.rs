//! The trait that finds references, and its implementations for the standard library's types.
//!
//! | file | types |
//! | --- | --- |
//! | `data` | those without references: numbers, strings, and whatever is `'static` |
//! | `composed` | tuples, arrays, `Option`, `Result`, cells |
//! | `owning` | those with memory of their own: `Box` and the collections |
//!
//! Visiting a collection needs no lock and no copy. It happens in the forked worker, where native memory is as it was at the fork, or
//! while the world is stopped; in both cases the arena's thread was outside [`Arena::mutate`](crate::Arena::mutate) when it was
//! frozen, and so every value is whole.

mod composed;
mod data;
mod owning;

pub use data::Static;

use crate::shape::Shape;
use palimpsest::Tracer;

/// Types whose values can be in an arena: the collector can find every reference in them.
///
/// Derive it. The derive also checks what the contract below says about `Drop`.
///
/// # Safety
/// * Where `SHAPE` is [`Shape::Leaf`], no value holds or owns a [`Gc`](crate::Gc) or a [`GcWeak`](crate::GcWeak). Where it is
///   [`Shape::Words`], the words of the mask lie in the value, each is a `Gc`, a `GcWeak` or null in every value, and there are no others;
///   where the bit 0 is the only one and the value has 8 bytes, no bit pattern but null is a niche. Where it is `Native` with
///   `external: false`, no reference is in memory outside of the value.
/// * [`trace`](Trace::trace) visits every `Gc` and `GcWeak` that the value holds or owns. For `Leaf` and `Words` it may be left uncalled.
/// * It runs in a forked process, or on another thread while the arena's is stopped, and `self` may be a copy of the value
///   at another address, which is never dropped. So it only reads; it reads nothing but the value, memory that the value owns, and what never changes; it
///   does not allocate, lock, print or panic. In long loops it looks at [`Tracer::goes_on`] every thousand values or so, and
///   returns when that says no.
/// * Dropping a value looks at nothing that it refers to in the arena: that may be gone.
/// * Types that differ in lifetimes only have the same shape.
pub unsafe trait Trace {
    /// Where the references are.
    const SHAPE: Shape;

    /// Tells `tracer` of every reference, by calling `trace` on the parts that may hold one.
    ///
    /// Recursion goes as deep as values own each other: a list of `Box`es is traced on the stack of the collector's thread, two MiB unless
    /// the variable `RUST_MIN_STACK` says otherwise. Fifty thousand boxes were seen to fit, a hundred thousand end the process. Link long
    /// lists by [`Gc`](crate::Gc), which is followed without recursion.
    fn trace(&self, tracer: &mut Tracer<'_>);
}

/// Every type with `Drop` implements it, and so does every type with a derived [`Trace`]: no type can have both.
#[doc(hidden)]
pub trait MustNotImplementDrop {}

#[allow(drop_bounds, reason = "exactly the types that implement it themselves are meant")]
impl<T: Drop> MustNotImplementDrop for T {}

/// Values of a collection between two looks at whether to go on.
const BETWEEN_LOOKS: usize = 1024;

/// Traces values one after another.
fn trace_all<'t, T: Trace + 't>(values: impl IntoIterator<Item = &'t T>, tracer: &mut Tracer<'_>) {
    if T::SHAPE.is_leaf() {
        return;
    }
    for (k, value) in values.into_iter().enumerate() {
        if k % BETWEEN_LOOKS == BETWEEN_LOOKS - 1 && !tracer.goes_on() {
            return;
        }
        value.trace(tracer);
    }
}
