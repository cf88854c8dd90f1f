//! The listing of a crate: what can be reached from its root by public names.
//!
//! Modules come in the order of their paths, what is in them in the order of names. An item stands in full where its path is
//! shortest; elsewhere is a `pub use` that says where that is. Below a type are its implementations: those without a trait with their
//! public members, of the others the heads, of traits from elsewhere and of public ones. Types in signatures are written as in the
//! source, not by their full paths.
//!
//! The parser expands no macros. What a macro makes out of a call where items stand is listed as the call, with the macro's definition,
//! so that a change of either is seen. Implementations inside functions are not looked for: they are of types in those functions,
//! which the compiler's lint on non-local definitions sees to.

use crate::error::Error;
use crate::render::{self, indented};
use crate::resolve::Target;
use crate::source::{ItemId, ModuleId, Name, Sources, What};
use crate::text::{attributes, exact};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use syn::{GenericParam, Type};

/// Traits and types that need no import.
const PRELUDE: [&str; 30] = [
    "AsMut",
    "AsRef",
    "Box",
    "Clone",
    "Copy",
    "Default",
    "DoubleEndedIterator",
    "Drop",
    "Eq",
    "ExactSizeIterator",
    "Extend",
    "Fn",
    "FnMut",
    "FnOnce",
    "From",
    "FromIterator",
    "Into",
    "IntoIterator",
    "Iterator",
    "Option",
    "Ord",
    "PartialEq",
    "PartialOrd",
    "Result",
    "Send",
    "String",
    "Sync",
    "TryFrom",
    "TryInto",
    "Vec",
];

/// Types that are part of the language.
const PRIMITIVES: [&str; 17] = [
    "bool", "char", "f32", "f64", "i128", "i16", "i32", "i64", "i8", "isize", "str", "u128", "u16", "u32",
    "u64", "u8", "usize",
];

/// Where items stand in full: of the crates that have been listed.
pub(crate) type Listed = BTreeMap<ItemId, String>;

/// A public name.
struct Entry {
    name: String,
    attributes: Vec<String>,
    stands_for: StandsFor,
}

enum StandsFor {
    /// An item that stands here in full.
    Item(ItemId),
    /// A module of its own.
    Module,
    /// What stands elsewhere.
    Other(String),
}

/// Public modules, and what is in them.
type Places = BTreeMap<String, Vec<Entry>>;

/// The listing of one crate. Adds its items to those that are listed.
pub(crate) fn listing(sources: &Sources, name: &str, listed: &mut Listed) -> Result<String, Error> {
    let unresolved = || Error::Unresolved { module: name.to_string(), path: "crate".into() };
    let root = *sources.crates.get(name).ok_or_else(unresolved)?;
    let before: BTreeSet<ItemId> = listed.keys().copied().collect();
    let places = places(sources, root, listed)?;
    let implementations = implementations(sources, listed)?;
    let mut lines = Vec::new();
    for (path, entries) in &places {
        lines.push(format!("pub mod {path}"));
        for entry in entries {
            let in_full = matches!(entry.stands_for, StandsFor::Item(_));
            // Elsewhere an item is what it is where it stands; whether it is there at all may be another matter.
            let shown = entry.attributes.iter().filter(|line| in_full || line.starts_with("#[cfg("));
            lines.extend(shown.map(|line| indented(line)));
            match &entry.stands_for {
                StandsFor::Module => lines.push(format!("    pub mod {}", entry.name)),
                StandsFor::Other(path) => lines.push(indented(&import(path, &entry.name))),
                StandsFor::Item(id) => {
                    if sources.own_name(*id).is_some_and(|own| own != entry.name) {
                        lines.push(format!("    // as {}", entry.name));
                    }
                    let item = render::item(path, &sources.items[id.0])?;
                    lines.extend(item.iter().map(|line| indented(line)));
                    let below = implementations.get(id).into_iter().flatten().flatten();
                    lines.extend(below.map(|line| indented(&indented(line))));
                }
            }
        }
        lines.push(String::new());
    }
    let crates: BTreeSet<_> =
        listed.keys().filter(|id| !before.contains(id)).map(|id| sources.root_of(*id)).collect();
    lines.extend(made_by_macros(sources, &crates)?);
    Ok(lines.join("\n").trim_end().to_string() + "\n")
}

fn import(path: &str, name: &str) -> String {
    let last = path.rsplit("::").next();
    if last == Some(name) { format!("pub use {path}") } else { format!("pub use {path} as {name}") }
}

