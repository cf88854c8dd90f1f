//! The sources of some crates: their modules, with the names in each, parsed and not yet connected.
//!
//! A module is found where the compiler finds it, in the file `name.rs` or `name/mod.rs`. What is compiled for tests only is left out;
//! any other condition is kept, and shown beside what it is about, so that the listing does not depend on the features and the machine
//! of whoever makes it.

use crate::error::Error;
use crate::text::attributes;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use syn::{Attribute, Ident, Meta, Token, UseTree, Visibility, punctuated::Punctuated};

/// Index of a module.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ModuleId(pub(crate) usize);

/// Index of an item.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ItemId(pub(crate) usize);

/// What a name in a module stands for.
pub(crate) enum What {
    Module(ModuleId),
    Item(ItemId),
    /// What this path leads to.
    Use(Vec<String>),
    /// All public names of what this path leads to. The name is empty.
    Glob(Vec<String>),
}

/// A name in a module.
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) public: bool,
    /// Attributes to show.
    pub(crate) attributes: Vec<String>,
    pub(crate) what: What,
}

/// A module.
pub(crate) struct Module {
    /// For messages, and as the root of public paths: with the crate's name.
    pub(crate) path: String,
    pub(crate) parent: Option<ModuleId>,
    pub(crate) root: ModuleId,
    pub(crate) names: Vec<Name>,
    pub(crate) impls: Vec<syn::ItemImpl>,
    /// Macros called where items stand.
    pub(crate) calls: Vec<syn::ItemMacro>,
    /// Macros that are defined here and not exported.
    pub(crate) macros: Vec<syn::ItemMacro>,
}

/// Some crates.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) modules: Vec<Module>,
    pub(crate) items: Vec<syn::Item>,
    /// The crates' roots by name.
    pub(crate) crates: BTreeMap<String, ModuleId>,
    /// What each crate depends on, by the root's number.
    pub(crate) dependencies: BTreeMap<ModuleId, BTreeSet<String>>,
}

impl Sources {
    /// Adds a crate, from the folder with its manifest.
    pub(crate) fn add(&mut self, name: &str, folder: &Path) -> Result<(), Error> {
        let root = self.module(name.to_string(), None, None);
        self.crates.insert(name.to_string(), root);
        self.dependencies.insert(root, dependencies(&folder.join("Cargo.toml"))?);
        let file = folder.join("src/lib.rs");
        self.file(root, &file, &folder.join("src"))
    }

    fn module(&mut self, path: String, parent: Option<ModuleId>, root: Option<ModuleId>) -> ModuleId {
        let id = ModuleId(self.modules.len());
        let root = root.unwrap_or(id);
        let (names, impls, calls, macros) = Default::default();
        self.modules.push(Module { path, parent, root, names, impls, calls, macros });
        id
    }

    /// Reads a module's file. Its modules are in `folder`.
    fn file(&mut self, id: ModuleId, file: &Path, folder: &Path) -> Result<(), Error> {
        let source = std::fs::read_to_string(file).map_err(Error::read(file))?;
        let parsed = syn::parse_file(&source).map_err(|why| Error::parse(file, why))?;
        self.contents(id, parsed.items, file, folder)
    }

    fn contents(
        &mut self,
        id: ModuleId,
        items: Vec<syn::Item>,
        file: &Path,
        folder: &Path,
    ) -> Result<(), Error> {
        for item in items {
            self.item(id, item, file, folder)?;
        }
        Ok(())
    }

    fn item(&mut self, id: ModuleId, item: syn::Item, file: &Path, folder: &Path) -> Result<(), Error> {
        let Some((vis, ident, attrs)) = head(&item) else {
            let path = self.modules[id.0].path.clone();
            return Err(Error::Unlisted {
                module: path,
                what: "an item that the parser does not know".into(),
            });
        };
        if for_tests_only(attrs) {
            return Ok(());
        }
        let public = matches!(vis, Some(Visibility::Public(_)));
        let shown = attributes(attrs);
        let name = proc_macro_name(&item).or(ident.map(Ident::to_string));
        match item {
            syn::Item::Impl(item) => self.modules[id.0].impls.push(item),
            syn::Item::Mod(item) => {
                let name = item.ident.to_string();
                let path = format!("{}::{name}", self.modules[id.0].path);
                let child = self.module(path, Some(id), Some(self.modules[id.0].root));
                self.name(id, &name, public, shown, What::Module(child));
                let folder = folder.join(&name);
                match item.content {
                    Some((_, items)) => self.contents(child, items, file, &folder)?,
                    None => self.file(child, &file_of(file, &folder, &name)?, &folder)?,
                }
            }
            syn::Item::Use(item) => self.uses(id, public, &shown, Vec::new(), &item.tree),
            syn::Item::ExternCrate(item) if item.ident == "self" => {
                let name = item.rename.map(|(_, name)| name.to_string()).unwrap_or_default();
                self.name(id, &name, public, shown, What::Use(vec!["crate".into()]));
            }
            syn::Item::Macro(item) if item.ident.is_none() => self.modules[id.0].calls.push(item),
            syn::Item::Macro(item) if !item.attrs.iter().any(|a| a.path().is_ident("macro_export")) => {
                self.modules[id.0].macros.push(item);
            }
            item => {
                let exported = matches!(item, syn::Item::Macro(_));
                let at = if exported { self.modules[id.0].root } else { id };
                let number = ItemId(self.items.len());
                self.items.push(item);
                // `extern` blocks and nameless constants have no name that leads to them.
                if let Some(name) = name.filter(|name| name != "_") {
                    self.name(at, &name, public || exported, shown, What::Item(number));
                }
            }
        }
        Ok(())
    }

