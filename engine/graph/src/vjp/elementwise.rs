//! The derivatives of elementwise primitives.
//!
//! Operands that were repeated along an axis get the sum over it.

use std::f64::consts::FRAC_2_SQRT_PI;

use super::fit::like;
use super::{Cotangents, Use};
use crate::build::Builder;
use crate::graph::ValueId;
use crate::op::{Binary, Literal, Op, OpError, Unary};

pub(super) fn unary(
    b: &mut Builder,
    at: &Use,
    op: Unary,
    g: ValueId,
) -> Result<Cotangents, OpError> {
    let (x, y) = (at.node.operands[0], at.node.results[0]);
    let dtype = b.ty(x).dtype;
    let product = match op {
        Unary::Sign | Unary::Floor | Unary::Ceil | Unary::Round | Unary::Not | Unary::PopCount => {
            return Ok(vec![None]);
        }
        Unary::Neg => return Ok(vec![Some(b.unary(Unary::Neg, g)?)]),
        Unary::Abs => {
            let sign = b.unary(Unary::Sign, x)?;
            b.binary(Binary::Mul, g, sign)?
        }
        Unary::Exp => b.binary(Binary::Mul, g, y)?,
        Unary::Log => b.binary(Binary::Div, g, x)?,
        Unary::Log1p => {
            let one = b.number(dtype, 1.0);
            let sum = b.binary(Binary::Add, x, one)?;
            b.binary(Binary::Div, g, sum)?
        }
        Unary::Sqrt => {
            let twice = b.binary(Binary::Add, y, y)?;
            b.binary(Binary::Div, g, twice)?
        }
        Unary::Rsqrt => {
            // d x^(-1/2) = -1/2 · y³
            let square = b.binary(Binary::Mul, y, y)?;
            let cube = b.binary(Binary::Mul, square, y)?;
            let factor = scaled(b, cube, -0.5)?;
            b.binary(Binary::Mul, g, factor)?
        }
        Unary::Sin => {
            let cos = b.unary(Unary::Cos, x)?;
            b.binary(Binary::Mul, g, cos)?
        }
        Unary::Cos => {
            let sin = b.unary(Unary::Sin, x)?;
            let factor = b.unary(Unary::Neg, sin)?;
            b.binary(Binary::Mul, g, factor)?
        }
        Unary::Tanh => {
            let square = b.binary(Binary::Mul, y, y)?;
            let one = b.number(dtype, 1.0);
            let factor = b.binary(Binary::Sub, one, square)?;
            b.binary(Binary::Mul, g, factor)?
        }
        Unary::Sigmoid => {
            let one = b.number(dtype, 1.0);
            let rest = b.binary(Binary::Sub, one, y)?;
            let factor = b.binary(Binary::Mul, y, rest)?;
            b.binary(Binary::Mul, g, factor)?
        }
        Unary::Erf => {
            // d erf(x) = 2/√π · exp(-x²)
            let square = b.binary(Binary::Mul, x, x)?;
            let minus = b.unary(Unary::Neg, square)?;
            let bell = b.unary(Unary::Exp, minus)?;
            let factor = scaled(b, bell, FRAC_2_SQRT_PI)?;
            b.binary(Binary::Mul, g, factor)?
        }
    };
    Ok(vec![Some(settled(b, at, g, product)?)])
}

pub(super) fn binary(
    b: &mut Builder,
    at: &Use,
    op: Binary,
    g: ValueId,
) -> Result<Cotangents, OpError> {
    let (x, y) = (at.node.operands[0], at.node.operands[1]);
    let mut cotangents = vec![None, None];
    for (slot, operand) in [x, y].into_iter().enumerate() {
        if at.wanted[slot]
            && let Some(full) = partial(b, at, op, slot, g)?
        {
            cotangents[slot] = Some(like(b, full, operand)?);
        }
    }
    Ok(cotangents)
}

/// The cotangent of one operand before it is summed over repeated axes.
fn partial(
    b: &mut Builder,
    at: &Use,
    op: Binary,
    slot: usize,
    g: ValueId,
) -> Result<Option<ValueId>, OpError> {
    let (x, y) = (at.node.operands[0], at.node.operands[1]);
    let z = at.node.results[0];
    let (own, other) = if slot == 0 { (x, y) } else { (y, x) };
    let product = match (op, slot) {
        (Binary::Add, _) | (Binary::Sub | Binary::Rem, 0) => return Ok(Some(g)),
        (Binary::Sub, _) => return Ok(Some(b.unary(Unary::Neg, g)?)),
        (Binary::Mul, _) => {
            let product = b.binary(Binary::Mul, g, other)?;
            if literal(b, other).is_some() {
                return Ok(Some(product));
            }
            product
        }
        (Binary::Div, 0) => {
            let product = b.binary(Binary::Div, g, y)?;
            if literal(b, y).is_some_and(|divisor| divisor != 0.0) {
                return Ok(Some(product));
            }
            product
        }
        (Binary::Div, _) => {
            // ∂(x/y)/∂y = -z/y
            let minus = b.unary(Unary::Neg, z)?;
            let factor = b.binary(Binary::Div, minus, y)?;
            b.binary(Binary::Mul, g, factor)?
        }
        (Binary::Rem, _) => {
            let quotient = b.binary(Binary::FloorDiv, x, y)?;
            let factor = b.unary(Unary::Neg, quotient)?;
            b.binary(Binary::Mul, g, factor)?
        }
        (Binary::Pow, 0) => return power_by_base(b, at, g),
        (Binary::Pow, _) => power_by_exponent(b, at, g)?,
        (Binary::Max | Binary::Min, _) => {
            let wins = if op == Binary::Max {
                Binary::Gt
            } else {
                Binary::Lt
            };
            let wins = b.binary(wins, own, other)?;
            let ties = b.binary(Binary::Eq, own, other)?;
            let half = scaled(b, g, 0.5)?;
            let zero = b.number(b.ty(g).dtype, 0.0);
            let rest = b.select(ties, half, zero)?;
            return Ok(Some(b.select(wins, g, rest)?));
        }
        (
            Binary::FloorDiv
            | Binary::Eq
            | Binary::Ne
            | Binary::Lt
            | Binary::Le
            | Binary::Gt
            | Binary::Ge
            | Binary::And
            | Binary::Or
            | Binary::Xor
            | Binary::Shl
            | Binary::Shr,
            _,
        ) => return Ok(None),
    };
    Ok(Some(settled(b, at, g, product)?))
}

