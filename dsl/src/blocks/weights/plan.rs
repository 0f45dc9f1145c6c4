//! The mapping, entry by entry.

use std::collections::{BTreeMap, BTreeSet};

use girih_graph::AxisTable;

use super::super::pattern::numeric;
use super::super::{Binding, LayoutProblem, Pattern, Stored, nearest_name};
use super::LoadStep;
use crate::ast::WeightEntry;
use crate::diag::{Code, Diagnostic};
use crate::model::{ParamInfo, Static};
use crate::span::Span;

/// What is known so far.
pub(super) struct Planner<'a> {
    pub(super) table: &'a AxisTable,
    pub(super) params: &'a [ParamInfo],
    pub(super) stored: &'a [Stored],
    by_path: BTreeMap<&'a str, usize>,
    by_name: BTreeMap<&'a str, usize>,
    pub(super) sizes: BTreeMap<String, i64>,
    given: BTreeSet<String>,
    /// For each parameter, how it is made and where that is said.
    pub(super) loads: Vec<Option<(LoadStep, Option<Span>)>>,
    pub(super) copies: Vec<LoadStep>,
    /// For each stored tensor, whether some entry speaks of it.
    pub(super) claimed: Vec<bool>,
    pub(super) ignored: Vec<String>,
    /// For each parameter without a tensor, the names that were looked for.
    pub(super) missing: BTreeMap<usize, Vec<String>>,
    /// Stored name or parameter, and what is wrong with its shape.
    pub(super) misshaped: Vec<(String, String)>,
    /// Parameters that are spoken of in a mistake already.
    silent: BTreeSet<usize>,
    /// Mistakes of single entries.
    pub(super) told: Vec<Diagnostic>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(
        table: &'a AxisTable,
        params: &'a [ParamInfo],
        statics: &[(String, Static)],
        stored: &'a [Stored],
    ) -> Self {
        let sizes: BTreeMap<String, i64> = statics
            .iter()
            .filter_map(|(name, value)| match value {
                Static::Int(value) => Some((name.clone(), *value)),
                _ => None,
            })
            .collect();
        Self {
            table,
            params,
            stored,
            by_path: (params.iter().enumerate())
                .map(|(index, param)| (param.stored_name.as_str(), index))
                .chain(
                    (params.iter().enumerate()).map(|(index, param)| (param.path.as_str(), index)),
                )
                .collect(),
            by_name: (stored.iter().enumerate())
                .map(|(index, stored)| (stored.name.as_str(), index))
                .collect(),
            given: sizes.keys().cloned().collect(),
            sizes,
            loads: vec![None; params.len()],
            copies: Vec::new(),
            claimed: vec![false; stored.len()],
            ignored: Vec::new(),
            missing: BTreeMap::new(),
            misshaped: Vec::new(),
            silent: BTreeSet::new(),
            told: Vec::new(),
        }
    }

    /// Sizes that the file told.
    pub(super) fn found_sizes(&self) -> BTreeMap<String, i64> {
        let fresh = self
            .sizes
            .iter()
            .filter(|(name, _)| !self.given.contains(*name));
        fresh.map(|(name, size)| (name.clone(), *size)).collect()
    }

    fn tell(
        &mut self,
        code: u16,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) {
        let diagnostic = Diagnostic::error(Code::new(code), message).at(span, label);
        self.told.push(diagnostic);
    }

    /// One line of the block.
    pub(super) fn take_entry(&mut self, entry: &WeightEntry) {
        let stored: Vec<Pattern> = (entry.stored.iter())
            .map(|text| Pattern::of_text(&text.text))
            .collect();
        let paths: Vec<Pattern> = entry.paths.iter().map(Pattern::of_path).collect();
        let Some(first) = paths.first() else {
            for index in self.names_like(&stored, &Binding::new()) {
                self.claimed[index] = true;
                self.ignored.push(self.stored[index].name.clone());
            }
            return;
        };
        let here: Vec<&str> = first.wildcards();
        let there: BTreeSet<&str> = stored.iter().flat_map(Pattern::wildcards).collect();
        if let Some(stray) =
            (paths[1..].iter().flat_map(Pattern::wildcards)).find(|name| !here.contains(name))
        {
            self.tell(
                605,
                entry.span,
                format!("`{{{stray}}}` is not in the first path"),
                "stands for nothing",
            );
            return;
        }
        let only_here: Vec<&str> = here
            .iter()
            .copied()
            .filter(|name| !there.contains(name))
            .collect();
        let only_there: Vec<&str> = there
            .iter()
            .copied()
            .filter(|name| !here.contains(name))
            .collect();
        if only_here.len() + only_there.len() > 1 {
            self.tell(
                605,
                entry.span,
                "two wildcards stand on one side only",
                "one of them can count a stack",
            );
            return;
        }
        let instances = self.instances(&stored, first, &only_here, !entry.optional);
        if instances.is_empty() {
            self.no_parameter(entry, &stored, first);
            return;
        }
        for (known, members) in instances {
            let Some(params) = self.partners(entry, &paths, &known, members) else {
                continue;
            };
            let names = if only_there.is_empty() {
                stored
                    .iter()
                    .filter_map(|pattern| pattern.fill(&known))
                    .collect()
            } else {
                self.stack_names(&stored[0], &known, only_there[0])
            };
            let fallback = || stored.iter().map(ToString::to_string).collect::<Vec<_>>();
            let names = if names.is_empty() { fallback() } else { names };
            let form = Form {
                stacked: !only_there.is_empty(),
                apart: !only_here.is_empty(),
            };
            self.join(Some(entry), &params, &names, form);
        }
    }

    /// Stored names that fit one of the patterns.
    fn names_like(&self, patterns: &[Pattern], known: &Binding) -> Vec<usize> {
        let fits = |name: &str| {
            patterns
                .iter()
                .any(|pattern| !pattern.fits(name, known).is_empty())
        };
        (0..self.stored.len())
            .filter(|&index| fits(&self.stored[index].name))
            .collect()
    }

    /// What the wildcards may stand for, with the parameters of each case in order. A line
    /// may use a parameter's path or the name that `as` gives it. With `fresh`, a wildcard
    /// leaves out what an earlier line speaks of.
    fn instances(
        &self,
        stored: &[Pattern],
        path: &Pattern,
        apart: &[&str],
        fresh: bool,
    ) -> Vec<(Binding, Vec<usize>)> {
        let mut found: Vec<(Binding, Vec<(String, usize)>)> = Vec::new();
        for (index, param) in self.params.iter().enumerate() {
            let known = self.loads[index].is_some()
                || self.silent.contains(&index)
                || self.missing.contains_key(&index);
            if fresh && path.is_open() && known {
                continue;
            }
            let mut fits = path.fits(&param.stored_name, &Binding::new());
            if param.path != param.stored_name {
                fits.extend(path.fits(&param.path, &Binding::new()));
            }
            let exists = |known: &&Binding| {
                let name = stored.first().and_then(|pattern| pattern.fill(known));
                name.is_some_and(|name| self.by_name.contains_key(name.as_str()))
            };
            let Some(known) = fits.iter().find(exists).or(fits.first()) else {
                continue;
            };
            let mut shared = known.clone();
            let count = apart
                .first()
                .and_then(|name| shared.remove(*name))
                .unwrap_or_default();
            match found
                .iter_mut()
                .find(|(own, _)| !apart.is_empty() && *own == shared)
            {
                Some((_, members)) => members.push((count, index)),
                None => found.push((shared, vec![(count, index)])),
            }
        }
        let sorted = found.into_iter().map(|(known, mut members)| {
            members.sort_by(|(a, _), (b, _)| numeric(a).cmp(&numeric(b)));
            (known, members.into_iter().map(|(_, index)| index).collect())
        });
        sorted.collect()
    }

    /// The parameters of one case: those of the first path, and those of the others.
    fn partners(
        &mut self,
        entry: &WeightEntry,
        paths: &[Pattern],
        known: &Binding,
        mut params: Vec<usize>,
    ) -> Option<Vec<usize>> {
        for path in &paths[1..] {
            let name = path.fill(known)?;
            if let Some(index) = self.by_path.get(name.as_str()) {
                params.push(*index);
                continue;
            }
            self.silent.extend(params.iter().copied());
            let nearest = nearest_name(&name, self.by_path.keys().copied()).map(str::to_owned);
            let diagnostic =
                Diagnostic::error(Code::new(605), format!("no parameter is called `{name}`"))
                    .at(entry.span, "one of the parts");
            self.told.push(match nearest {
                Some(nearest) => diagnostic.help(format!("did you mean `{nearest}`?")),
                None => diagnostic,
            });
            return None;
        }
        Some(params)
    }

    fn no_parameter(&mut self, entry: &WeightEntry, stored: &[Pattern], path: &Pattern) {
        if entry.optional {
            return;
        }
        // What the line meant is not a mistake of its own.
        for index in self.names_like(stored, &Binding::new()) {
            self.claimed[index] = true;
        }
        let wanted = path.to_string();
        let nearest = nearest_name(&wanted, self.by_path.keys().copied()).map(str::to_owned);
        let diagnostic =
            Diagnostic::error(Code::new(605), format!("no parameter is called `{wanted}`"))
                .at(entry.span, "names nothing in the model");
        self.told.push(match nearest {
            Some(nearest) => diagnostic.help(format!("did you mean `{nearest}`?")),
            None => diagnostic.help("leave the line out, or write `optional` after it"),
        });
    }

    /// Names of a stack in numeric order.
    fn stack_names(&self, pattern: &Pattern, known: &Binding, wild: &str) -> Vec<String> {
        let mut found: Vec<(u64, String)> = Vec::new();
        for stored in self.stored {
            for fit in pattern.fits(&stored.name, known) {
                if let Some(number) = fit.get(wild).and_then(|text| text.parse().ok()) {
                    found.push((number, stored.name.clone()));
                }
            }
        }
        found.sort();
        found.dedup();
        found.into_iter().map(|(_, name)| name).collect()
    }

    /// Parameters that no entry speaks of.
    pub(super) fn take_own_names(&mut self) {
        for index in 0..self.params.len() {
            let known = self.loads[index].is_some() || self.silent.contains(&index);
            if !known && !self.missing.contains_key(&index) {
                let name = self.params[index].stored_name.clone();
                self.join(None, &[index], &[name], Form::default());
            }
        }
    }

    /// Joins stored tensors and parameters.
    fn join(
        &mut self,
        entry: Option<&WeightEntry>,
        params: &[usize],
        names: &[String],
        form: Form,
    ) {
        let optional = entry.is_some_and(|entry| entry.optional);
        let present: Option<Vec<usize>> = (names.iter())
            .map(|name| self.by_name.get(name.as_str()).copied())
            .collect();
        let Some(stored) = present else {
            for &index in params {
                if self.loads[index].is_none() && !(optional && self.own_name_is_free(index, names))
                {
                    self.missing.insert(index, names.to_vec());
                }
            }
            return;
        };
        if stored.iter().any(|&index| self.claimed[index]) {
            self.twice(entry, names);
            self.silent.extend(params.iter().copied());
            return;
        }
        for &index in &stored {
            self.claimed[index] = true;
        }
        match self.steps(entry, params, &stored, form) {
            Ok(steps) => {
                for (&index, step) in params.iter().zip(steps) {
                    self.keep(entry, index, step, optional);
                }
            }
            Err(problem) => {
                self.silent.extend(params.iter().copied());
                match (&problem, entry) {
                    (
                        LayoutProblem::Rank { .. }
                        | LayoutProblem::Size { .. }
                        | LayoutProblem::Open { .. },
                        _,
                    )
                    | (_, None) => {
                        let what = format!("`{}`", names.join("`, `"));
                        self.misshaped.push((what, problem.to_string()));
                    }
                    (_, Some(entry)) => {
                        self.tell(607, entry.span, problem.to_string(), "in this layout");
                    }
                }
            }
        }
    }

    /// Whether a parameter whose optional entry found nothing may be stored under its own name.
    fn own_name_is_free(&self, index: usize, names: &[String]) -> bool {
        let own = &self.params[index].stored_name;
        !names.contains(own)
            && self
                .by_name
                .get(own.as_str())
                .is_some_and(|&at| !self.claimed[at])
    }

    fn keep(&mut self, entry: Option<&WeightEntry>, index: usize, step: LoadStep, optional: bool) {
        let span = entry.map(|entry| entry.span);
        match &self.loads[index] {
            None => {
                self.missing.remove(&index);
                self.loads[index] = Some((step, span));
            }
            Some(_) if optional => self.copies.push(step),
            Some((_, first)) => {
                let diagnostic = Diagnostic::error(
                    Code::new(606),
                    format!("the parameter `{}` is made twice", step.param),
                );
                let diagnostic = match (span, *first) {
                    (Some(span), Some(first)) => {
                        diagnostic.at(span, "again here").also(first, "made here")
                    }
                    (Some(span), None) | (None, Some(span)) => diagnostic.at(span, "here"),
                    (None, None) => diagnostic,
                };
                self.told
                    .push(diagnostic.help("a tied copy in the file is marked `optional`"));
            }
        }
    }

    fn twice(&mut self, entry: Option<&WeightEntry>, names: &[String]) {
        let message = format!("`{}` belongs to two entries", names.join("`, `"));
        let diagnostic = Diagnostic::error(Code::new(606), message);
        self.told.push(match entry {
            Some(entry) => diagnostic.at(entry.span, "spoken of above already"),
            None => diagnostic.note("an entry speaks of it, and a parameter has this name"),
        });
    }
}

/// Which side of an entry counts with a wildcard of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Form {
    /// Each stored tensor is one position of a new first axis.
    pub(super) stacked: bool,
    /// Each parameter is one position of the stored tensor's first axis.
    pub(super) apart: bool,
}
