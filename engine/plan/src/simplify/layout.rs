//! Rules about primitives that move elements.

use girih_graph::op::Op;
use girih_graph::{AxisId, Combine, Extent, Term, ValueId};

use super::site::{Site, node};

/// The value under other axes; itself where nothing changes.
fn renamed(value: ValueId, pairs: Vec<(AxisId, AxisId)>) -> Term {
    if pairs.iter().all(|(old, new)| old == new) {
        Term::Value(value)
    } else {
        node(Op::Rename(pairs), &[value])
    }
}

// rename(x, []) == rename(x, [a: a]) == x
pub(super) fn rename_nothing(site: &Site<'_>) -> Option<Term> {
    let (Op::Rename(pairs), [x]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let real = pairs.iter().filter(|(old, new)| old != new).copied();
    let real: Vec<_> = real.collect();
    (real.len() < pairs.len() || pairs.is_empty()).then(|| renamed(x, real))
}

// rename(rename(x, [a: b]), [b: c]) == rename(x, [a: c])
pub(super) fn rename_of_rename(site: &Site<'_>) -> Option<Term> {
    let (Op::Rename(outer), [middle]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let (Op::Rename(inner), [x]) = site.read(middle)? else {
        return None;
    };
    let after = |pairs: &[(AxisId, AxisId)], axis: AxisId| {
        let pair = pairs.iter().find(|(old, _)| *old == axis);
        pair.map_or(axis, |(_, new)| *new)
    };
    let axes = site.region.ty(*x).axes.iter().copied();
    let pairs = axes.map(|axis| (axis, after(outer, after(inner, axis))));
    Some(renamed(*x, pairs.filter(|(old, new)| old != new).collect()))
}

// rename(index(a), [a: b]) == index(b)
pub(super) fn rename_of_index(site: &Site<'_>) -> Option<Term> {
    let (Op::Rename(pairs), [x]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    match (site.read(x)?, pairs.as_slice()) {
        ((Op::Index(axis), _), [(old, new)]) if axis == old => Some(node(Op::Index(*new), &[])),
        _ => None,
    }
}

// expand(x, []) == x
pub(super) fn expand_nothing(site: &Site<'_>) -> Option<Term> {
    match (&site.node.op, site.operands()?) {
        (Op::Expand(axes), [x]) if axes.is_empty() => Some(Term::Value(x)),
        _ => None,
    }
}

// expand(expand(x, [a]), [b]) == expand(x, [b, a])
pub(super) fn expand_of_expand(site: &Site<'_>) -> Option<Term> {
    let (Op::Expand(outer), [middle]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let (Op::Expand(inner), [x]) = site.read(middle)? else {
        return None;
    };
    let axes = [outer.as_slice(), inner.as_slice()].concat();
    Some(node(Op::Expand(axes), &[*x]))
}

// f(expand(x, [a]), y[a]) == f(x, y[a])
pub(super) fn elementwise_of_expand(site: &Site<'_>) -> Option<Term> {
    if !matches!(site.node.op, Op::Binary(_) | Op::Select) {
        return None;
    }
    // One operand at a time: whether the result keeps its type decides about each.
    for position in 0..site.node.operands.len() {
        let mut operands = site.node.operands.clone();
        if let Some((Op::Expand(_), [x])) = site.read(operands[position]) {
            operands[position] = *x;
            let term = node(site.node.op.clone(), &operands);
            if site.ty(&term).as_ref() == Some(site.region.ty(site.value)) {
                return Some(term);
            }
        }
    }
    None
}

// split(x, a, [b]) == rename(x, [a: b])
pub(super) fn split_into_one(site: &Site<'_>) -> Option<Term> {
    match (&site.node.op, site.operands()?) {
        (Op::Split(axis, into), [x]) => match into.as_slice() {
            [one] => Some(renamed(x, vec![(*axis, *one)])),
            _ => None,
        },
        _ => None,
    }
}

// merge(x, [a], b) == rename(x, [a: b])
pub(super) fn merge_of_one(site: &Site<'_>) -> Option<Term> {
    match (&site.node.op, site.operands()?) {
        (Op::Merge(from, axis), [x]) => match from.as_slice() {
            [one] => Some(renamed(x, vec![(*one, *axis)])),
            _ => None,
        },
        _ => None,
    }
}

// split(merge(x, [a, b], m), m, [c, d]) == rename(x, [a: c, b: d]) where extents are equal
pub(super) fn split_of_merge(site: &Site<'_>) -> Option<Term> {
    let (Op::Split(split, into), [middle]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let (Op::Merge(from, merged), [x]) = site.read(middle)? else {
        return None;
    };
    let mut pairs = from.iter().zip(into);
    let equal =
        from.len() == into.len() && pairs.all(|(old, new)| site.extent(*old) == site.extent(*new));
    let pairs = from.iter().copied().zip(into.iter().copied()).collect();
    (split == merged && equal).then(|| renamed(*x, pairs))
}

// merge(split(x, a, [b, c]), [b, c], d) == rename(x, [a: d])
pub(super) fn merge_of_split(site: &Site<'_>) -> Option<Term> {
    let (Op::Merge(from, merged), [middle]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let (Op::Split(split, into), [x]) = site.read(middle)? else {
        return None;
    };
    (from == into).then(|| renamed(*x, vec![(*split, *merged)]))
}

/// One axis with stride 1 from position 0, as long as the other.
fn is_everything(
    site: &Site<'_>,
    strided: &[(AxisId, Extent)],
    offset: &Extent,
    axis: AxisId,
) -> Option<AxisId> {
    let [(own, stride)] = strided else {
        return None;
    };
    let whole = site.extent(*own) == site.extent(axis);
    let plain = stride.as_constant() == Some(1) && offset.as_constant() == Some(0);
    (whole && plain).then_some(*own)
}

// window(x, a, [b: 1], 0) == rename(x, [a: b]) where extents are equal
pub(super) fn window_of_everything(site: &Site<'_>) -> Option<Term> {
    let (Op::Window { axis, into, offset }, [x]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let new = is_everything(site, into, offset, *axis)?;
    Some(renamed(x, vec![(*axis, new)]))
}

// fold(x, [b: 1], a, 0) == rename(x, [b: a]) where extents are equal
pub(super) fn fold_of_everything(site: &Site<'_>) -> Option<Term> {
    let (Op::Fold { from, axis, offset }, [x]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    // The sum of nothing and -0 is 0.
    if site.dtype(x).is_real() {
        return None;
    }
    let old = is_everything(site, from, offset, *axis)?;
    Some(renamed(x, vec![(old, *axis)]))
}

// concat(x along a, to b) == rename(x, [a: b])
pub(super) fn concat_of_one(site: &Site<'_>) -> Option<Term> {
    let (Op::Concat(from, axis), [x]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    Some(renamed(x, vec![(*from.first()?, *axis)]))
}

// concat(x, y) == concat(x) where y is empty
pub(super) fn concat_of_nothing(site: &Site<'_>) -> Option<Term> {
    let Op::Concat(from, axis) = &site.node.op else {
        return None;
    };
    let operands = site.node.operands.iter().copied().zip(from.iter().copied());
    let full = |(_, along): &(ValueId, AxisId)| site.extent(*along).as_constant() != Some(0);
    let (values, kept): (Vec<ValueId>, Vec<AxisId>) = operands.filter(full).unzip();
    let fewer = !kept.is_empty() && kept.len() < from.len();
    fewer.then(|| node(Op::Concat(kept, *axis), &values))
}

// gather(x, a, index(b)) == rename(x, [a: b]) where extents are equal
pub(super) fn gather_at_index(site: &Site<'_>) -> Option<Term> {
    let (Op::Gather { axis, .. }, [x, positions]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let (Op::Index(index), _) = site.read(positions)? else {
        return None;
    };
    let whole = site.extent(*axis) == site.extent(*index);
    whole.then(|| renamed(x, vec![(*axis, *index)]))
}

// reduce(x, []) == x, but a real sum of -0 alone is 0
pub(super) fn reduce_over_nothing(site: &Site<'_>) -> Option<Term> {
    let (Op::Reduce(combine, over), [x]) = (&site.node.op, site.operands()?) else {
        return None;
    };
    let sums_reals = *combine == Combine::Sum && site.dtype(x).is_real();
    (over.is_empty() && !sums_reals).then_some(Term::Value(x))
}
