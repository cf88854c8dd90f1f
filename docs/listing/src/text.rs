//! Source text from tokens, always the same for the same tokens: how the source breaks its lines does not matter.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::ToTokens;
use syn::Attribute;

/// What stands for what, in this order. The tokens come with a space between any two, but for punctuation that belongs together.
const SPACES: [(&str, &str); 28] = [
    (" ,", ","),
    (" ;", ";"),
    (" ::", "::"),
    (":: ", "::"),
    (" :", ":"),
    ("< ", "<"),
    (" <", "<"),
    (" >", ">"),
    ("& ", "&"),
    ("* const", "*const"),
    ("* mut", "*mut"),
    ("? ", "?"),
    ("# [", "#["),
    (" (", "("),
    (",(", ", ("),
    ("->(", "-> ("),
    ("=(", "= ("),
    (":(", ": ("),
    ("::: (", "::("),
    (" !", "!"),
    ("->!", "-> !"),
    (" =>", "=>"),
    ("=>", " =>"),
    ("=<", "= <"),
    ("-><", "-> <"),
    ("$ ", "$"),
    (" . ", "."),
    ("\n", " "),
];

/// The text of tokens, on one line.
pub(crate) fn text(tokens: impl ToTokens) -> String {
    let text = exact(without_last_commas(tokens.to_token_stream()));
    text.replace(",>", ">").replace(", }", " }").trim_end_matches(',').to_string()
}

/// The same with every comma, for macros, in which they matter.
pub(crate) fn exact(tokens: impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string();
    for (from, to) in SPACES {
        text = text.replace(from, to);
    }
    text.trim().to_string()
}

/// Leaves out a comma before a closing parenthesis, but that of a tuple with one element.
fn without_last_commas(tokens: TokenStream) -> TokenStream {
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
    let mut all = Vec::new();
    for token in tokens {
        let TokenTree::Group(group) = token else {
            all.push(token);
            continue;
        };
        let mut inside: Vec<_> = without_last_commas(group.stream()).into_iter().collect();
        let commas = inside.iter().filter(|token| is_comma(token)).count();
        // Behind a name are arguments.
        let arguments = matches!(all.last(), Some(TokenTree::Ident(_)));
        let closes = inside.last().is_some_and(is_comma) && group.delimiter() == Delimiter::Parenthesis;
        if closes && (arguments || commas > 1) {
            inside.pop();
        }
        all.push(TokenTree::Group(Group::new(group.delimiter(), inside.into_iter().collect())));
    }
    all.into_iter().collect()
}

/// The attributes that change what an item is to those who use it, each as a line.
pub(crate) fn attributes(attributes: &[Attribute]) -> Vec<String> {
    attributes.iter().filter(|attribute| matters(attribute)).map(text).collect()
}

fn matters(attribute: &Attribute) -> bool {
    const KEPT: [&str; 11] = [
        "cfg",
        "default",
        "deprecated",
        "derive",
        "macro_export",
        "must_use",
        "non_exhaustive",
        "proc_macro",
        "proc_macro_attribute",
        "proc_macro_derive",
        "repr",
    ];
    let path = attribute.path();
    KEPT.iter().any(|kept| path.is_ident(kept))
        || (path.is_ident("doc") && text(attribute) == "#[doc(hidden)]")
        || (path.is_ident("cfg_attr") && text(attribute).contains("derive("))
}

/// Tokens and nothing between them.
pub(crate) fn join(parts: &[&dyn ToTokens]) -> TokenStream {
    let mut all = TokenStream::new();
    for part in parts {
        part.to_tokens(&mut all);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(source: &str) {
        let tokens: TokenStream = source.parse().expect("tokens");
        assert_eq!(text(tokens), source);
    }

    #[test]
    fn text_is_as_people_write_it() {
        same("pub unsafe fn alloc(&mut self, kind: Kind) -> Result<NonNull<u8>, OutOfMemory>");
        same("fn all<'a>(&'a self) -> impl Iterator<Item = (usize, &'a [u8])> + 'a");
        same("Fixed { start: *const u64, len: usize }");
        same("impl<R: for<'a> Rootable<'a>> Arena<R> where Root<'static, R>: Trace");
        same("fn never(f: impl FnOnce(*const u8) -> bool) -> !");
        same("struct Field<T: ?Sized>(pub *mut T, pub [u8; 4])");
        same("#[cfg(not(feature = \"x\"))]");
        same("type Root<'a, R> = <R as Rootable<'a>>::Root");
        same("fn single(one: (u8,)) -> <T as Trait>::Type");
        same("fn pair(self) -> (u8, (u16, u32))");
    }

    #[test]
    fn line_breaks_and_last_commas_do_not_matter() {
        let broken: TokenStream =
            "fn f(\n    a: (\n    u8,\n u16,\n),\n    b: Vec<\n    u8,\n>,\n)".parse().expect("tokens");
        assert_eq!(text(broken), "fn f(a: (u8, u16), b: Vec<u8>)");
    }
}
