//! The files of one check and the names they declare.
//!
//! A file sees its own items, those of the files it `use`s (theirs too) and of the plugins it
//! names, and the standard library, in this order. Files are read through a [`Loader`]; nothing
//! here touches a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::ast::{self, ItemKind};
use crate::diag::{Code, Diagnostic, Sink};
use crate::library::library;
use crate::parse::parse_file;
use crate::source::SourceMap;
use crate::span::{FileId, Span};

/// Gives the text of a file that a `use` names.
pub trait Loader {
    /// The canonical name and the text of `path`, as written in the file called `from`.
    ///
    /// # Errors
    ///
    /// Why it cannot be read, in words for the user.
    fn load(&self, from: &str, path: &str) -> Result<(String, String), String>;

    /// The Girih text of the plugin with this id.
    ///
    /// # Errors
    ///
    /// Why there is none, in words for the user.
    fn plugin(&self, id: &str) -> Result<String, String> {
        let _ = id;
        Err("no plugins are at hand here".to_owned())
    }
}

/// A loader that knows no file but those that are already given.
pub struct NoFiles;

impl Loader for NoFiles {
    fn load(&self, _: &str, _: &str) -> Result<(String, String), String> {
        Err("other files cannot be read here".to_owned())
    }
}

/// Where an item stands: file and position in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ItemRef {
    /// Index of the file.
    pub file: usize,
    /// Index of the item in the file.
    pub item: usize,
}

/// One file with the names it sees.
#[derive(Clone, Debug)]
pub struct LoadedFile {
    /// In the source map.
    pub id: FileId,
    /// Its syntax tree.
    pub ast: Arc<ast::File>,
    /// The id of the plugin whose text it is.
    plugin: Option<String>,
    /// Names it sees, its own first; the library's are in the library.
    scope: BTreeMap<String, ItemRef>,
    /// Names of items that could not be read: mentioning them is no mistake of its own.
    broken: BTreeSet<String>,
    /// Whether something that it names could not be had: what it would declare is not known.
    lacks: bool,
}

/// A file that another one brings in.
struct Loaded {
    name: String,
    text: String,
    plugin: Option<String>,
}

/// Every file that a check needs.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The texts.
    pub sources: SourceMap,
    /// The files; the standard library's first, the entry last.
    pub files: Vec<LoadedFile>,
}

impl Program {
    /// Reads the entry file and everything it uses; mistakes go to the sink.
    pub fn load(name: &str, text: &str, loader: &dyn Loader, sink: &mut Sink) -> Self {
        let library = library();
        let mut program = library.program.clone();
        for found in &library.found {
            sink.report(found.clone());
        }
        let std_count = program.files.len();
        let mut pending = Vec::new();
        let entry = program.read(name, text, sink);
        pending.push(entry);
        let mut uses: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        while let Some(file) = pending.pop() {
            let ast = program.files[file].ast.clone();
            for item in &ast.items {
                let Some(found) = program.loaded(file, &item.kind, loader, sink) else {
                    continue;
                };
                let known = (std_count..program.files.len())
                    .find(|index| program.sources.name(program.files[*index].id) == found.name);
                let index = known.unwrap_or_else(|| {
                    let index = program.read(&found.name, &found.text, sink);
                    program.files[index].plugin = found.plugin;
                    pending.push(index);
                    index
                });
                uses.entry(file).or_default().push(index);
            }
        }
        for file in std_count..program.files.len() {
            program.resolve_file(file, &uses, sink);
        }
        // The entry is addressed as the last file.
        let last = program.files.len() - 1;
        if entry != last {
            program.entry_to_end(entry);
        }
        program
    }

    /// What an item of a file brings in, if it does; why it cannot goes to the sink.
    fn loaded(
        &mut self,
        file: usize,
        item: &ItemKind,
        loader: &dyn Loader,
        sink: &mut Sink,
    ) -> Option<Loaded> {
        let own = &self.files[file];
        let (span, result, unread) = match item {
            ItemKind::Use(used) => {
                let from = self.sources.name(own.id);
                let result = loader
                    .load(from, &used.path.text)
                    .map(|(name, text)| Loaded {
                        name,
                        text,
                        plugin: None,
                    });
                let text = &used.path.text;
                let unread = (210, format!("the file `{text}` cannot be read"), None);
                (used.path.span, result, unread)
            }
            ItemKind::Plugin(id) => {
                let result = loader.plugin(&id.text).map(|text| Loaded {
                    name: format!("plugin {}", id.text),
                    text,
                    plugin: Some(id.text.clone()),
                });
                let help = "`girih plugin list` shows the plugins that are at hand, `girih plugin add` adds one";
                let unread = (701, format!("there is no plugin `{}`", id.text), Some(help));
                (id.span, result, unread)
            }
            _ => return None,
        };
        let result = match &own.plugin {
            None => result,
            // A library is one file; what lies around it is nothing to rely on.
            Some(_) => Err("the text of a plugin stands alone".to_owned()),
        };
        match result {
            Ok(found) => Some(found),
            Err(reason) => {
                let (code, message, help) = unread;
                let mut found = Diagnostic::error(Code::new(code), message).at(span, reason);
                found.help = help.map(str::to_owned);
                sink.report(found);
                self.files[file].lacks = true;
                None
            }
        }
    }

    /// The id of the plugin whose text a file is.
    pub fn plugin(&self, file: usize) -> Option<&str> {
        self.files.get(file)?.plugin.as_deref()
    }

