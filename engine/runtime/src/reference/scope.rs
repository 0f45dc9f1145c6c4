//! What every primitive may ask while a graph runs: sizes, random keys, memory left.

use std::cell::{Cell, RefCell};

use girih_graph::{AxisId, Extent, Graph, ValueType};

use super::array::Array;
use crate::backend::{Bindings, Done, Progress, RunError, Sizes, byte_count};
use crate::plugin::native::Natives;

/// No limit allows more bytes than this: sums are kept in up to eight times the bytes of
/// their elements, which must still be addressable.
const MOST: u64 = (isize::MAX / 16) as u64;

/// One run of one graph.
pub(super) struct Run<'a> {
    pub(super) graph: &'a Graph,
    pub(super) bindings: &'a Bindings,
    /// Asked only for what has no body.
    pub(super) natives: &'a dyn Natives,
    sizes: Sizes,
    /// Bytes of the values that are held.
    held: Cell<u64>,
    done: Cell<Done>,
    progress: RefCell<&'a mut Progress<'a>>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        graph: &'a Graph,
        bindings: &'a Bindings,
        natives: &'a dyn Natives,
        total: usize,
        progress: &'a mut Progress<'a>,
    ) -> Result<Self, RunError> {
        Ok(Self {
            graph,
            bindings,
            natives,
            sizes: Sizes::of(graph, bindings)?,
            held: Cell::new(0),
            done: Cell::new(Done { finished: 0, total }),
            progress: RefCell::new(progress),
        })
    }

    /// Tells the caller that `finished` nodes of the root are done.
    pub(super) fn advance(&self, finished: usize) -> Result<(), RunError> {
        let total = self.done.get().total;
        self.done.set(Done { finished, total });
        self.tick()
    }

    /// Asks the caller whether to go on.
    pub(super) fn tick(&self) -> Result<(), RunError> {
        let mut progress = self.progress.borrow_mut();
        if progress(self.done.get()).is_break() {
            return Err(RunError::Cancelled);
        }
        Ok(())
    }

    /// Counts a value that is about to be made.
    pub(super) fn hold(&self, ty: &ValueType, shape: &[usize]) -> Result<u64, RunError> {
        let bytes = byte_count(ty.dtype, shape);
        let held = self.held.get().saturating_add(bytes);
        let limit = self.bindings.limit.min(MOST);
        if held > limit {
            return Err(RunError::Memory {
                what: format!("{} of shape {shape:?}", self.graph.axes.show(ty)),
                bytes: held,
                limit,
            });
        }
        self.held.set(held);
        Ok(bytes)
    }

    /// Discounts a value that is gone.
    pub(super) fn release(&self, bytes: u64) {
        self.held.set(self.held.get().saturating_sub(bytes));
    }
}

/// Extents in one region.
pub(super) struct Scope<'a> {
    pub(super) run: &'a Run<'a>,
    /// Of every axis; `None` where it cannot be computed.
    extents: Vec<Option<usize>>,
}

impl<'a> Scope<'a> {
    pub(super) fn new(run: &'a Run<'a>) -> Self {
        let axes = &run.graph.axes;
        let known = axes
            .iter()
            .map(|(axis, _)| run.sizes.extent(axes, axis).ok());
        Self {
            extents: known.collect(),
            run,
        }
    }

    /// The same with other extents for some axes.
    pub(super) fn with_extents(&self, changes: &[(AxisId, usize)]) -> Self {
        let mut extents = self.extents.clone();
        for (axis, extent) in changes {
            extents[axis.index()] = Some(*extent);
        }
        Self {
            run: self.run,
            extents,
        }
    }

    pub(super) fn axis_name(&self, axis: AxisId) -> &'a str {
        self.run.graph.axes.name(axis)
    }

    /// The number of positions of an axis.
    pub(super) fn extent(&self, axis: AxisId) -> Result<usize, RunError> {
        match self.extents[axis.index()] {
            Some(extent) => Ok(extent),
            None => self.run.sizes.extent(&self.run.graph.axes, axis),
        }
    }

    pub(super) fn shape(&self, axes: &[AxisId]) -> Result<Vec<usize>, RunError> {
        axes.iter().map(|axis| self.extent(*axis)).collect()
    }

    /// The value of an extent that is no axis'.
    pub(super) fn number(&self, extent: &Extent) -> Result<i64, RunError> {
        self.run.sizes.value(extent, || format!("`{extent}`"))
    }
}

/// An operand: an array with the axes it is over.
#[derive(Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) ty: &'a ValueType,
    pub(super) array: &'a Array,
}

impl<'a> Value<'a> {
    pub(super) fn axes(&self) -> &'a [AxisId] {
        &self.ty.axes
    }

    /// Where an axis stands, if the value has it.
    pub(super) fn place(&self, axis: AxisId) -> Option<usize> {
        self.ty.axes.iter().position(|own| *own == axis)
    }

    /// Distance of neighbors along an axis; 0 for one that the value lacks.
    pub(super) fn stride(&self, axis: AxisId) -> isize {
        self.place(axis)
            .map_or(0, |place| self.array.strides()[place])
    }

    /// Distances along the axes of a walk.
    pub(super) fn strides(&self, axes: &[AxisId]) -> Vec<isize> {
        axes.iter().map(|axis| self.stride(*axis)).collect()
    }

    /// The value with its axes in another order; `axes` are its own, or more,
    /// along which it is repeated.
    pub(super) fn over(&self, axes: &[AxisId], shape: &[usize]) -> Array {
        self.array.view(shape.to_vec(), self.strides(axes), 0)
    }

    /// The stride with which axes of the value can be walked as one, in their order; `None`
    /// if they do not lie behind one another.
    pub(super) fn joined(&self, axes: &[AxisId]) -> Option<isize> {
        let mut whole: Option<(usize, isize)> = None;
        for axis in axes.iter().rev() {
            let place = self.place(*axis)?;
            let (extent, stride) = (self.array.shape()[place], self.array.strides()[place]);
            if extent == 1 {
                continue;
            }
            whole = match whole {
                None => Some((extent, stride)),
                Some((length, step)) if step.checked_mul(length as isize) == Some(stride) => {
                    Some((length.saturating_mul(extent), step))
                }
                Some(_) => return None,
            };
        }
        Some(whole.map_or(1, |(_, step)| step))
    }
}
