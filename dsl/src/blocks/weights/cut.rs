//! How stored tensors, laid end to end, are cut into parameters, and whether the sizes agree.

use std::collections::BTreeMap;
use std::ops::Range;

use girih_graph::Extent;

use super::super::layout::{axis_size, base_name, first_axis};
use super::super::{Arrangement, Factor, LayoutProblem, arrange, factors};
use super::plan::{Form, Planner};
use super::{LoadStep, Part};
use crate::ast::WeightEntry;

impl Planner<'_> {
    /// How each of the parameters is cut out of the stored tensors laid end to end.
    pub(super) fn steps(
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
                arrangement: Arrangement {
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
        declared: &[Vec<Factor>],
        sizes: &[usize],
    ) -> Result<Vec<usize>, LayoutProblem> {
        let table = self.table;
        let mut next = sizes.iter();
        let mut shape = Vec::new();
        for (group, axes) in declared.iter().zip(&self.params[index].stored) {
            let own: Vec<usize> = next.by_ref().take(group.len()).copied().collect();
            let total: usize = own.iter().product();
            let same = own.len() == axes.len()
                && group
                    .iter()
                    .zip(axes)
                    .all(|(factor, axis)| base_name(table.name(*axis)) == factor.name);
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
                    let name = base_name(self.table.name(*axis));
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
