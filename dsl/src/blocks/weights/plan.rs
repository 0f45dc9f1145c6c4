//! The mapping, entry by entry.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use girih_graph::{AxisTable, Extent};

use super::super::layout::{axis_size, first_axis};
use super::super::pattern::numeric;
use super::super::{Binding, LayoutProblem, Pattern, Stored, arrange, factors, nearest_name};
use super::{LoadStep, Part};
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

    /// How each of the parameters is cut out of the stored tensors laid end to end.
    fn steps(
        &mut self,
        entry: Option<&WeightEntry>,
        params: &[usize],
        stored: &[usize],
        form: Form,
    ) -> Result<Vec<LoadStep>, LayoutProblem> {
        let layout = entry.and_then(|entry| entry.layout.as_deref());
        let mut declared = Vec::new();
        for (position, &index) in params.iter().enumerate() {
            let paths = entry
                .map(|entry| entry.paths.as_slice())
                .unwrap_or_default();
            let path = paths.get(position).or(paths.first());
            let size = |extent: &Extent| self.size(extent);
            declared.push(factors(
                self.table,
                &self.params[index].stored,
                path,
                &size,
            )?);
        }
        let axis = if form.stacked || form.apart {
            0
        } else {
            first_axis(&declared[0], layout)?
        };
        let mut views: Vec<Vec<usize>> = Vec::new();
        for &index in stored {
            let mut view = self.stored[index].shape.clone();
            if form.stacked {
                view.insert(0, 1);
            }
            views.push(view);
        }
        let rank_problem = |view: &[usize], wanted| LayoutProblem::Rank {
            found: view.to_vec(),
            wanted,
        };
        let joined = params.len() > 1 || stored.len() > 1 || form.stacked || form.apart;
        if joined {
            let others = |view: &[usize]| {
                let mut view = view.to_vec();
                if axis < view.len() {
                    view.remove(axis);
                }
                view
            };
            for view in &views {
                if view.len() <= axis || view.len() != views[0].len() {
                    return Err(rank_problem(view, views[0].len().max(axis + 1)));
                }
                if others(view) != others(&views[0]) {
                    let wanted = format!(
                        "as that of the first part, {:?}, but along axis {axis}",
                        views[0]
                    );
                    return Err(LayoutProblem::Size {
                        found: view.clone(),
                        wanted,
                    });
                }
            }
        }
        let extent = |view: &Vec<usize>| view.get(axis).copied().unwrap_or(1);
        let total: usize = views.iter().map(extent).fold(0, usize::saturating_add);
        let mut steps = Vec::new();
        let mut offset = 0usize;
        for (&index, declared) in params.iter().zip(&declared) {
            let length = if form.apart {
                1
            } else if params.len() == 1 {
                total
            } else {
                let open = || LayoutProblem::Open {
                    name: self.params[index].path.clone(),
                };
                axis_size(declared, layout, axis)?.ok_or_else(open)?
            };
            let range = offset..offset.saturating_add(length);
            offset = range.end;
            if offset > total {
                return Err(self.parts_differ(params, &views, axis));
            }
            let mut virtual_shape = views[0].clone();
            if let Some(extent) = virtual_shape.get_mut(axis) {
                *extent = length;
            }
            if form.apart {
                virtual_shape.remove(0);
            }
            let arrangement = arrange(declared, layout, &virtual_shape, None)?;
            let shape = self.graph_shape(index, declared, &arrangement.declared())?;
            steps.push(LoadStep {
                param: self.params[index].path.clone(),
                dtype: self.params[index].dtype,
                parts: self.parts(stored, &views, axis, &range),
                axis,
                arrangement: super::Arrangement {
                    shape,
                    ..arrangement
                },
            });
        }
        if offset != total {
            return Err(self.parts_differ(params, &views, axis));
        }
        Ok(steps)
    }

    fn parts_differ(&self, params: &[usize], views: &[Vec<usize>], axis: usize) -> LayoutProblem {
        let names: Vec<&str> = params
            .iter()
            .map(|&index| self.params[index].path.as_str())
            .collect();
        LayoutProblem::Size {
            found: views[0].clone(),
            wanted: format!(
                "what `{}` have together along axis {axis}",
                names.join("`, `")
            ),
        }
    }

    fn parts(
        &self,
        stored: &[usize],
        views: &[Vec<usize>],
        axis: usize,
        range: &Range<usize>,
    ) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut start = 0;
        for (&index, view) in stored.iter().zip(views) {
            let length = view.get(axis).copied().unwrap_or(1);
            let from = range.start.max(start);
            let to = range.end.min(start + length);
            if from < to || (stored.len() == 1 && range.is_empty()) {
                parts.push(Part {
                    stored: self.stored[index].name.clone(),
                    shape: self.stored[index].shape.clone(),
                    view: view.clone(),
                    range: from - start..to.max(from) - start,
                });
            }
            start += length;
        }
        parts
    }

    /// Sizes of the graph's axes, given those of the declared factors; fresh symbols get theirs.
    fn graph_shape(
        &mut self,
        index: usize,
        declared: &[Vec<super::super::Factor>],
        sizes: &[usize],
    ) -> Result<Vec<usize>, LayoutProblem> {
        let table = self.table;
        let mut next = sizes.iter();
        let mut shape = Vec::new();
        for (group, axes) in declared.iter().zip(&self.params[index].stored) {
            let own: Vec<usize> = next.by_ref().take(group.len()).copied().collect();
            let total: usize = own.iter().product();
            let same = own.len() == axes.len()
                && group.iter().zip(axes).all(|(factor, axis)| {
                    super::super::layout::base_name(table.name(*axis)) == factor.name
                });
            let mut known = 1usize;
            let mut open: Option<(usize, &Extent)> = None;
            for (position, axis) in axes.iter().enumerate() {
                let extent = table.extent(*axis);
                let size = match lookup(&self.sizes, extent) {
                    Some(size) => size,
                    None if same => own[position],
                    None if open.is_none() => {
                        open = Some((shape.len(), extent));
                        1
                    }
                    None => {
                        return Err(LayoutProblem::Open {
                            name: table.name(*axis).to_owned(),
                        });
                    }
                };
                if same
                    && let (Some(symbol), Ok(size)) =
                        (extent.as_symbol(), i64::try_from(own[position]))
                {
                    self.sizes.entry(symbol.to_owned()).or_insert(size);
                }
                known = known.saturating_mul(size);
                shape.push(size);
            }
            if let Some((place, extent)) = open {
                shape[place] = total.checked_div(known).unwrap_or(0);
                if let (Some(symbol), Ok(size)) = (extent.as_symbol(), i64::try_from(shape[place]))
                {
                    self.sizes.entry(symbol.to_owned()).or_insert(size);
                }
            }
        }
        Ok(shape)
    }

    fn size(&self, extent: &Extent) -> Option<usize> {
        lookup(&self.sizes, extent)
    }

    /// Compares all shapes once every size is known.
    pub(super) fn check_sizes(&mut self) {
        for (load, param) in self.loads.iter().zip(self.params) {
            let Some((step, _)) = load else { continue };
            let axes = param.stored.iter().flatten();
            for (axis, &found) in axes.zip(&step.arrangement.shape) {
                let extent = self.table.extent(*axis);
                if let Some(wanted) = lookup(&self.sizes, extent)
                    && wanted != found
                {
                    let name = super::super::layout::base_name(self.table.name(*axis));
                    let what = format!(
                        "`{}` has `{name}` = {found}, elsewhere it is {wanted}",
                        step.param
                    );
                    let names: Vec<&str> =
                        step.parts.iter().map(|part| part.stored.as_str()).collect();
                    self.misshaped
                        .push((format!("`{}`", names.join("`, `")), what));
                    break;
                }
            }
        }
    }
}

fn lookup(sizes: &BTreeMap<String, i64>, extent: &Extent) -> Option<usize> {
    let value = extent.evaluate(&|name| sizes.get(name).copied()).ok()?;
    usize::try_from(value).ok()
}

/// Which side of an entry counts with a wildcard of its own.
#[derive(Clone, Copy, Debug, Default)]
struct Form {
    /// Each stored tensor is one position of a new first axis.
    stacked: bool,
    /// Each parameter is one position of the stored tensor's first axis.
    apart: bool,
}