fn places(sources: &Sources, root: ModuleId, listed: &mut Listed) -> Result<Places, Error> {
    let mut places = Places::new();
    let mut modules = BTreeMap::from([(root, sources.modules[root.0].path.clone())]);
    let mut queue = VecDeque::from([root]);
    while let Some(module) = queue.pop_front() {
        let path = modules[&module].clone();
        let mut entries = Vec::new();
        for (name, attributes, target) in public_names(sources, module, &mut Vec::new())? {
            let stands_for = match target {
                Target::Module(id) if modules.contains_key(&id) => StandsFor::Other(modules[&id].clone()),
                Target::Module(id) => {
                    modules.insert(id, format!("{path}::{name}"));
                    queue.push_back(id);
                    StandsFor::Module
                }
                Target::Item(id) if listed.contains_key(&id) => StandsFor::Other(listed[&id].clone()),
                Target::Item(id) => {
                    listed.insert(id, format!("{path}::{name}"));
                    StandsFor::Item(id)
                }
                Target::Foreign(path) => StandsFor::Other(path),
            };
            entries.push(Entry { name, attributes, stands_for });
        }
        places.insert(path, entries);
    }
    Ok(places)
}

/// The public names of a module with what they lead to, sorted.
fn public_names(
    sources: &Sources,
    module: ModuleId,
    within: &mut Vec<ModuleId>,
) -> Result<Vec<(String, Vec<String>, Target)>, Error> {
    let mut found = Vec::new();
    if within.contains(&module) {
        return Ok(found);
    }
    within.push(module);
    for Name { name, attributes, what, .. } in
        sources.modules[module.0].names.iter().filter(|name| name.public)
    {
        let targets = match what {
            What::Module(id) => vec![Target::Module(*id)],
            What::Item(id) => vec![Target::Item(*id)],
            What::Use(path) => sources.resolve(module, path)?,
            What::Glob(path) => {
                for target in sources.resolve(module, path)? {
                    let Target::Module(from) = target else {
                        let (module, path) = (sources.modules[module.0].path.clone(), path.join("::"));
                        return Err(Error::Unlisted { module, what: format!("`pub use {path}::*`") });
                    };
                    found.extend(public_names(sources, from, within)?);
                }
                continue;
            }
        };
        for target in targets {
            // An item's own attributes stand before it wherever it is reached; those of an import besides.
            let mut shown = attributes.clone();
            if let (What::Use(_), Target::Item(id)) = (what, &target) {
                let own = sources.attributes_of(*id).into_iter().filter(|line| !attributes.contains(line));
                shown.extend(own);
            }
            found.push((name.clone(), shown, target));
        }
    }
    within.pop();
    found.sort_by(|a, b| (&a.0, order(sources, &a.2), &a.2).cmp(&(&b.0, order(sources, &b.2), &b.2)));
    Ok(found)
}

/// Of things with one name: types before macros.
fn order(sources: &Sources, target: &Target) -> u8 {
    match target {
        Target::Module(_) => 0,
        Target::Item(id) => match sources.items[id.0] {
            syn::Item::Fn(_) | syn::Item::Macro(_) => 2,
            _ => 1,
        },
        Target::Foreign(_) => 3,
    }
}

/// Implementations that users of listed items see, below the type or, where that is none of ours, below the trait.
fn implementations(
    sources: &Sources,
    listed: &Listed,
) -> Result<BTreeMap<ItemId, BTreeSet<Vec<String>>>, Error> {
    let mut found = BTreeMap::<ItemId, BTreeSet<Vec<String>>>::new();
    for (number, module) in sources.modules.iter().enumerate() {
        for item in &module.impls {
            let types = sources.type_of(ModuleId(number), item)?;
            let traits = sources.trait_of(ModuleId(number), item)?;
            let trait_is_public = traits.as_ref().is_none_or(|traits| {
                traits.iter().any(|target| match target {
                    Target::Item(id) => listed.contains_key(id),
                    Target::Foreign(_) => true,
                    Target::Module(_) => false,
                })
            });
            let of_ours = |targets: &[Target]| {
                let items = targets
                    .iter()
                    .filter_map(|target| if let Target::Item(id) = target { Some(*id) } else { None });
                items.filter(|id| sources.is_type(*id)).collect::<Vec<_>>()
            };
            let ours = of_ours(&types);
            let below = if ours.is_empty() { of_ours(traits.as_deref().unwrap_or_default()) } else { ours };
            for id in below {
                if trait_is_public && listed.contains_key(&id) {
                    let lines = render::implementation(&module.path, item)?;
                    // One without public members says nothing.
                    if traits.is_some() || lines.iter().any(|line| line.starts_with(' ')) {
                        found.entry(id).or_default().insert(lines);
                    }
                }
            }
        }
    }
    Ok(found)
}

