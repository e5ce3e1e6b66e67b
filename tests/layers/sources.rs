//! Reads the modules of a crate and resolves the names that they use, through re-exports, to the
//! file that defines them.
//!
//! Modules under `#[cfg(test)]` are left out. A `pub use` that nobody uses is no import. Methods
//! are not followed: what counts is the name of the type or function.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{Ident, Item, UseTree, Visibility};

use crate::graph::Imports;

/// The segments of a path as written: `["super", "plan", "Plan"]`.
type Segments = Vec<String>;

#[derive(Default)]
pub(crate) struct Sources {
    /// The key is the module's path from the crate's root. The root's own path is empty.
    modules: BTreeMap<Segments, Module>,
}

#[derive(Default)]
struct Module {
    /// The path from the source folder: `load/plan.rs`.
    file: String,
    /// The names of the items that the module defines.
    items: BTreeSet<String>,
    /// A macro call at the top of the module may define more items.
    has_macro_items: bool,
    /// The paths that `use` brings in, public or not, under the names that they have here.
    aliases: BTreeMap<String, BTreeSet<Segments>>,
    globs: Vec<Segments>,
    /// Every path that its code uses.
    uses: BTreeSet<Segments>,
}

/// The target of a path. A module and a function may share a name.
#[derive(Default)]
struct Found {
    module: Option<Segments>,
    /// Each item's file, and its name there.
    items: BTreeSet<(String, String)>,
}

impl Sources {
    /// Reads all modules that `lib.rs` in this folder leads to.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        Self::load(&|file| {
            let path = folder.join(file);
            Ok(path.exists().then(|| std::fs::read_to_string(path)).transpose()?)
        })
    }

    /// Reads all modules that `lib.rs` leads to, where `text` returns the text of a file.
    pub(crate) fn load(text: &dyn Fn(&str) -> Result<Option<String>>) -> Result<Self> {
        let mut sources = Self::default();
        let root = text("lib.rs")?.context("lib.rs is missing")?;
        sources.add_file("lib.rs", Vec::new(), &root, text)?;
        Ok(sources)
    }

    /// Returns the names that each file takes from others. A path from `crate`, `self` or `super`
    /// that leads nowhere is an error: something here is not understood.
    pub(crate) fn imports(&self) -> Result<Imports> {
        let mut imports = Imports::new();
        for (path, module) in &self.modules {
            for used in &module.uses {
                let found = self.resolve(path, used, &mut BTreeSet::new());
                if ["crate", "self", "super"].contains(&used[0].as_str())
                    && found.module.is_none()
                    && found.items.is_empty()
                {
                    bail!("{} leads nowhere from {}", used.join("::"), module.file);
                }
                for (file, name) in found.items {
                    if file != module.file {
                        imports.entry((module.file.clone(), file)).or_default().insert(name);
                    }
                }
            }
        }
        Ok(imports)
    }

    /// Returns the files that were read.
    pub(crate) fn files(&self) -> BTreeSet<&str> {
        self.modules.values().map(|module| module.file.as_str()).collect()
    }

    fn add_file(
        &mut self,
        file: &str,
        path: Segments,
        content: &str,
        text: &dyn Fn(&str) -> Result<Option<String>>,
    ) -> Result<()> {
        let parsed = syn::parse_file(content).with_context(|| format!("{file} does not parse"))?;
        self.add_module(file, path, &parsed.items, text)
    }

    fn add_module(
        &mut self,
        file: &str,
        path: Segments,
        items: &[Item],
        text: &dyn Fn(&str) -> Result<Option<String>>,
    ) -> Result<()> {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        for item in items.iter().filter(|item| !is_for_tests(item)) {
            if let Item::Mod(child) = item {
                let path = [path.clone(), vec![child.ident.to_string()]].concat();
                if let Some((_, items)) = &child.content {
                    self.add_module(file, path, items, text)?;
                    continue;
                }
                let stem = path.join("/");
                let names = [format!("{stem}.rs"), format!("{stem}/mod.rs")];
                let mut is_found = false;
                for name in names {
                    if let Some(content) = text(&name)? {
                        self.add_file(&name, path.clone(), &content, text)?;
                        is_found = true;
                    }
                }
                if !is_found {
                    bail!("{file} declares {stem}, which has no file");
                }
                continue;
            }
            module.items.extend(name_of(item));
            module.has_macro_items |= matches!(item, Item::Macro(call) if call.ident.is_none());
            module.visit_item(item);
        }
        self.modules.insert(path, module);
        Ok(())
    }

    /// Returns what a path in the code of module `from` leads to. `followed` holds the aliases
    /// that were followed on the way, because two modules may re-export each other.
    fn resolve<'a>(
        &'a self,
        from: &[String],
        path: &'a [String],
        followed: &mut BTreeSet<(Segments, &'a [String])>,
    ) -> Found {
        let mut module = from.to_vec();
        let mut segments = path;
        while let [first, rest @ ..] = segments {
            match first.as_str() {
                "crate" => module.clear(),
                "self" => {}
                "super" => drop(module.pop()),
                _ => break,
            }
            segments = rest;
        }
        let Some((last, parents)) = segments.split_last() else {
            return Found { module: Some(module), items: BTreeSet::new() };
        };
        for parent in parents {
            let found = self.look_up(&module, parent, followed);
            match found.module {
                Some(next) => module = next,
                // A variant or an associated function.
                None => return found,
            }
        }
        self.look_up(&module, last, followed)
    }

    fn look_up<'a>(
        &'a self,
        path: &[String],
        name: &'a str,
        followed: &mut BTreeSet<(Segments, &'a [String])>,
    ) -> Found {
        let mut found = Found::default();
        let Some(module) = self.modules.get(path) else {
            return found;
        };
        let child = [path, &[name.to_owned()]].concat();
        if self.modules.contains_key(&child) {
            found.module = Some(child);
        }
        if module.items.contains(name) {
            found.items.insert((module.file.clone(), name.to_owned()));
        }
        for alias in module.aliases.get(name).into_iter().flatten() {
            if followed.insert((path.to_vec(), alias)) {
                let target = self.resolve(path, alias, followed);
                found.module = found.module.or(target.module);
                found.items.extend(target.items);
            }
        }
        if found.module.is_some() || !found.items.is_empty() {
            return found;
        }
        for glob in &module.globs {
            if let Some(target) = self.resolve(path, glob, followed).module
                && target != path
            {
                let target = self.look_up(&target, name, followed);
                found.module = found.module.or(target.module);
                found.items.extend(target.items);
            }
        }
        if module.has_macro_items && found.module.is_none() && found.items.is_empty() {
            found.items.insert((module.file.clone(), name.to_owned()));
        }
        found
    }
}