/// ∂xⁿ/∂x = n·xⁿ⁻¹, and 0 for n = 0 even at x = 0.
fn power_by_base(b: &mut Builder, at: &Use, g: ValueId) -> Result<Option<ValueId>, OpError> {
    let (x, n) = (at.node.operands[0], at.node.operands[1]);
    let dtype = b.ty(x).dtype;
    // Powers that a multiplication says exactly keep higher derivatives exact at 0.
    let factor = match literal(b, n) {
        Some(0.0) => return Ok(None),
        Some(1.0) => return Ok(Some(g)),
        Some(2.0) => b.binary(Binary::Add, x, x)?,
        Some(exponent) => {
            let less = b.number(dtype, exponent - 1.0);
            let power = b.binary(Binary::Pow, x, less)?;
            scaled(b, power, exponent)?
        }
        None => {
            let (zero, one) = (b.number(dtype, 0.0), b.number(dtype, 1.0));
            let less = b.binary(Binary::Sub, n, one)?;
            let power = b.binary(Binary::Pow, x, less)?;
            let factor = b.binary(Binary::Mul, n, power)?;
            let constant = b.binary(Binary::Eq, n, zero)?;
            b.select(constant, zero, factor)?
        }
    };
    let product = b.binary(Binary::Mul, g, factor)?;
    Ok(Some(settled(b, at, g, product)?))
}

/// ∂xⁿ/∂n = xⁿ·log x, and 0 where x = 0.
fn power_by_exponent(b: &mut Builder, at: &Use, g: ValueId) -> Result<ValueId, OpError> {
    let (x, z) = (at.node.operands[0], at.node.results[0]);
    let dtype = b.ty(x).dtype;
    let (zero, one) = (b.number(dtype, 0.0), b.number(dtype, 1.0));
    let at_zero = b.binary(Binary::Eq, x, zero)?;
    let base = b.select(at_zero, one, x)?;
    let log = b.unary(Unary::Log, base)?;
    let factor = b.binary(Binary::Mul, z, log)?;
    let factor = b.select(at_zero, zero, factor)?;
    b.binary(Binary::Mul, g, factor)
}

pub(super) fn select(b: &mut Builder, at: &Use, g: ValueId) -> Result<Cotangents, OpError> {
    let [condition, x, y] = [0, 1, 2].map(|slot| at.node.operands[slot]);
    let zero = b.number(b.ty(g).dtype, 0.0);
    let mut cotangents = vec![None; 3];
    if at.wanted[1] {
        let chosen = b.select(condition, g, zero)?;
        cotangents[1] = Some(like(b, chosen, x)?);
    }
    if at.wanted[2] {
        let chosen = b.select(condition, zero, g)?;
        cotangents[2] = Some(like(b, chosen, y)?);
    }
    Ok(cotangents)
}

pub(super) fn cast(b: &mut Builder, at: &Use, g: ValueId) -> Result<Cotangents, OpError> {
    let dtype = b.ty(at.node.operands[0]).dtype;
    if !dtype.is_real() || !b.ty(g).dtype.is_real() {
        return Ok(vec![None]);
    }
    Ok(vec![Some(b.cast(g, dtype)?)])
}

/// `x` times a number.
pub(super) fn scaled(b: &mut Builder, x: ValueId, number: f64) -> Result<ValueId, OpError> {
    let number = b.number(b.ty(x).dtype, number);
    b.binary(Binary::Mul, x, number)
}

/// `product`, a multiple of `g`, with 0 where `g` is 0 and the other factor is not finite.
/// See note [Zero cotangents].
fn settled(b: &mut Builder, at: &Use, g: ValueId, product: ValueId) -> Result<ValueId, OpError> {
    if !at.masked {
        return Ok(product);
    }
    let zero = b.number(b.ty(g).dtype, 0.0);
    let still = b.binary(Binary::Eq, g, zero)?;
    let undefined = b.binary(Binary::Ne, product, product)?;
    let settles = b.binary(Binary::And, still, undefined)?;
    b.select(settles, zero, product)
}

/// The number a value was written as.
fn literal(b: &Builder, value: ValueId) -> Option<f64> {
    match b.region().defining_node(value)?.op {
        Op::Const(Literal::Real(_, number)) => Some(number),
        _ => None,
    }
}
