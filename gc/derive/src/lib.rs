//! `#[derive(Trace)]`: the code that finds the references of a type, written from its definition.
//!
//! A derived implementation has two halves. `SHAPE` says, as a constant, which words of a value are references; it is joined
//! from the shapes of the fields and where they lie, and decides how objects of the type are laid out and traced. `trace` visits
//! the fields one after another; it is called only for types whose words do not say it all.
//!
//! Besides, two promises are checked here by what the compiler then refuses:
//!
//! * A type with a derived `Trace` has no `Drop` of its own. The derive implements a trait for it that every type with `Drop` has
//!   already, so that the two implementations conflict; the trait's name, `MustNotImplementDrop`, is the error message.
//! * A field that is skipped holds no reference: its type has to outlive every arena (`'static`).

mod attributes;
mod body;
mod recursion;
mod rootable;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `palimpsest_safe::Trace` for a struct or an enum. Every type parameter gets the bound `Trace`.
///
/// On a field:
/// * `#[trace(skip)]`: it is not traced. Its type is `'static`, and so can hold no reference into an arena; this is for types
///   that do not implement `Trace`.
///
/// On the type:
/// * `#[trace(leaf)]`: it holds no references at all, and is `'static`. Its fields need not implement `Trace`.
/// * `#[trace(native)]`: its shape is not computed from its fields. For types that contain themselves by way of another
///   type, in a `Box` or a collection, where the computation would not end; direct recursion is noticed without it. Traced a
///   little slower.
///
/// A type with a derived `Trace` cannot implement `Drop`: when it is dropped, what it refers to may be gone.
#[proc_macro_derive(Trace, attributes(trace))]
pub fn derive_trace(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    body::implementation(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// For `Rootable!`: every `'_` in a type becomes the brand.
#[doc(hidden)]
#[proc_macro]
pub fn __rootable_elided(root: TokenStream) -> TokenStream {
    rootable::for_every_brand(root.into()).into()
}