impl Module {
    fn import(&mut self, tree: &UseTree, prefix: &Segments, is_public: bool) {
        let join = |name: &Ident| match name.to_string() {
            name if name == "self" && !prefix.is_empty() => prefix.clone(),
            name => [prefix.clone(), vec![name]].concat(),
        };
        let (path, name) = match tree {
            UseTree::Path(path) => return self.import(&path.tree, &join(&path.ident), is_public),
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.import(tree, prefix, is_public));
            }
            UseTree::Glob(_) => {
                // An enum's variants; a module by itself is no import.
                self.uses.extend((!is_public).then(|| prefix.clone()));
                return self.globs.push(prefix.clone());
            }
            UseTree::Name(name) => (join(&name.ident), None),
            UseTree::Rename(rename) => (join(&rename.ident), Some(rename.rename.to_string())),
        };
        if !is_public {
            self.uses.insert(path.clone());
        }
        let name = name.or_else(|| path.last().cloned());
        self.aliases.entry(name.unwrap_or_default()).or_default().insert(path);
    }

    /// Takes every `a::b::c` out of what a macro is given.
    fn scan(&mut self, tokens: TokenStream) {
        let mut path = Segments::new();
        // `::` has been read behind `path`.
        let mut is_open = false;
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(name) => {
                    if !is_open {
                        self.uses.extend((!path.is_empty()).then(|| std::mem::take(&mut path)));
                    }
                    path.push(name.to_string());
                    (is_open, colons) = (false, 0);
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => {
                    colons += 1;
                    is_open = colons == 2 && !path.is_empty();
                }
                token => {
                    self.uses.extend((!path.is_empty()).then(|| std::mem::take(&mut path)));
                    (is_open, colons) = (false, 0);
                    if let TokenTree::Group(group) = token {
                        self.scan(group.stream());
                    }
                }
            }
        }
        self.uses.extend((!path.is_empty()).then_some(path));
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(item) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        if !is_for_tests(item) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if item.leading_colon.is_none() {
            let is_public = !matches!(item.vis, Visibility::Inherited);
            self.import(&item.tree, &Segments::new(), is_public);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.uses.insert(path.segments.iter().map(|part| part.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    /// An attribute's own path names no item, and `pub(super)` imports nothing.
    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.scan(list.tokens.clone());
        }
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.scan(call.tokens.clone());
    }
}

/// Returns true if the node stands under `#[cfg(test)]` or `#[test]`.
fn is_for_tests(node: &impl ToTokens) -> bool {
    let mut tokens = node.to_token_stream().into_iter();
    while let Some(TokenTree::Punct(mark)) = tokens.next()
        && mark.as_char() == '#'
        && let Some(TokenTree::Group(attribute)) = tokens.next()
    {
        if ["cfg (test)", "cfg(test)", "test"].contains(&attribute.stream().to_string().as_str()) {
            return true;
        }
    }
    false
}

/// Returns the name under which others know an item.
fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}
