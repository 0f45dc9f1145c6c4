//! The derivatives of data-dependent reads and writes.

use super::fit::{fresh, like};
use super::{Cotangents, Use};
use crate::axis::AxisId;
use crate::build::Builder;
use crate::graph::ValueId;
use crate::op::{Binary, Combine, Op, OpError, Outside};

/// What was read from a position flows back to it; what was read outside is dropped.
pub(super) fn gather(
    b: &mut Builder,
    at: &Use,
    axis: AxisId,
    g: ValueId,
) -> Result<Cotangents, OpError> {
    let (x, positions) = (at.node.operands[0], at.node.operands[1]);
    let over = b.ty(positions).without(&b.ty(x).axes);
    let scatter = Op::Scatter {
        axis,
        over,
        combine: Combine::Sum,
    };
    Ok(vec![Some(b.value(scatter, &[positions, g])?), None])
}

/// `(axis, over, combine)` as in the primitive.
pub(super) fn scatter(
    b: &mut Builder,
    at: &Use,
    (axis, over, combine): (AxisId, &[AxisId], Combine),
    g: ValueId,
) -> Result<Cotangents, OpError> {
    let (positions, x) = (at.node.operands[0], at.node.operands[1]);
    let y = at.node.results[0];
    let write = Write {
        positions,
        axis,
        over,
    };
    let dtype = b.ty(g).dtype;
    let cotangent = match combine {
        Combine::Sum => write.read(b, g)?,
        Combine::Max | Combine::Min => {
            // In equal parts to all that equal the result at their position.
            let best = write.read(b, y)?;
            let equal = b.binary(Binary::Eq, x, best)?;
            let ones = b.cast(equal, dtype)?;
            let count = write.write(b, Combine::Sum, ones)?;
            let count = write.read(b, count)?;
            // Reads outside give a count of 0.
            let zero = b.number(dtype, 0.0);
            let inside = b.binary(Binary::Gt, count, zero)?;
            let takes = b.binary(Binary::And, equal, inside)?;
            let g = write.read(b, g)?;
            let part = b.binary(Binary::Div, g, count)?;
            b.select(takes, part, zero)?
        }
        Combine::Prod => {
            // The product of the others: of all that are not 0, if no other one is 0.
            let (zero, one) = (b.number(dtype, 0.0), b.number(dtype, 1.0));
            let is_zero = b.binary(Binary::Eq, x, zero)?;
            let ones = b.cast(is_zero, dtype)?;
            let zeros = write.write(b, Combine::Sum, ones)?;
            let zeros = write.read(b, zeros)?;
            let factors = b.select(is_zero, one, x)?;
            let product = write.write(b, Combine::Prod, factors)?;
            let product = write.read(b, product)?;
            let others = b.binary(Binary::Div, product, factors)?;
            let own = b.cast(is_zero, dtype)?;
            let alone = b.binary(Binary::Eq, zeros, own)?;
            let others = b.select(alone, others, zero)?;
            let g = write.read(b, g)?;
            b.binary(Binary::Mul, g, others)?
        }
        Combine::Any | Combine::All => return Ok(vec![None, None]),
    };
    Ok(vec![None, Some(like(b, cotangent, x)?)])
}

/// Where a `scatter` writes.
struct Write<'a> {
    positions: ValueId,
    axis: AxisId,
    over: &'a [AxisId],
}

impl Write<'_> {
    fn write(&self, b: &mut Builder, combine: Combine, x: ValueId) -> Result<ValueId, OpError> {
        let scatter = Op::Scatter {
            axis: self.axis,
            over: self.over.to_vec(),
            combine,
        };
        b.value(scatter, &[self.positions, x])
    }

    /// `y` at the positions, 0 outside. The walked axes that only the updates have are not
    /// axes of the answer.
    fn read(&self, b: &mut Builder, y: ValueId) -> Result<ValueId, OpError> {
        let mut axis = self.axis;
        let mut y = y;
        // The positions may have an axis of this name that the scatter walked away.
        if b.ty(self.positions).has(axis) {
            axis = fresh(b, self.axis);
            y = b.rename(y, &[(self.axis, axis)])?;
        }
        let gather = Op::Gather {
            axis,
            outside: Outside::Zero,
        };
        b.value(gather, &[y, self.positions])
    }
}
