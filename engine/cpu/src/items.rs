//! Items of a route: which of them a branch keeps, and where they lie.

use std::collections::BTreeMap;

use girih_graph::AxisId;
use girih_plan::plan::{BranchLaunch, RouteLaunch, TensorId};

use crate::view::View;
use crate::walk;

/// What a tensor of the section around a route sees.
pub type Views<'a> = dyn Fn(TensorId) -> &'a View + 'a;

/// The items of a route, row-major over the item axes.
#[derive(Debug)]
pub struct Items<'a> {
    launch: &'a RouteLaunch,
    /// Of the item axes.
    pub extents: Vec<usize>,
}

impl<'a> Items<'a> {
    /// The items of a route in a section with these views.
    pub fn of(launch: &'a RouteLaunch, view: &Views<'_>) -> Self {
        let views = [launch.kept, launch.weights, launch.out].map(view);
        let extent = |axis: &AxisId| {
            let line = views.iter().find_map(|view| view.line(*axis));
            line.map_or(1, |line| line.extent)
        };
        Self {
            launch,
            extents: launch.items.iter().map(extent).collect(),
        }
    }

    /// Where an item starts in a view.
    pub fn start(&self, view: &View, item: usize) -> isize {
        self.launch
            .items
            .iter()
            .zip(&self.extents)
            .rev()
            .fold((item, view.offset), |(rest, offset), (axis, extent)| {
                let along = (rest % extent) as isize;
                (rest / extent, offset + view.step(*axis) * along)
            })
            .1
    }

    /// Whether an axis is one of items.
    pub fn is_item(&self, axis: AxisId) -> bool {
        self.launch.items.contains(&axis)
    }

    /// The items that a branch keeps; `is_kept` tells an element of the buffer that says so.
    pub fn chosen(
        &self,
        view: &Views<'_>,
        is_kept: &dyn Fn(isize) -> bool,
        position: usize,
    ) -> Vec<usize> {
        let kept = view(self.launch.kept);
        let steps = kept.steps(self.launch.items.iter().copied());
        let start = kept.offset + kept.step(self.launch.branch) * position as isize;
        let mut chosen = Vec::new();
        let mut item = 0;
        walk::rows(&self.extents, [&steps], [start], |[i], length, [s]| {
            for k in 0..length as isize {
                if is_kept(i + k * s) {
                    chosen.push(item);
                }
                item += 1;
            }
        });
        chosen
    }

    /// The chosen items in parts that a branch can take at once. An input that lacks the first item axis and has another
    /// is one value in a branch: items share it that differ in the first axis alone.
    pub fn together(
        &self,
        branch: &BranchLaunch,
        view: &Views<'_>,
        chosen: Vec<usize>,
    ) -> Vec<Vec<usize>> {
        let items = &self.launch.items;
        let first = items.first();
        let is_split = branch.inputs.iter().any(|input| {
            let has = |axis: &AxisId| view(*input).line(*axis).is_some();
            first.is_some_and(|first| !has(first)) && items.iter().any(has)
        });
        if !is_split || chosen.is_empty() {
            return [chosen].into_iter().filter(|all| !all.is_empty()).collect();
        }
        let places: usize = self.extents[1..].iter().product();
        let mut parts = BTreeMap::new();
        for item in chosen {
            // Items are row-major positions.
            let part: &mut Vec<usize> = parts.entry(item % places).or_default();
            part.push(item);
        }
        parts.into_values().collect()
    }
}
