//! Rules about elementwise primitives whose value is one of their operands, or the
//! same everywhere.

use girih_graph::op::{Binary, Literal, Op, Unary};
use girih_graph::{DType, Term, ValueId};

use super::site::{Site, node};

// cast(x: d, d) == x
pub(super) fn cast_to_itself(site: &Site<'_>) -> Option<Term> {
    match (&site.node.op, site.operands()?) {
        (Op::Cast(dtype), [x]) if *dtype == site.dtype(x) => Some(Term::Value(x)),
        _ => None,
    }
}

// cast(cast(x: a, b), c) == cast(x, c) where b holds every value of a,
// and c is a, or all are real, or c holds every value of b
pub(super) fn cast_of_exact_cast(site: &Site<'_>) -> Option<Term> {
    let (Op::Cast(last), [middle]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let (Op::Cast(through), [x]) = site.read(middle)? else {
        return None;
    };
    let first = site.dtype(*x);
    let real = first.is_real() && through.is_real() && last.is_real();
    let safe = *last == first || real || is_exact(*through, *last);
    (is_exact(first, *through) && safe).then(|| node(Op::Cast(*last), &[*x]))
}

/// Whether `to` holds every value of `from`.
const fn is_exact(from: DType, to: DType) -> bool {
    match from {
        DType::Bool => true,
        DType::I8 | DType::U8 => match to {
            DType::I64 | DType::I32 | DType::F64 | DType::F32 | DType::F16 | DType::BF16 => true,
            // 8 significant bits are enough for either; the integers are not one another's.
            DType::I8 => matches!(from, DType::I8),
            DType::U8 => matches!(from, DType::U8),
            DType::Bool => false,
        },
        DType::I32 => matches!(to, DType::I32 | DType::I64 | DType::F64),
        DType::I64 => matches!(to, DType::I64),
        DType::F16 => matches!(to, DType::F16 | DType::F32 | DType::F64),
        DType::BF16 => matches!(to, DType::BF16 | DType::F32 | DType::F64),
        DType::F32 => matches!(to, DType::F32 | DType::F64),
        DType::F64 => matches!(to, DType::F64),
    }
}

// select(true, x, y) == x; select(false, x, y) == y
pub(super) fn select_on_constant(site: &Site<'_>) -> Option<Term> {
    let (Op::Select, [condition, x, y]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    match site.literal(condition)? {
        Literal::Bool(truth) => Some(Term::Value(if truth { x } else { y })),
        Literal::Real(..) | Literal::Int(..) => None,
    }
}

// select(c, x, x) == x
pub(super) fn select_of_equals(site: &Site<'_>) -> Option<Term> {
    match (&site.node.op, site.operands()?) {
        (Op::Select, [_, x, y]) if x == y => Some(Term::Value(x)),
        _ => None,
    }
}

// select(not c, x, y) == select(c, y, x)
pub(super) fn select_on_not(site: &Site<'_>) -> Option<Term> {
    let (Op::Select, [condition, x, y]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    match site.read(condition)? {
        (Op::Unary(Unary::Not), [plain]) => Some(node(Op::Select, &[*plain, y, x])),
        _ => None,
    }
}

/// The operand of the node's operand, if these are the two ops.
fn twice(site: &Site<'_>, outer: Unary, inner: Unary) -> Option<ValueId> {
    let (Op::Unary(own), [middle]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    match site.read(middle)? {
        (Op::Unary(other), [x]) if *own == outer && *other == inner => Some(*x),
        _ => None,
    }
}

// -(-x) == x
pub(super) fn neg_of_neg(site: &Site<'_>) -> Option<Term> {
    twice(site, Unary::Neg, Unary::Neg).map(Term::Value)
}

// not (not x) == x
pub(super) fn not_of_not(site: &Site<'_>) -> Option<Term> {
    twice(site, Unary::Not, Unary::Not).map(Term::Value)
}

// |-x| == |x|, ||x|| == |x|
pub(super) fn abs_of_sign(site: &Site<'_>) -> Option<Term> {
    let signs = [Unary::Neg, Unary::Abs];
    let x = signs
        .iter()
        .find_map(|inner| twice(site, Unary::Abs, *inner))?;
    Some(node(Op::Unary(Unary::Abs), &[x]))
}

// x·1 == x/1 == x^1 == x - 0 == x + (-0) == x; x // 1 == x, x + 0 == x << 0 == x | 0 == x ^ 0 == x for integers;
// x & true == x | false == x ^ false == x
pub(super) fn binary_with_neutral(site: &Site<'_>) -> Option<Term> {
    let (Op::Binary(op), [x, y]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let right = site.literal(y).is_some_and(|y| is_neutral(*op, y, true));
    let left = site.literal(x).is_some_and(|x| is_neutral(*op, x, false));
    match (right, left) {
        (true, _) => Some(Term::Value(x)),
        (false, true) => Some(Term::Value(y)),
        (false, false) => None,
    }
}

/// Whether `op` gives its other operand, for every one, when this is the right or left one.
fn is_neutral(op: Binary, literal: Literal, right: bool) -> bool {
    let is = |real: f64, integer: i64| match literal {
        Literal::Real(_, number) => number.to_bits() == real.to_bits(),
        Literal::Int(_, number) => number == integer,
        Literal::Bool(_) => false,
    };
    let integer = |wanted: i64| matches!(literal, Literal::Int(_, number) if number == wanted);
    let truth = |wanted: bool| matches!(literal, Literal::Bool(own) if own == wanted);
    match op {
        Binary::Mul => is(1.0, 1),
        Binary::Add => is(-0.0, 0),
        Binary::Sub => right && is(0.0, 0),
        Binary::Div | Binary::Pow => right && is(1.0, 1),
        Binary::FloorDiv => right && integer(1),
        Binary::Shl | Binary::Shr => right && integer(0),
        Binary::And => truth(true) || integer(-1),
        Binary::Or | Binary::Xor => truth(false) || integer(0),
        Binary::Rem
        | Binary::Max
        | Binary::Min
        | Binary::Eq
        | Binary::Ne
        | Binary::Lt
        | Binary::Le
        | Binary::Gt
        | Binary::Ge => false,
    }
}

// max(x, x) == min(x, x) == x & x == x | x == x
pub(super) fn binary_of_equals(site: &Site<'_>) -> Option<Term> {
    let (Op::Binary(op), [x, y]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let idempotent = matches!(op, Binary::Max | Binary::Min | Binary::And | Binary::Or);
    (x == y && idempotent).then_some(Term::Value(x))
}

// x·0 == 0·x == x & 0 == 0 & x == x rem 1 == 0 for integers; x & false == false; x | true == true
pub(super) fn integer_times_zero(site: &Site<'_>) -> Option<Term> {
    let (Op::Binary(op), [x, y]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let absorbs = |literal: &Literal, right: bool| match (op, literal) {
        (Binary::Mul | Binary::And, Literal::Int(_, number)) => *number == 0,
        (Binary::Rem, Literal::Int(_, number)) => right && *number == 1,
        (Binary::And, Literal::Bool(truth)) => !truth,
        (Binary::Or, Literal::Bool(truth)) => *truth,
        _ => false,
    };
    let right = site.literal(y).filter(|y| absorbs(y, true));
    let found = right.or_else(|| site.literal(x).filter(|x| absorbs(x, false)))?;
    Some(site.filled(match (op, found) {
        (Binary::Rem, found) => Literal::Int(found.dtype(), 0),
        (_, found) => found,
    }))
}

// x - x == x ^ x == 0, x == x, x <= x, x >= x, not x != x, not x < x, not x > x for what is not real
pub(super) fn integer_with_itself(site: &Site<'_>) -> Option<Term> {
    let (Op::Binary(op), [x, y]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let dtype = site.dtype(x);
    if x != y || dtype.is_real() {
        return None;
    }
    let zero = match dtype {
        DType::Bool => Literal::Bool(false),
        _ => Literal::Int(dtype, 0),
    };
    let literal = match op {
        Binary::Sub | Binary::Xor => zero,
        Binary::Eq | Binary::Le | Binary::Ge => Literal::Bool(true),
        Binary::Ne | Binary::Lt | Binary::Gt => Literal::Bool(false),
        Binary::Add
        | Binary::Mul
        | Binary::Div
        | Binary::FloorDiv
        | Binary::Rem
        | Binary::Pow
        | Binary::Max
        | Binary::Min
        | Binary::And
        | Binary::Or
        | Binary::Shl
        | Binary::Shr => return None,
    };
    Some(site.filled(literal))
}