    /// Whether a place is in the text of a plugin.
    pub(crate) fn is_in_plugin(&self, span: Span) -> bool {
        let mut files = self.files.iter();
        files.any(|file| file.id == span.file && file.plugin.is_some())
    }

    pub(crate) fn read(&mut self, name: &str, text: &str, sink: &mut Sink) -> usize {
        let id = self.sources.add(name, text);
        let ast = parse_file(&self.sources, id, sink);
        let broken = ast.broken.iter().map(|name| name.text.clone()).collect();
        self.files.push(LoadedFile {
            id,
            ast: Arc::new(ast),
            plugin: None,
            scope: BTreeMap::new(),
            lacks: false,
            broken,
        });
        self.files.len() - 1
    }

    /// What a file declares; a name that is declared twice is a mistake.
    pub(crate) fn own_names(&self, file: usize, sink: &mut Sink) -> BTreeMap<String, ItemRef> {
        let mut names: BTreeMap<String, ItemRef> = BTreeMap::new();
        for (item, found) in self.files[file].ast.items.iter().enumerate() {
            let Some(name) = declared_name(&found.kind) else {
                continue;
            };
            let place = ItemRef { file, item };
            if let Some(first) = names.get(&name.text) {
                let diagnostic =
                    Diagnostic::error(Code::new(201), format!("`{}` is declared twice", name.text))
                        .at(name.span, "declared again");
                sink.report(match self.name_span(*first) {
                    Some(span) => diagnostic.also(span, "first declared here"),
                    None => diagnostic,
                });
            } else {
                names.insert(name.text.clone(), place);
            }
        }
        names
    }

    fn resolve_file(&mut self, file: usize, uses: &BTreeMap<usize, Vec<usize>>, sink: &mut Sink) {
        let mut scope = BTreeMap::new();
        let mut seen = vec![file];
        let mut order = vec![file];
        while let Some(next) = order.pop() {
            for used in uses.get(&next).into_iter().flatten() {
                if !seen.contains(used) {
                    seen.push(*used);
                    order.push(*used);
                }
            }
        }
        for used in seen.iter().rev() {
            let mut quiet = Sink::default();
            let report = if *used == file {
                &mut *sink
            } else {
                &mut quiet
            };
            scope.extend(self.own_names(*used, report));
        }
        self.files[file].scope = scope;
    }

    fn entry_to_end(&mut self, entry: usize) {
        let last = self.files.len() - 1;
        self.files.swap(entry, last);
        let swap = |place: &mut ItemRef| {
            if place.file == entry {
                place.file = last;
            } else if place.file == last {
                place.file = entry;
            }
        };
        for file in &mut self.files {
            file.scope.values_mut().for_each(swap);
        }
    }

    /// Index of the entry file.
    pub fn entry(&self) -> usize {
        self.files.len().saturating_sub(1)
    }

    /// What `name` means in `file`.
    pub fn find(&self, file: usize, name: &str) -> Option<ItemRef> {
        let own = self.files.get(file)?.scope.get(name).copied();
        own.or_else(|| library().names.get(name).copied())
    }

    /// Whether `name` belongs to an item that could not be read and was reported, or may belong to
    /// a file or plugin that could not be had.
    pub fn is_broken(&self, name: &str) -> bool {
        let mut files = self.files.iter();
        files.any(|file| file.lacks || file.broken.contains(name))
    }

    /// Every name that `file` sees.
    pub fn names(&self, file: usize) -> impl Iterator<Item = &str> {
        let own = self.files.get(file).map(|file| file.scope.keys());
        let names = own.into_iter().flatten().chain(library().names.keys());
        let names: BTreeSet<&str> = names.map(String::as_str).collect();
        names.into_iter()
    }

    /// An item.
    pub fn item(&self, place: ItemRef) -> &ast::Item {
        &self.files[place.file].ast.items[place.item]
    }

    /// The syntax tree of a file, to be kept while other things are borrowed.
    pub fn ast(&self, file: usize) -> Arc<ast::File> {
        self.files[file].ast.clone()
    }

    fn name_span(&self, place: ItemRef) -> Option<Span> {
        declared_name(&self.item(place).kind).map(|name| name.span)
    }

    /// The modules, models and memories of the entry file, in order.
    pub fn entry_modules(&self) -> Vec<ItemRef> {
        let file = self.entry();
        let Some(loaded) = self.files.get(file) else {
            return Vec::new();
        };
        (loaded.ast.items.iter().enumerate())
            .filter(|(_, item)| matches!(item.kind, ItemKind::Module(_)))
            .map(|(item, _)| ItemRef { file, item })
            .collect()
    }
}

/// The name under which others can mention an item.
pub fn declared_name(kind: &ItemKind) -> Option<&ast::Name> {
    match kind {
        ItemKind::Axis(axis) => Some(&axis.name),
        ItemKind::Let(name, _) => Some(name),
        ItemKind::Fn(function) => Some(&function.name),
        ItemKind::Module(module) => Some(&module.name),
        ItemKind::Procedure(procedure) => Some(&procedure.name),
        ItemKind::Use(_)
        | ItemKind::Plugin(_)
        | ItemKind::Weights(_)
        | ItemKind::Golden(_)
        | ItemKind::Test(_)
        | ItemKind::Snapshot(_)
        | ItemKind::Train(_)
        | ItemKind::Probe(_) => None,
    }
}
