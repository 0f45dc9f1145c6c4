//! What the attributes of a primitive hold: its regions, its axes, its own types.
//!
//! Whoever copies nodes goes through here, so that only this file, the text form
//! and the axis rules know where an op keeps its axes.

use std::sync::Arc;

use super::{Call, Distribution, Op, Recurrence, Route};
use crate::axis::{AxisId, ValueType};
use crate::extent::Extent;
use crate::graph::Region;

impl Op {
    /// Random numbers over axes, from their first positions on.
    pub fn random(distribution: Distribution, key: &str, axes: &[AxisId]) -> Self {
        let from = |axis: &AxisId| (*axis, Extent::constant(0));
        Self::Random(distribution, key.into(), axes.iter().map(from).collect())
    }

    /// The regions inside, in order; none for most primitives.
    pub fn regions(&self) -> &[Region] {
        match self {
            Self::Recurrence(recurrence) => std::slice::from_ref(&recurrence.body),
            Self::Route(route) => &route.branches,
            Self::Call(call) => &call.regions,
            Self::Input(..)
            | Self::Param(..)
            | Self::State(_)
            | Self::Const(_)
            | Self::Table(..)
            | Self::Index(_)
            | Self::Size(_)
            | Self::Random(..)
            | Self::Unary(_)
            | Self::Binary(_)
            | Self::Select
            | Self::Cast(_)
            | Self::Contract(_)
            | Self::Reduce(..)
            | Self::Softmax(_)
            | Self::Cumulate { .. }
            | Self::Order { .. }
            | Self::Gather { .. }
            | Self::Scatter { .. }
            | Self::Window { .. }
            | Self::Fold { .. }
            | Self::Split(..)
            | Self::Merge(..)
            | Self::Concat(..)
            | Self::Rename(_)
            | Self::Expand(_)
            | Self::GradAs => &[],
        }
    }

    /// The same op with other regions, as many as it has.
    #[must_use]
    pub fn with_regions(&self, regions: Vec<Region>) -> Self {
        match self {
            Self::Recurrence(recurrence) => {
                let mut regions = regions;
                Self::Recurrence(Box::new(Recurrence {
                    body: regions.pop().unwrap_or_default(),
                    axis: recurrence.axis,
                    reverse: recurrence.reverse,
                    carried: recurrence.carried,
                    sequences: recurrence.sequences,
                }))
            }
            Self::Route(route) => Self::Route(Box::new(Route {
                branch: route.branch,
                items: route.items.clone(),
                branches: regions,
                reads: route.reads.clone(),
            })),
            Self::Call(call) => Self::Call(Box::new(Call {
                callee: Arc::clone(&call.callee),
                attributes: call.attributes.clone(),
                takes: call.takes.clone(),
                gives: call.gives.clone(),
                regions,
                has_body: call.has_body,
            })),
            other => other.clone(),
        }
    }

