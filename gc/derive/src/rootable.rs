//! Naming the lifetime that a type leaves open.

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use quote::quote;

/// A type that is `Rootable` for every brand, from one with elided lifetimes.
pub(crate) fn for_every_brand(root: TokenStream) -> TokenStream {
    let root = with_name(root);
    quote! {
        ::palimpsest_safe::ForEveryBrand<dyn for<'__gc> ::palimpsest_safe::Rootable<'__gc, Root = #root>>
    }
}

/// A lifetime is an apostrophe and an identifier.
fn with_name(tokens: TokenStream) -> TokenStream {
    let mut after_apostrophe = false;
    let renamed = tokens.into_iter().map(|token| {
        let is_lifetime = std::mem::replace(
            &mut after_apostrophe,
            matches!(&token, TokenTree::Punct(punct) if punct.as_char() == '\''),
        );
        match token {
            TokenTree::Group(group) => {
                let mut renamed = Group::new(group.delimiter(), with_name(group.stream()));
                renamed.set_span(group.span());
                renamed.into()
            }
            TokenTree::Ident(name) if is_lifetime && name == "_" => Ident::new("__gc", name.span()).into(),
            other => other,
        }
    });
    renamed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elided_lifetimes_are_named_wherever_they_are() {
        let named = with_name(quote!(Vec<(Gc<'_, [Node<'_>; 2]>, &'static str)>));
        assert_eq!(named.to_string(), quote!(Vec<(Gc<'__gc, [Node<'__gc>; 2]>, &'static str)>).to_string());
    }
}