    fn name(&mut self, at: ModuleId, name: &str, public: bool, attributes: Vec<String>, what: What) {
        self.modules[at.0].names.push(Name { name: name.to_string(), public, attributes, what });
    }

    fn uses(&mut self, id: ModuleId, public: bool, shown: &[String], mut path: Vec<String>, tree: &UseTree) {
        let mut add = |name: &Ident, what| self.name(id, &name.to_string(), public, shown.to_vec(), what);
        match tree {
            UseTree::Path(tree) => {
                path.push(tree.ident.to_string());
                self.uses(id, public, shown, path, &tree.tree);
            }
            UseTree::Group(tree) => {
                for tree in &tree.items {
                    self.uses(id, public, shown, path.clone(), tree);
                }
            }
            UseTree::Name(tree) if tree.ident == "self" => {
                let name = path.last().cloned().unwrap_or_default();
                self.name(id, &name, public, shown.to_vec(), What::Use(path));
            }
            UseTree::Name(tree) => {
                path.push(tree.ident.to_string());
                add(&tree.ident, What::Use(path));
            }
            UseTree::Rename(tree) => {
                if tree.ident != "self" {
                    path.push(tree.ident.to_string());
                }
                if tree.rename != "_" {
                    add(&tree.rename, What::Use(path));
                }
            }
            UseTree::Glob(_) => self.name(id, "", public, shown.to_vec(), What::Glob(path)),
        }
    }
}

/// The file of a module that is declared in `file` and whose own modules are in `folder`.
fn file_of(file: &Path, folder: &Path, name: &str) -> Result<PathBuf, Error> {
    let candidates = [folder.with_extension("rs"), folder.join("mod.rs")];
    let found = candidates.into_iter().find(|candidate| candidate.is_file());
    found.ok_or_else(|| Error::NoFile { file: file.to_path_buf(), module: name.to_string() })
}

/// Names by which a crate can call its dependencies.
fn dependencies(manifest: &Path) -> Result<BTreeSet<String>, Error> {
    let text = std::fs::read_to_string(manifest).map_err(Error::read(manifest))?;
    let table: toml::Table = text.parse().map_err(|why| Error::parse(manifest, why))?;
    let listed = table.get("dependencies").and_then(|value| value.as_table());
    let mut names: BTreeSet<_> =
        listed.into_iter().flat_map(|listed| listed.keys()).map(|name| name.replace('-', "_")).collect();
    names.extend(["std", "core", "alloc", "proc_macro"].map(String::from));
    Ok(names)
}

/// Visibility, name and attributes, as far as an item has them. None of what the parser does not know.
fn head(item: &syn::Item) -> Option<(Option<&Visibility>, Option<&Ident>, &[Attribute])> {
    use syn::Item::{
        Const, Enum, ExternCrate, Fn, ForeignMod, Impl, Macro, Mod, Static, Struct, Trait, TraitAlias, Type,
        Union, Use,
    };
    Some(match item {
        Const(item) => (Some(&item.vis), Some(&item.ident), &item.attrs),
        Enum(item) => (Some(&item.vis), Some(&item.ident), &item.attrs),
        ExternCrate(item) => (Some(&item.vis), Some(&item.ident), &item.attrs),
        Fn(item) => (Some(&item.vis), Some(&item.sig.ident), &item.attrs),
        ForeignMod(item) => (None, None, &item.attrs),
        Impl(item) => (None, None, &item.attrs),
        Macro(item) => (None, item.ident.as_ref(), &item.attrs),
        Mod(item) => (Some(&item.vis), Some(&item.ident), &item.attrs),
        Static(item) => (Some(&item.vis), Some(&item.ident), &item.attrs),
        Struct(item) => (Some(&item.vis), Some(&item.ident), &item.attrs),
        Trait(item) => (Some(&item.vis), Some(&item.ident), &item.attrs),
        TraitAlias(item) => (Some(&item.vis), Some(&item.ident), &item.attrs),
        Type(item) => (Some(&item.vis), Some(&item.ident), &item.attrs),
        Union(item) => (Some(&item.vis), Some(&item.ident), &item.attrs),
        Use(item) => (Some(&item.vis), None, &item.attrs),
        _ => return None,
    })
}

/// The name of what a procedural macro's function defines, where it is not the function's.
fn proc_macro_name(item: &syn::Item) -> Option<String> {
    let syn::Item::Fn(item) = item else { return None };
    let derive = item.attrs.iter().find(|attribute| attribute.path().is_ident("proc_macro_derive"))?;
    let arguments = derive.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
    arguments.first()?.path().get_ident().map(Ident::to_string)
}

/// Whether the conditions of an item hold in tests only.
fn for_tests_only(attributes: &[Attribute]) -> bool {
    let conditions = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    conditions
        .filter_map(|attribute| attribute.parse_args::<Meta>().ok())
        .any(|condition| needs_test(&condition))
}

fn needs_test(condition: &Meta) -> bool {
    let parts = |list: &syn::MetaList| {
        let parsed = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
        parsed.map(|parts| parts.into_iter().collect::<Vec<_>>()).unwrap_or_default()
    };
    match condition {
        Meta::Path(path) => path.is_ident("test") || path.is_ident("doctest"),
        Meta::List(list) if list.path.is_ident("all") => parts(list).iter().any(needs_test),
        Meta::List(list) if list.path.is_ident("any") => {
            let parts = parts(list);
            !parts.is_empty() && parts.iter().all(needs_test)
        }
        _ => false,
    }
}