    /// The same op over other axes, everywhere inside.
    #[must_use]
    pub fn map_axes(&self, map: &dyn Fn(AxisId) -> AxisId) -> Self {
        let ty = |ty: &ValueType| ty.map_axes(map);
        let all = |axes: &[AxisId]| axes.iter().map(|axis| map(*axis)).collect::<Vec<_>>();
        let strided = |pairs: &[(AxisId, Extent)]| {
            let pair = |(axis, stride): &(AxisId, Extent)| (map(*axis), stride.clone());
            pairs.iter().map(pair).collect::<Vec<_>>()
        };
        match self {
            Self::Input(name, own) => Self::Input(Arc::clone(name), ty(own)),
            Self::Param(name, own) => Self::Param(Arc::clone(name), ty(own)),
            Self::Table(dtype, axes, data) => Self::Table(*dtype, all(axes), Arc::clone(data)),
            Self::Index(axis) => Self::Index(map(*axis)),
            Self::Random(distribution, key, axes) => {
                Self::Random(*distribution, Arc::clone(key), strided(axes))
            }
            Self::Contract(over) => Self::Contract(all(over)),
            Self::Reduce(combine, over) => Self::Reduce(*combine, all(over)),
            Self::Softmax(over) => Self::Softmax(all(over)),
            Self::Cumulate {
                combine,
                axis,
                reverse,
                exclusive,
            } => Self::Cumulate {
                combine: *combine,
                axis: map(*axis),
                reverse: *reverse,
                exclusive: *exclusive,
            },
            Self::Order {
                axis,
                into,
                descending,
            } => Self::Order {
                axis: map(*axis),
                into: map(*into),
                descending: *descending,
            },
            Self::Gather { axis, outside } => Self::Gather {
                axis: map(*axis),
                outside: *outside,
            },
            Self::Scatter {
                axis,
                over,
                combine,
            } => Self::Scatter {
                axis: map(*axis),
                over: all(over),
                combine: *combine,
            },
            Self::Window { axis, into, offset } => Self::Window {
                axis: map(*axis),
                into: strided(into),
                offset: offset.clone(),
            },
            Self::Fold { from, axis, offset } => Self::Fold {
                from: strided(from),
                axis: map(*axis),
                offset: offset.clone(),
            },
            Self::Split(axis, into) => Self::Split(map(*axis), all(into)),
            Self::Merge(from, axis) => Self::Merge(all(from), map(*axis)),
            Self::Concat(from, axis) => Self::Concat(all(from), map(*axis)),
            Self::Rename(pairs) => {
                let pair = |(old, new): &(AxisId, AxisId)| (map(*old), map(*new));
                Self::Rename(pairs.iter().map(pair).collect())
            }
            Self::Expand(axes) => Self::Expand(all(axes)),
            Self::Recurrence(recurrence) => Self::Recurrence(Box::new(Recurrence {
                axis: map(recurrence.axis),
                reverse: recurrence.reverse,
                carried: recurrence.carried,
                sequences: recurrence.sequences,
                body: recurrence.body.map_axes(map),
            })),
            Self::Route(route) => Self::Route(Box::new(Route {
                branch: map(route.branch),
                items: all(&route.items),
                branches: route.branches.iter().map(|b| b.map_axes(map)).collect(),
                reads: route.reads.clone(),
            })),
            Self::Call(call) => Self::Call(Box::new(Call {
                callee: Arc::clone(&call.callee),
                attributes: call.attributes.clone(),
                takes: call.takes.iter().map(|core| all(core)).collect(),
                gives: (call.gives.iter())
                    .map(|(given, core)| (ty(given), all(core)))
                    .collect(),
                regions: call.regions.iter().map(|r| r.map_axes(map)).collect(),
                has_body: call.has_body,
            })),
            Self::State(_)
            | Self::Const(_)
            | Self::Size(_)
            | Self::Unary(_)
            | Self::Binary(_)
            | Self::Select
            | Self::Cast(_)
            | Self::GradAs => self.clone(),
        }
    }

    /// Every axis that the attributes name, those inside regions left out.
    pub fn attribute_axes(&self) -> Vec<AxisId> {
        let strided = |pairs: &[(AxisId, Extent)]| pairs.iter().map(|(axis, _)| *axis).collect();
        match self {
            Self::Input(_, ty) | Self::Param(_, ty) => ty.axes.clone(),
            Self::Random(_, _, axes) => strided(axes),
            Self::Table(_, axes, _)
            | Self::Contract(axes)
            | Self::Reduce(_, axes)
            | Self::Softmax(axes)
            | Self::Expand(axes) => axes.clone(),
            Self::Index(axis) | Self::Cumulate { axis, .. } | Self::Gather { axis, .. } => {
                vec![*axis]
            }
            Self::Order { axis, into, .. } => vec![*axis, *into],
            Self::Scatter { axis, over, .. } => [&[*axis], over.as_slice()].concat(),
            Self::Window { axis, into, .. } => {
                let mut axes: Vec<AxisId> = strided(into);
                axes.push(*axis);
                axes
            }
            Self::Fold { from, axis, .. } => {
                let mut axes: Vec<AxisId> = strided(from);
                axes.push(*axis);
                axes
            }
            Self::Split(axis, several)
            | Self::Merge(several, axis)
            | Self::Concat(several, axis) => [&[*axis], several.as_slice()].concat(),
            Self::Rename(pairs) => pairs.iter().flat_map(|(old, new)| [*old, *new]).collect(),
            Self::Recurrence(recurrence) => vec![recurrence.axis],
            Self::Route(route) => [&[route.branch], route.items.as_slice()].concat(),
            Self::Call(call) => call.core_axes().collect(),
            Self::State(_)
            | Self::Const(_)
            | Self::Size(_)
            | Self::Unary(_)
            | Self::Binary(_)
            | Self::Select
            | Self::Cast(_)
            | Self::GradAs => Vec::new(),
        }
    }
}

impl Region {
    /// The same region over other axes.
    #[must_use]
    pub fn map_axes(&self, map: &dyn Fn(AxisId) -> AxisId) -> Self {
        let mut mapped = self.clone();
        for (ty, _) in &mut mapped.values {
            *ty = ty.map_axes(map);
        }
        for node in &mut mapped.nodes {
            node.op = node.op.map_axes(map);
        }
        mapped
    }
}
