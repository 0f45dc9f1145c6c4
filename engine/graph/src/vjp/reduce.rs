//! The derivatives of primitives that combine along axes.
//!
//! Products are exact where factors are 0: no cotangent is a quotient by a factor.

use super::fit::{expand, zeros};
use super::{Cotangents, Use};
use crate::axis::{AxisId, ValueType};
use crate::build::Builder;
use crate::graph::ValueId;
use crate::op::{Binary, Combine, Op, OpError, Recurrence};

pub(super) fn reduce(
    b: &mut Builder,
    at: &Use,
    combine: Combine,
    over: &[AxisId],
    g: ValueId,
) -> Result<Cotangents, OpError> {
    let (x, y) = (at.node.operands[0], at.node.results[0]);
    let cotangent = match combine {
        Combine::Sum => expand(b, g, over)?,
        Combine::Prod => product(b, x, over, g)?,
        Combine::Max | Combine::Min => {
            // In equal parts to all that equal the result.
            let equal = b.binary(Binary::Eq, x, y)?;
            let ones = b.cast(equal, b.ty(g).dtype)?;
            let count = b.reduce(Combine::Sum, ones, over)?;
            let part = b.binary(Binary::Div, g, count)?;
            let zero = b.number(b.ty(g).dtype, 0.0);
            b.select(equal, part, zero)?
        }
        Combine::Any | Combine::All => return Ok(vec![None]),
    };
    Ok(vec![Some(cotangent)])
}

/// Axis by axis, each element's cotangent is `g` times the product of those before it and
/// the product of those behind it.
fn product(b: &mut Builder, x: ValueId, over: &[AxisId], g: ValueId) -> Result<ValueId, OpError> {
    let Some((axis, rest)) = over.split_first() else {
        return Ok(g);
    };
    let inner = b.reduce(Combine::Prod, x, &[*axis])?;
    let g = product(b, inner, rest, g)?;
    let before = running_product(b, x, *axis, false)?;
    let behind = running_product(b, x, *axis, true)?;
    let others = b.binary(Binary::Mul, before, behind)?;
    b.binary(Binary::Mul, others, g)
}

/// The product of the elements strictly before each one; behind it if `reverse`.
fn running_product(
    b: &mut Builder,
    x: ValueId,
    axis: AxisId,
    reverse: bool,
) -> Result<ValueId, OpError> {
    let cumulate = Op::Cumulate {
        combine: Combine::Prod,
        axis,
        reverse,
        exclusive: true,
    };
    b.value(cumulate, &[x])
}

/// y = softmax(x)  ⇒  x̄ = y·(ȳ − Σ y·ȳ); 0 outside the domain, whatever ȳ is there.
pub(super) fn softmax(
    b: &mut Builder,
    at: &Use,
    over: &[AxisId],
    g: ValueId,
) -> Result<Cotangents, OpError> {
    let y = at.node.results[0];
    let domain = at.node.operands.get(1).copied();
    let zero = b.number(b.ty(g).dtype, 0.0);
    let inside = match domain {
        None => g,
        Some(kept) => b.select(kept, g, zero)?,
    };
    let mean = b.value(Op::Contract(over.to_vec()), &[y, inside])?;
    let centered = b.binary(Binary::Sub, inside, mean)?;
    let mut cotangents = vec![Some(b.binary(Binary::Mul, y, centered)?)];
    cotangents.extend(domain.map(|_| None));
    Ok(cotangents)
}

/// `(reverse, exclusive)` as in the primitive.
pub(super) fn cumulate(
    b: &mut Builder,
    at: &Use,
    combine: Combine,
    axis: AxisId,
    (reverse, exclusive): (bool, bool),
    g: ValueId,
) -> Result<Cotangents, OpError> {
    let (x, y) = (at.node.operands[0], at.node.results[0]);
    let back = Back {
        axis,
        reverse: !reverse,
    };
    let cotangent = match combine {
        Combine::Sum => {
            let sum = Op::Cumulate {
                combine,
                axis,
                reverse: !reverse,
                exclusive,
            };
            b.value(sum, &[g])?
        }
        Combine::Prod => {
            // What follows an element contributes s = Σ ȳ_i · (the factors between); walked from
            // the end, s' = ȳ + x·s. The factors before the element are common to all of it.
            let follows = back.walk(b, &[g, x], |b, s, slices| {
                let (g, x) = (slices[0], slices[1]);
                if exclusive {
                    let product = b.binary(Binary::Mul, x, s)?;
                    return Ok((b.binary(Binary::Add, g, product)?, s));
                }
                let sum = b.binary(Binary::Add, g, s)?;
                Ok((b.binary(Binary::Mul, x, sum)?, sum))
            })?;
            let before = running_product(b, x, axis, reverse)?;
            b.binary(Binary::Mul, before, follows)?
        }
        Combine::Max | Combine::Min => {
            // An element that was the best so far, ties included, takes all cotangents up to
            // the next such element.
            let better = if combine == Combine::Max {
                Binary::Ge
            } else {
                Binary::Le
            };
            let record = b.binary(better, x, y)?;
            back.walk(b, &[g, record], |b, s, slices| {
                let (g, record) = (slices[0], slices[1]);
                let zero = b.number(b.ty(g).dtype, 0.0);
                let sum = b.binary(Binary::Add, g, s)?;
                if exclusive {
                    return Ok((b.select(record, g, sum)?, b.select(record, s, zero)?));
                }
                Ok((b.select(record, zero, sum)?, b.select(record, sum, zero)?))
            })?
        }
        Combine::Any | Combine::All => return Ok(vec![None]),
    };
    Ok(vec![Some(cotangent)])
}

/// A walk against the direction of a `cumulate`.
struct Back {
    axis: AxisId,
    reverse: bool,
}

impl Back {
    /// A recurrence that carries one value, 0 at first: `step` gives the next one and what
    /// comes out, for the carried value and one slice of each sequence.
    fn walk(
        &self,
        b: &mut Builder,
        sequences: &[ValueId],
        step: impl FnOnce(&mut Builder, ValueId, &[ValueId]) -> Result<(ValueId, ValueId), OpError>,
    ) -> Result<ValueId, OpError> {
        let slice = |b: &Builder, value: ValueId| {
            let ty = b.ty(value);
            ValueType::new(ty.dtype, ty.without(&[self.axis]))
        };
        let slices: Vec<ValueType> = sequences.iter().map(|value| slice(b, *value)).collect();
        let carried = slices[0].clone();
        let mut operands = vec![zeros(b, &carried)?];
        operands.extend_from_slice(sequences);
        b.open_region();
        let state = b.add_parameter(carried);
        let slices: Vec<ValueId> = slices.into_iter().map(|ty| b.add_parameter(ty)).collect();
        let (next, out) = step(b, state, &slices)?;
        let recurrence = Recurrence {
            axis: self.axis,
            reverse: self.reverse,
            carried: 1,
            sequences: sequences.len(),
            body: b.close_region(vec![next, out]),
        };
        Ok(b.node(Op::Recurrence(Box::new(recurrence)), &operands)?[1])
    }
}
