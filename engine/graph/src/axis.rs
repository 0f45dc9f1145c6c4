//! Named axes and the types of values.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::dtype::DType;
use crate::extent::Extent;

/// An axis of one graph.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct AxisId(pub(crate) u32);

impl AxisId {
    /// The axis at this position of a table.
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// Position in the graph's table of axes.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A named direction with its size. Two axes of one graph never share a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Axis {
    /// As printed; `h.1` when `h` is another axis.
    pub name: Arc<str>,
    /// The number of positions.
    pub extent: Extent,
    /// The axis whose positions this one ranges over: `i` of `q[t = i]` ranges over `t`.
    pub over: Option<AxisId>,
    /// Whether positions arrive one after another when the model is streamed.
    pub time: bool,
}

/// The axes of one graph. Grows only.
#[derive(Clone, Debug, Default)]
pub struct AxisTable {
    axes: Vec<Axis>,
    by_name: HashMap<Arc<str>, AxisId>,
    /// The last suffix tried for a name, so that a thousand copies cost a thousand steps.
    copies: HashMap<Arc<str>, u32>,
}

impl PartialEq for AxisTable {
    fn eq(&self, other: &Self) -> bool {
        self.axes == other.axes
    }
}

impl Eq for AxisTable {}

impl AxisTable {
    /// The axis with this name, if there is one.
    pub fn find(&self, name: &str) -> Option<AxisId> {
        self.by_name.get(name).copied()
    }

    /// Adds an axis; a name that is taken gets the first free suffix `.1`, `.2`, …
    pub fn add(&mut self, name: &str, extent: Extent, over: Option<AxisId>, time: bool) -> AxisId {
        let mut unique = Arc::<str>::from(name);
        while self.find(&unique).is_some() {
            let copy = self.copies.entry(Arc::from(name)).or_insert(0);
            *copy += 1;
            unique = Arc::from(format!("{name}.{copy}"));
        }
        let axis = AxisId(self.axes.len() as u32);
        self.by_name.insert(unique.clone(), axis);
        self.axes.push(Axis {
            name: unique,
            extent,
            over,
            time,
        });
        axis
    }

    /// Every axis with its id, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (AxisId, &Axis)> {
        self.axes
            .iter()
            .enumerate()
            .map(|(index, axis)| (AxisId(index as u32), axis))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.axes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.axes.is_empty()
    }

    /// Every extent mapped.
    pub(crate) fn map_extents(&mut self, map: &dyn Fn(&Extent) -> Extent) {
        for axis in &mut self.axes {
            axis.extent = map(&axis.extent);
        }
    }

    /// The extent of `axis`.
    pub fn extent(&self, axis: AxisId) -> &Extent {
        &self[axis].extent
    }

    /// The name of `axis`.
    pub fn name(&self, axis: AxisId) -> &str {
        &self[axis].name
    }

    /// Follows `over` to the axis that was declared.
    pub fn root(&self, mut axis: AxisId) -> AxisId {
        while let Some(over) = self[axis].over {
            axis = over;
        }
        axis
    }

    /// `f32[t, d=16]`: an axis whose extent is the symbol of its own name prints alone.
    pub fn show(&self, ty: &ValueType) -> String {
        let mut text = ty.dtype.to_string();
        if ty.axes.is_empty() {
            return text;
        }
        for (position, axis) in ty.axes.iter().enumerate() {
            text.push_str(if position == 0 { "[" } else { ", " });
            text.push_str(&self.show_axis(*axis));
        }
        text.push(']');
        text
    }

    /// `t` or `d=16`.
    pub fn show_axis(&self, axis: AxisId) -> String {
        let Axis { name, extent, .. } = &self[axis];
        let mut text = crate::name::show(name);
        if extent.as_symbol() != Some(name) {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "={extent}");
        }
        text
    }
}

impl std::ops::Index<AxisId> for AxisTable {
    type Output = Axis;

    fn index(&self, axis: AxisId) -> &Axis {
        &self.axes[axis.index()]
    }
}

/// dtype and axes of a value. No axis occurs twice; their order is only layout.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ValueType {
    /// Element type.
    pub dtype: DType,
    /// Outermost first.
    pub axes: Vec<AxisId>,
}

impl ValueType {
    /// A value without axes.
    pub const fn scalar(dtype: DType) -> Self {
        Self {
            dtype,
            axes: Vec::new(),
        }
    }

    /// A value with axes.
    pub const fn new(dtype: DType, axes: Vec<AxisId>) -> Self {
        Self { dtype, axes }
    }

    /// Whether `axis` is one of its axes.
    pub fn has(&self, axis: AxisId) -> bool {
        self.axes.contains(&axis)
    }

    /// Whether both hold the same elements: axes may stand in another order.
    pub fn is_permuted(&self, other: &Self) -> bool {
        self.dtype == other.dtype
            && self.axes.len() == other.axes.len()
            && self.axes.iter().all(|axis| other.has(*axis))
    }

    /// The same axes with another dtype.
    #[must_use]
    pub fn with_dtype(&self, dtype: DType) -> Self {
        Self::new(dtype, self.axes.clone())
    }

    /// The same dtype over other axes.
    #[must_use]
    pub fn map_axes(&self, map: &dyn Fn(AxisId) -> AxisId) -> Self {
        Self::new(
            self.dtype,
            self.axes.iter().map(|axis| map(*axis)).collect(),
        )
    }

    /// The axes except those in `gone`.
    pub fn without(&self, gone: &[AxisId]) -> Vec<AxisId> {
        let kept = self.axes.iter().filter(|axis| !gone.contains(axis));
        kept.copied().collect()
    }
}

/// The axes of an elementwise result: those of the first operand that has all
/// of them, else in order of first appearance, the operand with most axes first.
pub fn align(operands: &[&[AxisId]]) -> Vec<AxisId> {
    // The first of the longest: `max_by_key` gives the last.
    let widest = operands.iter().rev().max_by_key(|axes| axes.len());
    let mut union: Vec<AxisId> = widest.map_or_else(Vec::new, |axes| axes.to_vec());
    for axis in operands.iter().copied().flatten() {
        if !union.contains(axis) {
            union.push(*axis);
        }
    }
    union
}
