//! Rules that compute with constants and sizes.
//!
//! Only what is exact on every backend is computed here: integers that do not
//! overflow, truth values, signs, and casts that lose nothing. Real arithmetic is
//! left to the backend, which rounds in its own dtype.

use girih_graph::op::{Binary, Literal, Op, Unary};
use girih_graph::{DType, Extent, Term, ValueId};

use super::site::Site;

// size(4) == 4
pub(super) fn size_is_constant(site: &Site<'_>) -> Option<Term> {
    match &site.node.op {
        Op::Size(extent) => {
            let literal = Literal::Int(DType::I64, extent.as_constant()?);
            Some(Term::Node(Op::Const(literal), Vec::new()))
        }
        _ => None,
    }
}

// size(a) + size(b) == size(a + b), and so for - and ·; // and rem by constants above 0
// (not for max and min: an extent decides them for sizes of at least 1, and a size may be 0)
pub(super) fn arithmetic_of_sizes(site: &Site<'_>) -> Option<Term> {
    let (Op::Binary(op), [x, y]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let size = |value: ValueId| match site.read(value)? {
        (Op::Size(extent), _) => Some(extent.clone()),
        (Op::Const(Literal::Int(DType::I64, number)), _) => Some(Extent::from(*number)),
        _ => None,
    };
    let (x, y) = (size(x)?, size(y)?);
    let divides = || y.as_constant().is_some_and(|number| number > 0);
    let result = match op {
        Binary::Add => x.plus(&y),
        Binary::Sub => x.minus(&y),
        Binary::Mul => x.times(&y),
        Binary::FloorDiv if divides() => x.floor_div(&y),
        Binary::Rem if divides() => x.remainder(&y),
        _ => return None,
    };
    // What cannot be the size of anything is left as it is: it may have saturated.
    let bounded = result
        .as_constant()
        .is_none_or(|n| n.abs() <= Extent::LIMIT);
    bounded.then(|| Term::Node(Op::Size(result), Vec::new()))
}

// index(a) < n == true, index(a) >= n == false, index(a) rem n == index(a), index(a) // n == 0
// where n is at least the extent of a; index(a) >= 0 == true, index(a) == -1 == false, …
pub(super) fn index_within_bounds(site: &Site<'_>) -> Option<Term> {
    let (Op::Binary(op), [x, y]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let (op, index, limit) = match (site.read(x), site.read(y)) {
        (Some((Op::Index(_), _)), _) => (*op, x, y),
        (_, Some((Op::Index(_), _))) => (turned(*op)?, y, x),
        _ => return None,
    };
    let (Op::Index(axis), _) = site.read(index)? else {
        return None;
    };
    let limit = match site.read(limit) {
        Some((Op::Size(extent), _)) => extent.clone(),
        _ => match site.literal(limit)? {
            Literal::Int(_, number) => Extent::from(number),
            Literal::Real(..) | Literal::Bool(_) => return None,
        },
    };
    // Only what holds at every size, 0 included: differences that are numbers.
    let above = limit.minus(site.extent(*axis)).as_constant();
    let number = limit.as_constant();
    let at_least = |room: i64| above.is_some_and(|above| above >= room);
    let at_most = |bound: i64| number.is_some_and(|number| number <= bound);
    let truth = match op {
        Binary::Lt if at_least(0) => true,
        Binary::Lt if at_most(0) => false,
        Binary::Le if at_least(-1) => true,
        Binary::Le if at_most(-1) => false,
        Binary::Ge if at_most(0) => true,
        Binary::Ge if at_least(0) => false,
        Binary::Gt if at_most(-1) => true,
        Binary::Gt if at_least(-1) => false,
        Binary::Eq if at_least(0) || at_most(-1) => false,
        Binary::Ne if at_least(0) || at_most(-1) => true,
        Binary::Rem if x == index && at_least(0) => return Some(Term::Value(index)),
        Binary::FloorDiv if x == index && at_least(0) => {
            return Some(site.filled(Literal::Int(DType::I64, 0)));
        }
        _ => return None,
    };
    Some(site.filled(Literal::Bool(truth)))
}

/// The comparison with its sides exchanged.
const fn turned(op: Binary) -> Option<Binary> {
    Some(match op {
        Binary::Lt => Binary::Gt,
        Binary::Le => Binary::Ge,
        Binary::Gt => Binary::Lt,
        Binary::Ge => Binary::Le,
        Binary::Eq | Binary::Ne => op,
        _ => return None,
    })
}

// cast(3: a, b) == 3 where b holds 3
pub(super) fn fold_cast(site: &Site<'_>) -> Option<Term> {
    let (Op::Cast(to), [x]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let literal = match (site.literal(x)?, *to) {
        (Literal::Int(_, number), DType::Bool) => Literal::Bool(number != 0),
        (Literal::Int(_, number), to) if to.is_integer() => Literal::Int(to, number),
        (Literal::Int(_, number), to) => exact_real(number, to)?,
        (Literal::Bool(truth), DType::Bool) => Literal::Bool(truth),
        (Literal::Bool(truth), to) if to.is_integer() => Literal::Int(to, truth.into()),
        (Literal::Bool(truth), to) => Literal::Real(to, truth.into()),
        // Every smaller real dtype is a part of `f32`, and its constants are rounded to it first.
        (Literal::Real(DType::F32, number), DType::F64) => {
            Literal::Real(DType::F64, f64::from(number as f32))
        }
        (Literal::Real(DType::F64, number), DType::F32) => Literal::Real(DType::F32, number),
        (Literal::Real(..), _) => return None,
    };
    literal.fits().then(|| site.filled(literal))
}

/// An integer that `dtype` holds exactly.
fn exact_real(number: i64, dtype: DType) -> Option<Literal> {
    let significant_bits = match dtype {
        DType::F64 => 53,
        DType::F32 => 24,
        DType::F16 => 11,
        DType::BF16 => 8,
        DType::I64 | DType::I32 | DType::I8 | DType::U8 | DType::Bool => return None,
    };
    let exact = number.unsigned_abs() <= 1 << significant_bits;
    exact.then_some(Literal::Real(dtype, number as f64))
}

// f(3) is computed
pub(super) fn fold_unary(site: &Site<'_>) -> Option<Term> {
    let (Op::Unary(op), [x]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let literal = match (op, site.literal(x)?) {
        (Unary::Neg, Literal::Int(dtype, number)) => Literal::Int(dtype, number.checked_neg()?),
        (Unary::Neg, Literal::Real(dtype, number)) => Literal::Real(dtype, -number),
        (Unary::Abs, Literal::Int(dtype, number)) => Literal::Int(dtype, number.checked_abs()?),
        (Unary::Abs, Literal::Real(dtype, number)) => Literal::Real(dtype, number.abs()),
        (Unary::Sign, Literal::Int(dtype, number)) => Literal::Int(dtype, number.signum()),
        (Unary::Not, Literal::Bool(truth)) => Literal::Bool(!truth),
        _ => return None,
    };
    literal.fits().then(|| site.filled(literal))
}

// f(3, 4) is computed
pub(super) fn fold_binary(site: &Site<'_>) -> Option<Term> {
    let (Op::Binary(op), [x, y]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let literal = match (site.literal(x)?, site.literal(y)?) {
        (Literal::Bool(x), Literal::Bool(y)) => Literal::Bool(match op {
            Binary::And => x & y,
            Binary::Or => x | y,
            Binary::Xor | Binary::Ne => x != y,
            Binary::Eq => x == y,
            _ => return None,
        }),
        (Literal::Int(dtype, x), Literal::Int(_, y)) => fold_integers(*op, dtype, x, y)?,
        _ => return None,
    };
    literal.fits().then(|| site.filled(literal))
}

/// An operation on two integers, or a comparison of them; `None` where the result is no number, or not known here.
pub fn fold_integers(op: Binary, dtype: DType, x: i64, y: i64) -> Option<Literal> {
    let number = |number: Option<i64>| number.map(|number| Literal::Int(dtype, number));
    let truth = |truth: bool| Some(Literal::Bool(truth));
    match op {
        Binary::Add => number(x.checked_add(y)),
        Binary::Sub => number(x.checked_sub(y)),
        Binary::Mul => number(x.checked_mul(y)),
        Binary::FloorDiv if y > 0 => number(x.checked_sub(x.rem_euclid(y)).map(|exact| exact / y)),
        Binary::Rem if y > 0 => number(Some(x.rem_euclid(y))),
        Binary::Max => number(Some(x.max(y))),
        Binary::Min => number(Some(x.min(y))),
        Binary::And => number(Some(x & y)),
        Binary::Or => number(Some(x | y)),
        Binary::Xor => number(Some(x ^ y)),
        Binary::Eq => truth(x == y),
        Binary::Ne => truth(x != y),
        Binary::Lt => truth(x < y),
        Binary::Le => truth(x <= y),
        Binary::Gt => truth(x > y),
        Binary::Ge => truth(x >= y),
        Binary::FloorDiv | Binary::Rem | Binary::Div | Binary::Pow | Binary::Shl | Binary::Shr => {
            None
        }
    }
}