/// Calls of macros where items stand, in the crates that items of a listing come from.
fn made_by_macros(sources: &Sources, crates: &BTreeSet<ModuleId>) -> Result<Vec<String>, Error> {
    let of_crates = || sources.modules.iter().filter(|module| crates.contains(&module.root));
    let mut lines = BTreeSet::new();
    for module in of_crates() {
        for call in &module.calls {
            let name =
                call.mac.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
            // Makes statics, which are private here as everywhere.
            if name == "thread_local" {
                continue;
            }
            let definition = of_crates()
                .flat_map(|module| &module.macros)
                .find(|item| item.ident.as_ref().is_some_and(|ident| *ident == name));
            let Some(definition) = definition else {
                let what = format!("what the macro `{name}!` makes, which is not defined in this crate,");
                return Err(Error::Unlisted { module: module.path.clone(), what });
            };
            let mut bare = definition.clone();
            bare.attrs.clear();
            lines.insert(exact(bare));
            let mut bare = call.clone();
            bare.attrs.clear();
            lines.insert([attributes(&call.attrs), vec![exact(bare)]].concat().join(" "));
        }
    }
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let mut all = vec!["made by macros".to_string()];
    all.extend(lines.iter().map(|line| indented(line)));
    Ok(all)
}

impl Sources {
    fn root_of(&self, id: ItemId) -> ModuleId {
        let holds = |module: &&crate::source::Module| {
            module.names.iter().any(|name| matches!(name.what, What::Item(item) if item == id))
        };
        self.modules.iter().find(holds).map_or(ModuleId(0), |module| module.root)
    }

    fn attributes_of(&self, id: ItemId) -> Vec<String> {
        let names = self.modules.iter().flat_map(|module| &module.names);
        let own = names.into_iter().find(|name| matches!(name.what, What::Item(item) if item == id));
        own.map(|name| name.attributes.clone()).unwrap_or_default()
    }

    /// The name that an item has where it is defined.
    fn own_name(&self, id: ItemId) -> Option<String> {
        use syn::Item::{Enum, Fn, Struct, Trait, Type, Union};
        Some(match &self.items[id.0] {
            Enum(item) => item.ident.to_string(),
            Fn(item) => item.sig.ident.to_string(),
            Struct(item) => item.ident.to_string(),
            Trait(item) => item.ident.to_string(),
            Type(item) => item.ident.to_string(),
            Union(item) => item.ident.to_string(),
            _ => return None,
        })
    }

    fn is_type(&self, id: ItemId) -> bool {
        use syn::Item::{Enum, Struct, Trait, Type, Union};
        matches!(self.items[id.0], Enum(_) | Struct(_) | Trait(_) | Type(_) | Union(_))
    }

    /// What an implementation is of; nothing where that is no type with a name, or one of the language's.
    fn type_of(&self, module: ModuleId, item: &syn::ItemImpl) -> Result<Vec<Target>, Error> {
        let mut ty = &*item.self_ty;
        while let Type::Paren(syn::TypeParen { elem, .. }) | Type::Group(syn::TypeGroup { elem, .. }) = ty {
            ty = elem;
        }
        let Type::Path(syn::TypePath { qself: None, path, .. }) = ty else { return Ok(Vec::new()) };
        let path = segments(path);
        let is_parameter = item.generics.params.iter().any(|parameter| match parameter {
            GenericParam::Type(parameter) => parameter.ident == path[0],
            _ => false,
        });
        if is_parameter || (path.len() == 1 && PRIMITIVES.contains(&path[0].as_str())) {
            return Ok(Vec::new());
        }
        self.resolve_or_prelude(module, &path)
    }

    fn trait_of(&self, module: ModuleId, item: &syn::ItemImpl) -> Result<Option<Vec<Target>>, Error> {
        let path = item.trait_.as_ref().map(|(path, _)| segments(path));
        path.map(|path| self.resolve_or_prelude(module, &path)).transpose()
    }

    fn resolve_or_prelude(&self, module: ModuleId, path: &[String]) -> Result<Vec<Target>, Error> {
        match self.resolve(module, path) {
            Err(_) if path.len() == 1 && PRELUDE.contains(&path[0].as_str()) => {
                Ok(vec![Target::Foreign(path[0].clone())])
            }
            other => other,
        }
    }
}

fn segments(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}
