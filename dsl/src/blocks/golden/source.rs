//! Which tensors of the file a line of a golden block means.

use std::collections::{BTreeMap, BTreeSet};

use super::super::pattern::numeric;
use super::super::{Binding, Pattern, Stored, nearest_name};
use super::{Named, Source};
use crate::ast::{Expr, ExprKind, GoldenEntry};
use crate::diag::{Code, Diagnostic};
use crate::model::Static;

/// The tensors of the file.
pub(super) struct Names<'a> {
    ranks: BTreeMap<&'a str, usize>,
}

/// A line that cannot be understood.
type Found = Result<Vec<Named>, Box<Diagnostic>>;

impl<'a> Names<'a> {
    pub(super) fn of(stored: &'a [Stored]) -> Self {
        let ranks = stored
            .iter()
            .map(|stored| (stored.name.as_str(), stored.shape.len()));
        Self {
            ranks: ranks.collect(),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.ranks.contains_key(name)
    }

    /// Number of axes, a stack's included.
    pub(super) fn rank(&self, source: &Source) -> Option<usize> {
        match source {
            Source::Tensor(name) => self.ranks.get(name.as_str()).copied(),
            Source::Stack(names) => Some(self.ranks.get(names.first()?.as_str())? + 1),
            Source::Value(value) => Some(depth(value)),
        }
    }

    /// Tensors that the line says are not used.
    pub(super) fn ignored(&self, entry: &GoldenEntry) -> Vec<String> {
        let texts = entry.source.as_ref().and_then(texts).unwrap_or_default();
        let patterns: Vec<Pattern> = texts.iter().map(|text| Pattern::of_text(text)).collect();
        let fits = |name: &&&str| {
            patterns
                .iter()
                .any(|pattern| !pattern.fits(name, &Binding::new()).is_empty())
        };
        self.ranks
            .keys()
            .filter(fits)
            .map(|&name| name.to_owned())
            .collect()
    }

    /// Whether any tensor of the line is there.
    pub(super) fn knows(&self, entry: &GoldenEntry) -> bool {
        let texts = entry.source.as_ref().and_then(texts).unwrap_or_default();
        texts.iter().any(|text| {
            let pattern = Pattern::of_text(text);
            self.ranks
                .keys()
                .any(|name| !pattern.fits(name, &Binding::new()).is_empty())
        })
    }

    /// Tensors that lines of their own name: no wildcard stands for them.
    pub(super) fn taken(entries: &[GoldenEntry]) -> BTreeSet<&str> {
        let sources = entries.iter().filter_map(|entry| entry.source.as_ref());
        let texts = sources.filter_map(texts).flatten();
        texts
            .filter(|text| !Pattern::of_text(text).is_open())
            .collect()
    }

    /// What a line means whose wildcards stand for names of the file, but for those that are
    /// `taken`. A line without wildcards is given even if the file lacks its tensor, unless it
    /// is optional.
    pub(super) fn for_file(&self, entry: &GoldenEntry, taken: &BTreeSet<&str>) -> Found {
        let path = Pattern::of_path(&entry.path);
        let sources = sources(entry)?;
        let Some(first) = sources.first() else {
            return Ok(Vec::new());
        };
        if let Some(names) = self.counted(&path, &sources) {
            let path = path.to_string();
            return Ok(self.unless_absent(entry, named(entry, path, Source::Stack(names))));
        }
        if !first.is_open() {
            let Some(path) = path.fill(&Binding::new()) else {
                return Err(Box::new(one_sided(entry)));
            };
            let source =
                source_of(&sources, &Binding::new()).ok_or_else(|| Box::new(one_sided(entry)))?;
            return Ok(self.unless_absent(entry, named(entry, path, source)));
        }
        let mut found = Vec::new();
        for name in self.ranks.keys().filter(|name| !taken.contains(*name)) {
            let Some(known) = first.fits(name, &Binding::new()).into_iter().next() else {
                continue;
            };
            let (Some(path), Some(source)) = (path.fill(&known), source_of(&sources, &known))
            else {
                return Err(Box::new(one_sided(entry)));
            };
            found.push(named(entry, path, source));
        }
        Ok(found)
    }

    /// What a line means whose wildcards stand for names of the model. `known` holds each name and
    /// the path that it stands for.
    pub(super) fn for_model(&self, entry: &GoldenEntry, known: &[(&str, &str)]) -> Found {
        let path = Pattern::of_path(&entry.path);
        let Ok(sources) = sources(entry) else {
            return Err(Box::new(
                Diagnostic::error(
                    Code::new(610),
                    "a parameter, a state or a gradient comes from a tensor",
                )
                .at(entry.span, "no tensor is named")
                .help("write the tensor's name in quotes"),
            ));
        };
        if !path.is_open() {
            let name = path.fill(&Binding::new()).unwrap_or_default();
            let Some((_, path)) = known.iter().find(|(own, _)| *own == name) else {
                return Err(Box::new(unknown(entry, &name, known)));
            };
            let path = (*path).to_owned();
            let source = match self.counted(&Pattern::of_path(&entry.path), &sources) {
                Some(names) => Source::Stack(names),
                None => source_of(&sources, &Binding::new())
                    .ok_or_else(|| Box::new(one_sided(entry)))?,
            };
            let named = named(entry, path, source);
            let absent = named.source.names().iter().any(|name| !self.has(name));
            return match (absent, entry.optional) {
                (true, true) => Ok(Vec::new()),
                (true, false) => Err(Box::new(self.missing(&named))),
                (false, _) => Ok(vec![named]),
            };
        }
        let mut found = Vec::new();
        for (own, path_of) in known {
            for binding in path.fits(own, &Binding::new()) {
                let Some(source) = source_of(&sources, &binding) else {
                    return Err(Box::new(one_sided(entry)));
                };
                if source.names().iter().all(|name| self.has(name)) {
                    found.push(named(entry, (*path_of).to_owned(), source));
                    break;
                }
            }
        }
        Ok(found)
    }

    /// `"u{s}"` for a path without that wildcard: all of them in numeric order.
    fn counted(&self, path: &Pattern, sources: &[Pattern]) -> Option<Vec<String>> {
        let [source] = sources else { return None };
        let [wild] = source.wildcards()[..] else {
            return None;
        };
        if path.is_open() {
            return None;
        }
        let mut found: Vec<(u64, &str)> = Vec::new();
        for name in self.ranks.keys() {
            for binding in source.fits(name, &Binding::new()) {
                if let Some(text) = binding.get(wild)
                    && text.bytes().all(|byte| byte.is_ascii_digit())
                {
                    found.push((numeric(text).0, name));
                }
            }
        }
        found.sort_unstable();
        let names: Vec<String> = found.into_iter().map(|(_, name)| name.to_owned()).collect();
        // Without any, the pattern itself is what is missing.
        Some(if names.is_empty() {
            vec![source.to_string()]
        } else {
            names
        })
    }

    fn unless_absent(&self, entry: &GoldenEntry, named: Named) -> Vec<Named> {
        let present = named.source.names().iter().all(|name| self.has(name));
        if present || !entry.optional {
            vec![named]
        } else {
            Vec::new()
        }
    }

    /// The mistake of a tensor that is not there.
    pub(super) fn missing(&self, named: &Named) -> Diagnostic {
        let lost = named.source.names().iter().find(|name| !self.has(name));
        let lost = lost.map_or("", String::as_str);
        let diagnostic =
            Diagnostic::error(Code::new(608), format!("the file has no tensor `{lost}`"))
                .at(named.span, "needs it");
        match nearest_name(lost, self.ranks.keys().copied()) {
            Some(nearest) => diagnostic.help(format!("did you mean `{nearest}`?")),
            None => {
                diagnostic.help("write `optional` after a line whose tensor only some files have")
            }
        }
    }
}

/// The texts of a source, if it is made of texts only.
pub(super) fn texts(source: &Expr) -> Option<Vec<&str>> {
    match &source.kind {
        ExprKind::Text(text) => Some(vec![&text.text]),
        ExprKind::Tuple(parts) => parts
            .iter()
            .map(|part| match &part.kind {
                ExprKind::Text(text) => Some(text.text.as_str()),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn sources(entry: &GoldenEntry) -> Result<Vec<Pattern>, Box<Diagnostic>> {
    let texts = entry.source.as_ref().and_then(texts);
    let texts = texts.ok_or_else(|| {
        Box::new(
            Diagnostic::error(
                Code::new(610),
                "a line of a golden block names tensors of the file",
            )
            .at(entry.span, "names none"),
        )
    })?;
    Ok(texts.into_iter().map(Pattern::of_text).collect())
}

fn source_of(sources: &[Pattern], known: &Binding) -> Option<Source> {
    let mut names: Vec<String> = sources
        .iter()
        .map(|pattern| pattern.fill(known))
        .collect::<Option<_>>()?;
    Some(match names.len() {
        1 => Source::Tensor(names.remove(0)),
        _ => Source::Stack(names),
    })
}

pub(super) fn named(entry: &GoldenEntry, path: String, source: Source) -> Named {
    Named {
        path,
        source,
        layout: entry.layout.clone(),
        written: entry.path.clone(),
        span: entry.span,
    }
}

fn one_sided(entry: &GoldenEntry) -> Diagnostic {
    Diagnostic::error(Code::new(605), "a wildcard stands on one side only")
        .at(entry.span, "what it stands for is not known")
        .help("write the same `{name}` in the path and in the tensor's name")
}

fn unknown(entry: &GoldenEntry, path: &str, known: &[(&str, &str)]) -> Diagnostic {
    let diagnostic = Diagnostic::error(Code::new(609), format!("the model has no `{path}`")).at(
        entry.span,
        "neither a parameter nor what else may stand here",
    );
    match nearest_name(path, known.iter().map(|(name, _)| *name)) {
        Some(nearest) => diagnostic.help(format!("did you mean `{nearest}`?")),
        None => diagnostic,
    }
}

fn depth(value: &Static) -> usize {
    match value {
        Static::List(parts) => 1 + parts.first().map_or(0, depth),
        _ => 0,
    }
}
