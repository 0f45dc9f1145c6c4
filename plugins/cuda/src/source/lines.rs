//! Positions along several axes as one number, and where they lie in tensors.

use girih_graph::{AxisId, Extent};
use girih_plan::plan::Tensor;

use super::Refusal;
use super::sizes::Sizes;

/// One direction, with the distance of neighbors in each of some tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) extent: Extent,
    pub(super) steps: Vec<Extent>,
}

/// The distance of neighbors along an axis; 0 for one that the tensor lacks.
pub(super) fn step(tensor: &Tensor, axis: AxisId) -> Extent {
    let found = tensor.axes.iter().find(|(own, _)| *own == axis);
    found.map_or_else(|| Extent::constant(0), |(_, stride)| stride.step.clone())
}

/// The positions of an axis in the first tensor that has it.
pub(super) fn extent(tensors: &[&Tensor], axis: AxisId) -> Extent {
    let all = tensors.iter().flat_map(|tensor| &tensor.axes);
    let found = all.into_iter().find(|(own, _)| *own == axis);
    found.map_or_else(|| Extent::constant(1), |(_, stride)| stride.extent.clone())
}

/// Axes outermost first, as the first tensor that has them orders them; those that lie behind one
/// another in all tensors are one.
pub(super) fn group(axes: &[AxisId], tensors: &[&Tensor]) -> Vec<Line> {
    let place = |axis: &AxisId| {
        let at = |tensor: &&Tensor| tensor.axes.iter().position(|(own, _)| own == axis);
        let found = tensors
            .iter()
            .enumerate()
            .find_map(|(tensor, own)| Some((tensor, at(own)?)));
        found.unwrap_or((tensors.len(), 0))
    };
    let mut ordered = axes.to_vec();
    ordered.sort_by_key(place);
    lines(&ordered, tensors)
}

/// Axes in this order; those that lie behind one another in all tensors are one.
pub(super) fn lines(axes: &[AxisId], tensors: &[&Tensor]) -> Vec<Line> {
    let mut joined: Vec<Line> = Vec::new();
    for axis in axes {
        let line = Line {
            extent: extent(tensors, *axis),
            steps: tensors.iter().map(|tensor| step(tensor, *axis)).collect(),
        };
        if line.extent.as_constant() == Some(1) {
            continue;
        }
        match joined.last_mut() {
            Some(outer) if behind(outer, &line) => {
                *outer = Line {
                    extent: outer.extent.times(&line.extent),
                    steps: line.steps,
                };
            }
            _ => joined.push(line),
        }
    }
    joined
}

fn behind(outer: &Line, inner: &Line) -> bool {
    let mut steps = outer.steps.iter().zip(&inner.steps);
    steps.all(|(own, step)| *own == step.times(&inner.extent))
}

/// How many positions.
pub(super) fn count(lines: &[Line]) -> Extent {
    let one = Extent::constant(1);
    lines
        .iter()
        .fold(one, |count, line| count.times(&line.extent))
}

/// Where the position that `index` stands for lies in a tensor, as a sum without parentheses.
pub(super) fn offset(
    lines: &[Line],
    tensor: usize,
    index: &str,
    sizes: &mut Sizes,
) -> Result<String, Refusal> {
    let mut terms = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let step = &line.steps[tensor];
        if step.as_constant() == Some(0) {
            continue;
        }
        let mut term = index.to_owned();
        let behind = count(&lines[at + 1..]);
        if behind.as_constant() != Some(1) {
            term = format!("{term} / {}", sizes.text(&behind)?);
        }
        if at > 0 {
            term = format!("{term} % {}", sizes.text(&line.extent)?);
        }
        if step.as_constant() != Some(1) {
            term = format!("{term} * {}", sizes.text(step)?);
        }
        terms.push(term);
    }
    Ok(if terms.is_empty() {
        "0".to_owned()
    } else {
        terms.join(" + ")
    })
}

/// Whether neighbors along the innermost line lie behind one another in a tensor.
pub(super) fn contiguous(lines: &[Line], tensor: usize) -> bool {
    let last = lines.last();
    last.is_some_and(|line| line.steps[tensor].as_constant() == Some(1))
}
