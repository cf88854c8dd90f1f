//! The implementation that is written.
//!
//! An attribute macro that is written below the derive changes the type after the derive has seen it. So `trace` names every field
//! and its type as the derive saw them: where the type has others by now, that does not compile.

use crate::attributes::{self, OfType};
use crate::recursion;
use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Field, Fields, Generics, Result, Type, parse_quote};

/// `impl Trace` and `impl MustNotImplementDrop` for a type.
pub(crate) fn implementation(input: &DeriveInput) -> Result<TokenStream> {
    let of_type = OfType::read(&input.attrs)?;
    let parts = match &input.data {
        Data::Union(_) => {
            let why = "nobody can tell what a union holds: `Trace` cannot be derived for it";
            return Err(Error::new_spanned(&input.ident, why));
        }
        _ if of_type.leaf => Parts::leaf(),
        Data::Struct(data) => Parts::of_struct(&data.fields)?,
        Data::Enum(data) => {
            let variants: Result<Vec<_>> = data
                .variants
                .iter()
                .map(|variant| {
                    attributes::refuse(&variant.attrs)?;
                    Ok((&variant.ident, &variant.fields))
                })
                .collect();
            Parts::of_enum(&variants?)?
        }
    };
    let Parts { shape, visits, skipped, traced } = parts;

    let own_name = &input.ident;
    let shape = if of_type.native || traced.iter().any(|field| recursion::mentions(field, own_name)) {
        quote!(::palimpsest_safe::Shape::Native { external: true })
    } else {
        shape
    };
    let no_references =
        skipped.iter().map(|field| quote_spanned!(field.span()=> must_be_static::<#field>();));
    let leaf_is_static = of_type.leaf.then(|| quote_spanned!(own_name.span()=> must_be_static::<Self>();));

    let (plain, types, where_clause) = input.generics.split_for_impl();
    let traced_generics = if of_type.leaf { input.generics.clone() } else { with_bounds(&input.generics) };
    let (with_bounds, _, with_bounds_where) = traced_generics.split_for_impl();
    Ok(quote! {
        // SAFETY: the shape is joined from the fields' and their places; `trace` visits every field that is not skipped, and
        // what is skipped holds no references; the type has no `Drop` of its own.
        #[automatically_derived]
        unsafe impl #with_bounds ::palimpsest_safe::Trace for #own_name #types #with_bounds_where {
            const SHAPE: ::palimpsest_safe::Shape = #shape;

            #[inline]
            #[allow(unused_variables)]
            fn trace(&self, tracer: &mut ::palimpsest_safe::Tracer<'_>) {
                #[allow(dead_code)]
                fn must_be_static<HoldsNoReferences: ?Sized + 'static>() {}
                #(#no_references)*
                #leaf_is_static
                #visits
            }
        }

        #[automatically_derived]
        impl #plain ::palimpsest_safe::MustNotImplementDrop for #own_name #types #where_clause {}
    })
}

fn with_bounds(generics: &Generics) -> Generics {
    let mut generics = generics.clone();
    for parameter in generics.type_params_mut() {
        parameter.bounds.push(parse_quote!(::palimpsest_safe::Trace));
    }
    generics
}

/// What an implementation is put together from.
struct Parts {
    /// The shape, as an expression.
    shape: TokenStream,
    /// The body of `trace`.
    visits: TokenStream,
    /// The types of the fields that are skipped, and of those that are not.
    skipped: Vec<Type>,
    traced: Vec<Type>,
}

impl Parts {
    fn leaf() -> Self {
        let shape = quote!(::palimpsest_safe::Shape::Leaf);
        Self { shape, visits: TokenStream::new(), skipped: Vec::new(), traced: Vec::new() }
    }

    fn of_struct(fields: &Fields) -> Result<Self> {
        let (traced, skipped) = divide(fields)?;
        let (all, types_of_all): (Vec<_>, Vec<_>) =
            fields.iter().enumerate().map(|(at, field)| (member(at, field), &field.ty)).unzip();
        // Without `..`, and by pointers, which are not coerced to what a type dereferences to.
        let as_seen = quote! {
            let Self { #(#all: _,)* } = self;
            #(let _: *const #types_of_all = ::core::ptr::addr_of!(self.#all);)*
        };
        let names: Vec<_> = traced.iter().map(|(at, field)| member(*at, field)).collect();
        let types: Vec<_> = traced.iter().map(|(_, field)| field.ty.clone()).collect();
        let visited = names.iter().zip(&types).map(|(name, field)| visit(field, &quote!(&self.#name)));
        let shape = quote! {
            ::palimpsest_safe::Shape::of_fields(&[
                #((::core::mem::offset_of!(Self, #names), <#types as ::palimpsest_safe::Trace>::SHAPE)),*
            ])
        };
        Ok(Self { shape, visits: quote!(#as_seen #(#visited)*), skipped, traced: types })
    }

    fn of_enum(variants: &[(&syn::Ident, &Fields)]) -> Result<Self> {
        let (mut arms, mut all_skipped, mut all_traced) = (Vec::new(), Vec::new(), Vec::new());
        for (name, fields) in variants {
            let (traced, skipped) = divide(fields)?;
            let places = fields.iter().enumerate().map(|(at, field)| member(at, field));
            let bound: Vec<_> = (0..fields.len()).map(|k| format_ident!("field{k}")).collect();
            let types = fields.iter().map(|field| &field.ty);
            let visits = traced.iter().map(|(at, field)| {
                let bound = &bound[*at];
                visit(&field.ty, &quote!(#bound))
            });
            // Fields by number serve for all three forms of variants.
            arms.push(quote! {
                Self::#name { #(#places: #bound,)* } => {
                    #(let _: *const #types = #bound;)*
                    #(#visits)*
                }
            });
            all_skipped.extend(skipped);
            all_traced.extend(traced.iter().map(|(_, field)| field.ty.clone()));
        }
        let visits = if arms.is_empty() { quote!(match *self {}) } else { quote!(match self { #(#arms)* }) };
        let shape = quote! {
            ::palimpsest_safe::Shape::of_variants(&[
                #(<#all_traced as ::palimpsest_safe::Trace>::SHAPE),*
            ])
        };
        Ok(Self { shape, visits, skipped: all_skipped, traced: all_traced })
    }
}

/// A field with its number.
type Numbered<'a> = (usize, &'a Field);

/// The fields that are traced, and the types of those that are skipped.
fn divide(fields: &Fields) -> Result<(Vec<Numbered<'_>>, Vec<Type>)> {
    let (mut traced, mut skipped) = (Vec::new(), Vec::new());
    for (at, field) in fields.iter().enumerate() {
        if attributes::is_skipped(field)? {
            skipped.push(field.ty.clone());
        } else {
            traced.push((at, field));
        }
    }
    Ok((traced, skipped))
}

fn member(at: usize, field: &Field) -> syn::Member {
    field.ident.clone().map_or_else(|| at.into(), Into::into)
}

fn visit(field: &Type, place: &TokenStream) -> TokenStream {
    quote_spanned!(field.span()=> ::palimpsest_safe::Trace::trace(#place, tracer);)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(input: DeriveInput) -> String {
        implementation(&input).expect("a type that can be traced").to_string()
    }

    #[test]
    fn every_field_is_named_with_its_type() {
        let written_of_struct = written(parse_quote! {
            struct Node<'gc> { next: Gc<'gc, Self>, #[trace(skip)] own: File }
        });
        let written_of_enum = written(parse_quote! {
            enum Either { One(u8, #[trace(skip)] File), Other }
        });
        let expected = [
            (&written_of_struct, quote!(let Self { next: _, own: _, } = self;)),
            (&written_of_struct, quote!(let _: *const File = ::core::ptr::addr_of!(self.own);)),
            (&written_of_enum, quote!(Self::One { 0usize: field0, 1usize: field1, } =>)),
            (&written_of_enum, quote!(let _: *const File = field1;)),
            (&written_of_enum, quote!(Self::Other {} =>)),
        ];
        for (written, part) in expected {
            let part = part.to_string().replace("usize", "");
            assert!(written.contains(&part), "{part} in {written}");
        }
    }
}
