//! Tensors of a plan with numbers for their sizes.
//!
//! A [`View`] says which elements of a buffer a tensor sees; it holds no memory
//! and is made once per set of sizes.

use girih_graph::{AxisId, DType};
use girih_plan::plan::BufferId;

/// Which elements of a buffer a tensor sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Of which buffer.
    pub buffer: BufferId,
    /// Element type.
    pub dtype: DType,
    /// Element where all positions are 0.
    pub offset: isize,
    /// Directions, outermost first.
    pub lines: Vec<Line>,
}

/// One direction of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its name in the graph.
    pub axis: AxisId,
    /// Positions.
    pub extent: usize,
    /// Elements between neighbors.
    pub step: isize,
}

impl View {
    /// Extents, outermost first.
    pub fn shape(&self) -> Vec<usize> {
        self.lines.iter().map(|line| line.extent).collect()
    }

    /// Steps, outermost first.
    pub fn own_steps(&self) -> Vec<isize> {
        self.lines.iter().map(|line| line.step).collect()
    }

    /// The direction along an axis, if there is one.
    pub fn line(&self, axis: AxisId) -> Option<&Line> {
        self.lines.iter().find(|line| line.axis == axis)
    }

    /// The distance of neighbors along an axis; 0 for one that the view lacks.
    pub fn step(&self, axis: AxisId) -> isize {
        self.line(axis).map_or(0, |line| line.step)
    }

    /// Distances along axes, in their order.
    pub fn steps(&self, axes: impl IntoIterator<Item = AxisId>) -> Vec<isize> {
        axes.into_iter().map(|axis| self.step(axis)).collect()
    }

    /// Its axes, outermost first.
    pub fn axes(&self) -> impl Iterator<Item = AxisId> + Clone {
        self.lines.iter().map(|line| line.axis)
    }

    /// Number of positions; sizes are known to fit.
    pub fn count(&self) -> usize {
        count(&self.shape())
    }

    /// The first and the last element that is seen; `None` if there is none.
    pub fn reach(&self) -> Option<(isize, isize)> {
        let (mut first, mut last) = (self.offset, self.offset);
        for line in &self.lines {
            let reach = line
                .step
                .saturating_mul(line.extent.checked_sub(1)? as isize);
            first = first.saturating_add(reach.min(0));
            last = last.saturating_add(reach.max(0));
        }
        Some((first, last))
    }

    /// Whether elements lie behind one another in the order of the axes.
    pub fn is_dense(&self) -> bool {
        let mut wanted = 1;
        for line in self.lines.iter().rev() {
            if line.extent != 1 && line.step != wanted {
                return self.lines.iter().any(|line| line.extent == 0);
            }
            wanted = wanted.saturating_mul(line.extent as isize);
        }
        true
    }

    /// Whether two views place elements alike from their first one on: axes may be named otherwise.
    pub fn lies_as(&self, other: &Self) -> bool {
        self.lines.len() == other.lines.len()
            && self.lines.iter().zip(&other.lines).all(|(own, other)| {
                own.extent == other.extent && (own.extent == 1 || own.step == other.step)
            })
    }
}

/// Positions of a shape; an extent of 0 makes it 0 however large others are.
pub fn count(shape: &[usize]) -> usize {
    girih_runtime::tensor::element_count(shape).unwrap_or(usize::MAX)
}

/// Steps of elements that lie behind one another.
pub fn dense_steps(shape: &[usize]) -> Vec<isize> {
    let mut steps = vec![1_isize; shape.len()];
    for axis in (1..shape.len()).rev() {
        // Beside an extent of 0, others may be absurd.
        steps[axis - 1] = steps[axis].saturating_mul(shape[axis] as isize);
    }
    steps
}
