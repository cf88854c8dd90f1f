//! Types with a brand left open: how an arena's type says what its root is.

/// A type for each brand. [`Rootable!`](macro@crate::Rootable) makes one from a type with an elided lifetime.
///
/// It is `'static`: no lifetime but the brand is in a root, so that what an arena drops at its end cannot look at anything that is gone.
pub trait Rootable<'a>: 'static {
    /// The type, with this brand.
    type Root: Sized + 'a;
}

/// The type of a root with a brand.
pub type Root<'a, R> = <R as Rootable<'a>>::Root;

/// A [`Rootable`] from a type: `Rootable![Node<'_>]`, where every elided lifetime is the brand; or `Rootable!['gc => Node<'gc>]`.
///
/// ```
/// use palimpsest_safe::{Arena, Gc, Rootable, Trace};
///
/// #[derive(Trace)]
/// struct Globals<'gc> {
///     greeting: Gc<'gc, String>,
/// }
///
/// type Interpreter = Arena<Rootable![Globals<'_>]>;
/// # fn main() -> Result<(), palimpsest_safe::Error> {
/// let mut interpreter = Interpreter::new(|mc| Globals { greeting: Gc::new(mc, "hello".into()) })?;
/// assert_eq!(interpreter.mutate(|_, globals| globals.greeting.len()), 5);
/// # Ok(())
/// # }
/// ```
///
/// The compiler does not check that a type under `for<'a>` is well formed (rust-lang/rust#152489), here as elsewhere: a root made of a
/// reference that would have to live for ever (`PhantomData<&'static &'gc ()>`) lets a brand be taken for `'static`. No root needs one.
#[macro_export]
macro_rules! Rootable {
    ($brand:lifetime => $root:ty) => {
        $crate::ForEveryBrand<dyn for<$brand> $crate::Rootable<$brand, Root = $root>>
    };
    ($root:ty) => {
        $crate::__rootable_elided!($root)
    };
}

/// What [`Rootable!`](macro@crate::Rootable) makes. There are no values.
#[doc(hidden)]
pub struct ForEveryBrand<T: ?Sized>(std::marker::PhantomData<T>);

impl<'a, T: ?Sized + Rootable<'a> + 'static> Rootable<'a> for ForEveryBrand<T> {
    type Root = T::Root;
}
