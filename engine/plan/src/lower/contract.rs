//! Which contractions are matrix products, and which are sums of products.
//!
//! A matrix product reads each element many times and belongs to a routine that
//! keeps tiles in cache. A contraction that reads its larger factor once – one
//! factor has no axis of its own – is a sum that fuses with what surrounds it,
//! unless the factor is stored or joined of parts: then a routine that streams it
//! is as good and splits over threads, and attention is recognized.

use girih_graph::axis::align;
use girih_graph::op::{Binary, Combine};
use girih_graph::{AxisId, DType, Extent, NodeId, ValueType};

use super::value::{Form, ValueIx, Values};
use crate::plan::is_narrow;

/// Products of fewer elements are not worth a call.
const SMALL: i64 = 1 << 10;

/// The axes of a matrix product by role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Product {
    pub(super) batch: Vec<AxisId>,
    pub(super) rows: Vec<AxisId>,
    pub(super) columns: Vec<AxisId>,
    pub(super) inner: Vec<AxisId>,
}

/// Adds Σ over `over` of the product of two values. In a matrix product with a parameter, the
/// axes of the other factor come first, whichever was written first: what a parameter gives for one
/// row lies together.
pub(super) fn add(
    values: &mut Values,
    over: &[AxisId],
    written: [ValueIx; 2],
    extent: &dyn Fn(AxisId) -> Extent,
    node: Option<NodeId>,
) -> ValueIx {
    let [mut left, mut right] = written;
    if values.is_stored(left) && !values.is_stored(right) {
        std::mem::swap(&mut left, &mut right);
    }
    let (x, y) = (values.ty(left).clone(), values.ty(right).clone());
    let product = Product {
        batch: pick(&x.axes, |axis| y.has(axis) && !over.contains(&axis)),
        rows: pick(&x.axes, |axis| !y.has(axis)),
        columns: pick(&y.axes, |axis| !x.has(axis)),
        inner: over.to_vec(),
    };
    let mut axes = x.without(over);
    axes.extend_from_slice(&product.columns);
    if !is_matrix_product(values, &product, [left, right], extent) {
        let [first, second] = written.map(|factor| values.ty(factor).axes.clone());
        let ty = ValueType::new(x.dtype, align(&[&first, &second]));
        let terms = values.push(ty, Form::Binary(Binary::Mul), written.to_vec(), node);
        return values.reduce(Combine::Sum, over, terms, node);
    }
    // Narrow reals are multiplied exactly and summed in f32.
    let narrow = is_narrow(x.dtype);
    let dtype = if narrow { DType::F32 } else { x.dtype };
    let mut widen = |value: ValueIx| {
        if narrow {
            let ty = values.ty(value).with_dtype(dtype);
            values.push(ty, Form::Cast, vec![value], node)
        } else {
            value
        }
    };
    let operands = vec![widen(left), widen(right)];
    let ty = ValueType::new(dtype, axes);
    let wide = values.push(ty.clone(), Form::Contract(product), operands, node);
    if narrow {
        values.push(ty.with_dtype(x.dtype), Form::Cast, vec![wide], node)
    } else {
        wide
    }
}

fn is_matrix_product(
    values: &Values,
    product: &Product,
    factors: [ValueIx; 2],
    extent: &dyn Fn(AxisId) -> Extent,
) -> bool {
    let size = |axes: &[AxisId]| {
        let sizes = axes.iter().map(|axis| extent(*axis));
        sizes.fold(Extent::constant(1), |size, extent| size.times(&extent))
    };
    let one = Extent::constant(1);
    let inner = size(&product.inner);
    let (rows, columns) = (size(&product.rows), size(&product.columns));
    let work = rows.times(&columns).times(&inner);
    if work.as_constant().is_some_and(|work| work < SMALL) || inner == one {
        return false;
    }
    if rows != one && columns != one {
        return true;
    }
    // A vector: a stored matrix is streamed by a routine, one that is computed fuses.
    let matrix = if columns == one {
        factors[0]
    } else {
        factors[1]
    };
    match values.all[values.behind_views(matrix)].form {
        Form::Given(_) => product.batch.is_empty() && (rows != one || columns != one),
        // Joined in memory: the keys and values of one query.
        Form::Concat(..) => rows != one || columns != one,
        _ => false,
    }
}

fn pick(axes: &[AxisId], keep: impl Fn(AxisId) -> bool) -> Vec<AxisId> {
    axes.iter().copied().filter(|axis| keep(*axis)).collect()
}
