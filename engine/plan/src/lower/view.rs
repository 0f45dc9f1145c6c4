//! Positions of a view as positions of what it views.

use girih_graph::{AxisId, Extent, ValueType};

use super::value::View;
use crate::kernel::{Affine, Guard, GuardOutside};

/// The position along each axis of a value, affine in a kernel's loops.
pub(super) type Map = Vec<(AxisId, Affine)>;

/// The number 0.
pub(super) fn zero() -> Affine {
    Affine {
        offset: Extent::constant(0),
        loops: Vec::new(),
        steps: Vec::new(),
    }
}

impl Affine {
    /// Adds `factor · other`.
    pub(super) fn add_scaled(&mut self, other: &Self, factor: &Extent) {
        self.offset = self.offset.plus(&other.offset.times(factor));
        for (id, own) in &other.loops {
            add(&mut self.loops, *id, &own.times(factor));
        }
        for (id, own) in &other.steps {
            add(&mut self.steps, *id, &own.times(factor));
        }
    }
}

fn add(terms: &mut Vec<(usize, Extent)>, id: usize, factor: &Extent) {
    let nothing = Extent::constant(0);
    if let Some(place) = terms.iter().position(|(own, _)| *own == id) {
        let sum = terms[place].1.plus(factor);
        if sum == nothing {
            terms.remove(place);
        } else {
            terms[place].1 = sum;
        }
    } else if *factor != nothing {
        terms.push((id, factor.clone()));
        terms.sort_by_key(|(id, _)| *id);
    }
}

/// The position along `axis`; 0 if the map lacks it.
pub(super) fn position(map: &Map, axis: AxisId) -> Affine {
    let found = map.iter().find(|(own, _)| *own == axis);
    found.map_or_else(zero, |(_, affine)| affine.clone())
}

/// The positions of `ty`'s axes.
pub(super) fn restricted(map: &Map, ty: &ValueType) -> Map {
    let axes = ty.axes.iter();
    axes.map(|axis| (*axis, position(map, *axis))).collect()
}

/// The operand's positions for a view at `map`, and what must hold for the read to be inside.
/// `None` where they are not affine: a merge of axes.
pub(super) fn through(
    view: &View,
    operand: &ValueType,
    map: &Map,
    extent: &dyn Fn(AxisId) -> Extent,
) -> Option<(Map, Vec<Guard>)> {
    let mut guards = Vec::new();
    let inner = match view {
        View::Expand => restricted(map, operand),
        View::Rename(pairs) => {
            let new = |axis: &AxisId| {
                let pair = pairs.iter().find(|(old, _)| old == axis);
                pair.map_or(*axis, |(_, new)| *new)
            };
            let axes = operand.axes.iter();
            axes.map(|axis| (*axis, position(map, new(axis)))).collect()
        }
        View::Split(axis, into) => {
            let mut merged = zero();
            for part in into {
                let mut next = zero();
                next.add_scaled(&merged, &extent(*part));
                next.add_scaled(&position(map, *part), &Extent::constant(1));
                merged = next;
            }
            with(operand, map, *axis, &merged)
        }
        View::Merge(from, axis) => match from.as_slice() {
            [] => restricted(map, operand),
            [only] => with(operand, map, *only, &position(map, *axis)),
            _ => {
                // All but one of extent 1.
                let one = Extent::constant(1);
                let mut long = from.iter().filter(|axis| extent(**axis) != one);
                let (first, None) = (long.next(), long.next()) else {
                    return None;
                };
                let place = first.unwrap_or(&from[0]);
                with(operand, map, *place, &position(map, *axis))
            }
        },
        View::Window { axis, into, offset } => {
            let mut index = zero();
            index.offset = offset.clone();
            let (mut least, mut most) = (offset.clone(), offset.clone());
            for (part, stride) in into {
                index.add_scaled(&position(map, *part), stride);
                let last = extent(*part).minus(&Extent::constant(1)).times(stride);
                if stride.is_at_least(0) {
                    most = most.plus(&last);
                } else {
                    least = least.plus(&last);
                }
            }
            let size = extent(*axis);
            let inside = proved(&least, 0) && proved(&size.minus(&most), 1);
            if !inside {
                guards.push(Guard {
                    index: index.clone(),
                    extent: size,
                    outside: GuardOutside::Zero,
                });
            }
            with(operand, map, *axis, &index)
        }
    };
    Some((inner, guards))
}

/// Whether `extent >= bound` for all symbols of at least 0: an axis may be empty.
fn proved(extent: &Extent, bound: i64) -> bool {
    let one = Extent::constant(1);
    let shifted = extent.substitute(&|symbol| Some(Extent::symbol(symbol).minus(&one)));
    shifted.is_at_least(bound)
}

/// The operand's axes at their own positions, except `axis`.
fn with(operand: &ValueType, map: &Map, axis: AxisId, at: &Affine) -> Map {
    let axes = operand.axes.iter().map(|own| {
        if *own == axis {
            (*own, at.clone())
        } else {
            (*own, position(map, *own))
        }
    });
    axes.collect()
}
