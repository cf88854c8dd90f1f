//! What a path leads to, by the names in modules. Of the compiler's rules it has those that these sources use: `crate`, `self` and
//! `super`, names in scope before names of crates, imports through imports, and globs. Visibility is the compiler's business: a path
//! that it has accepted may be followed.

use crate::error::Error;
use crate::source::{ItemId, ModuleId, Sources, What};

/// Where a path leads. A name may lead to several things: a trait and a macro, for one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Target {
    Module(ModuleId),
    Item(ItemId),
    /// Into a crate whose sources are not at hand.
    Foreign(String),
}

/// Imports that are being followed, by module and place: one that leads to itself leads nowhere.
type Followed = Vec<(ModuleId, usize)>;

impl Sources {
    /// What a path in a module leads to.
    ///
    /// # Errors
    /// Where it leads to nothing.
    pub(crate) fn resolve(&self, module: ModuleId, path: &[String]) -> Result<Vec<Target>, Error> {
        let found = self.follow(module, path, &mut Vec::new());
        if found.is_empty() {
            let module = self.modules[module.0].path.clone();
            return Err(Error::Unresolved { module, path: path.join("::") });
        }
        Ok(found)
    }

    fn follow(&self, module: ModuleId, path: &[String], followed: &mut Followed) -> Vec<Target> {
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        let here = &self.modules[module.0];
        let mut found = match first.as_str() {
            "crate" => vec![Target::Module(here.root)],
            "self" => vec![Target::Module(module)],
            "super" => here.parent.map(Target::Module).into_iter().collect(),
            name => self.look_up(module, name, followed),
        };
        if found.is_empty() {
            found.extend(self.krate(here.root, first));
        }
        for name in rest {
            found = found
                .into_iter()
                .flat_map(|target| match target {
                    Target::Module(module) if name == "super" => {
                        self.modules[module.0].parent.map(Target::Module).into_iter().collect()
                    }
                    Target::Module(module) => self.look_up(module, name, followed),
                    Target::Foreign(path) => vec![Target::Foreign(format!("{path}::{name}"))],
                    Target::Item(_) => Vec::new(),
                })
                .collect();
        }
        found.sort();
        found.dedup();
        found
    }

    fn krate(&self, root: ModuleId, name: &str) -> Option<Target> {
        let known = self.dependencies.get(&root).is_some_and(|names| names.contains(name));
        let ours = self.crates.get(name).copied().map(Target::Module);
        known.then(|| ours.unwrap_or_else(|| Target::Foreign(name.to_string())))
    }

    fn look_up(&self, module: ModuleId, name: &str, followed: &mut Followed) -> Vec<Target> {
        let mut found = Vec::new();
        for (place, entry) in self.modules[module.0].names.iter().enumerate() {
            if followed.contains(&(module, place)) {
                continue;
            }
            followed.push((module, place));
            match &entry.what {
                _ if entry.name != name && !entry.name.is_empty() => {}
                What::Module(id) => found.push(Target::Module(*id)),
                What::Item(id) => found.push(Target::Item(*id)),
                What::Use(path) => found.extend(self.follow(module, path, followed)),
                What::Glob(path) => {
                    for target in self.follow(module, path, followed) {
                        if let Target::Module(from) = target {
                            found.extend(self.look_up(from, name, followed));
                        }
                    }
                }
            }
            followed.pop();
        }
        found
    }
}
