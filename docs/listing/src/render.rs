//! One item, as lines: what its users see of it. Bodies, private fields, names of patterns and values of constants are not among that.

use crate::error::Error;
use crate::text::{attributes, exact, join, text};
use syn::{Fields, FnArg, ImplItem, Pat, ReceiverKind, Signature, TraitItem, Visibility};

/// The lines of an item at its place: attributes, the head, and what is in it, indented.
pub(crate) fn item(module: &str, item: &syn::Item) -> Result<Vec<String>, Error> {
    use syn::Item::{Const, Enum, Fn, Macro, Static, Struct, Trait, Type};
    let unlisted = |what: &str| Error::Unlisted { module: module.to_string(), what: what.to_string() };
    Ok(match item {
        Const(item) => {
            vec![text(join(&[&item.vis, &item.const_token, &item.ident, &item.colon_token, &item.ty]))]
        }
        Static(item) => {
            vec![text(join(&[&item.vis, &item.static_token, &item.ident, &item.colon_token, &item.ty]))]
        }
        Fn(item) => vec![text(join(&[&item.vis, &plain(&item.sig)]))],
        Type(item) => vec![text(join(&[
            &item.vis,
            &item.type_token,
            &item.ident,
            &item.generics,
            &item.generics.where_clause,
            &item.eq_token,
            &item.ty,
        ]))],
        Struct(item) => {
            let generics = &item.generics;
            let head =
                text(join(&[&item.vis, &item.struct_token, &item.ident, generics, &generics.where_clause]));
            let (after, inside) = fields(&item.fields);
            [vec![head + &after], inside].concat()
        }
        Enum(item) => {
            let generics = &item.generics;
            let mut lines = vec![text(join(&[
                &item.vis,
                &item.enum_token,
                &item.ident,
                generics,
                &generics.where_clause,
            ]))];
            for variant in &item.variants {
                lines.extend(attributes(&variant.attrs).iter().map(|line| indented(line)));
                let mut variant = variant.clone();
                variant.attrs.clear();
                variant.fields.iter_mut().for_each(|field| field.attrs.clear());
                lines.push(indented(&text(variant)));
            }
            lines
        }
        Trait(item) => {
            let mut head = item.clone();
            head.attrs.clear();
            head.items.clear();
            let mut members = Vec::new();
            for member in &item.items {
                members.push(trait_member(member).ok_or_else(|| unlisted("a macro in a trait"))?);
            }
            [vec![without_braces(&text(head))], sorted(members)].concat()
        }
        Macro(item) => {
            let mut item = item.clone();
            item.attrs.clear();
            vec![exact(item)]
        }
        _ => return Err(unlisted("this kind of item")),
    })
}

/// An implementation: its head, and of one without a trait the public members, of one of a trait its types.
pub(crate) fn implementation(module: &str, item: &syn::ItemImpl) -> Result<Vec<String>, Error> {
    let mut head = item.clone();
    head.attrs.clear();
    head.items.clear();
    let of_trait = item.trait_.is_some();
    let mut members = Vec::new();
    for member in &item.items {
        let (attrs, vis, line) = match member {
            ImplItem::Const(member) if !of_trait => (
                &member.attrs,
                &member.vis,
                text(join(&[
                    &member.vis,
                    &member.const_token,
                    &member.ident,
                    &member.colon_token,
                    &member.ty,
                ])),
            ),
            ImplItem::Fn(member) if !of_trait => {
                (&member.attrs, &member.vis, text(join(&[&member.vis, &plain(&member.sig)])))
            }
            ImplItem::Type(member) => (
                &member.attrs,
                &member.vis,
                text(join(&[
                    &member.type_token,
                    &member.ident,
                    &member.generics,
                    &member.eq_token,
                    &member.ty,
                ])),
            ),
            ImplItem::Const(_) | ImplItem::Fn(_) => continue,
            _ => {
                let what = format!("a macro in `{}`", without_braces(&text(&head)));
                return Err(Error::Unlisted { module: module.to_string(), what });
            }
        };
        if of_trait || matches!(vis, Visibility::Public(_)) {
            members.push([attributes(attrs), vec![line]].concat());
        }
    }
    let heads = [attributes(&item.attrs), vec![without_braces(&text(head))]].concat();
    Ok([heads, sorted(members)].concat())
}

fn trait_member(member: &TraitItem) -> Option<Vec<String>> {
    let (attrs, line) = match member {
        TraitItem::Const(member) => {
            let line = text(join(&[&member.const_token, &member.ident, &member.colon_token, &member.ty]));
            (&member.attrs, line + if member.default.is_some() { " = .." } else { "" })
        }
        TraitItem::Fn(member) => {
            let line = text(plain(&member.sig));
            (&member.attrs, line + if member.default.is_some() { " { .. }" } else { "" })
        }
        TraitItem::Type(member) => {
            let mut plain = member.clone();
            plain.attrs.clear();
            (&member.attrs, text(plain).trim_end_matches(';').to_string())
        }
        _ => return None,
    };
    Some([attributes(attrs), vec![line]].concat())
}

/// What stands behind a struct's head, and the lines of its public fields.
fn fields(fields: &Fields) -> (String, Vec<String>) {
    let is_public = |field: &&syn::Field| matches!(field.vis, Visibility::Public(_));
    let some_are_private = !fields.iter().all(|field| is_public(&field));
    match fields {
        Fields::Unit => (String::new(), Vec::new()),
        Fields::Unnamed(fields) => {
            let all = fields.unnamed.iter();
            let shown =
                all.map(
                    |field| if is_public(&field) { text(join(&[&field.vis, &field.ty])) } else { "_".into() },
                );
            (format!("({})", shown.collect::<Vec<_>>().join(", ")), Vec::new())
        }
        Fields::Named(fields) => {
            let mut lines = Vec::new();
            for field in fields.named.iter().filter(is_public) {
                lines.extend(attributes(&field.attrs));
                lines.push(text(join(&[&field.vis, &field.ident, &field.colon_token, &field.ty])));
            }
            if some_are_private {
                lines.push("..".into());
            }
            (String::new(), lines.iter().map(|line| indented(line)).collect())
        }
    }
}

/// A signature without what matters to the body only.
fn plain(signature: &Signature) -> Signature {
    let mut plain = signature.clone();
    for input in &mut plain.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                if matches!(receiver.kind, ReceiverKind::Value) {
                    receiver.mutability = None;
                }
            }
            FnArg::Typed(argument) => {
                argument.attrs.clear();
                if let Pat::Ident(name) = &mut *argument.pat {
                    name.mutability = None;
                }
            }
        }
    }
    plain
}

/// Members in an order that does not depend on the source's, each with its attributes before it.
fn sorted(mut members: Vec<Vec<String>>) -> Vec<String> {
    members.sort_by(|a, b| a.last().cmp(&b.last()));
    members.concat().iter().map(|line| indented(line)).collect()
}

pub(crate) fn indented(line: &str) -> String {
    format!("    {line}")
}

fn without_braces(text: &str) -> String {
    text.trim_end_matches(['{', '}', ' ', ',']).to_string()
}
