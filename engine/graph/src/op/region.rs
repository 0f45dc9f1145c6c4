//! Primitives that hold regions: `recurrence` and `route`.

use super::{OpError, Recurrence, Route, has, same_extent, wants};
use crate::axis::{AxisTable, ValueType};
use crate::dtype::DType;
use crate::extent::Extent;
use crate::graph::Region;

fn broken(op: &'static str, reason: String) -> OpError {
    OpError::Rule { op, reason }
}

pub(super) fn takes(
    op: &'static str,
    table: &AxisTable,
    region: &Region,
    wanted: &[ValueType],
) -> Result<(), OpError> {
    let found: Vec<&ValueType> = region.params().iter().map(|p| region.ty(*p)).collect();
    if found.len() != wanted.len() {
        return Err(OpError::Operands {
            op,
            wanted: found.len(),
            found: wanted.len(),
        });
    }
    for (found, wanted) in found.into_iter().zip(wanted) {
        if found != wanted {
            let (found, wanted) = (table.show(found), table.show(wanted));
            return Err(broken(
                op,
                format!("the region takes `{found}` where `{wanted}` is given"),
            ));
        }
    }
    Ok(())
}

pub(super) fn recurrence(
    table: &AxisTable,
    recurrence: &Recurrence,
    operands: &[&ValueType],
) -> Result<Vec<ValueType>, OpError> {
    const OP: &str = "recurrence";
    let Recurrence {
        axis,
        carried,
        sequences,
        body,
        ..
    } = recurrence;
    if operands.len() < carried + sequences {
        return Err(OpError::Operands {
            op: OP,
            wanted: carried + sequences,
            found: operands.len(),
        });
    }
    let mut given = Vec::with_capacity(operands.len());
    for (position, operand) in operands.iter().enumerate() {
        if (*carried..carried + sequences).contains(&position) {
            has(OP, table, operand, *axis)?;
            given.push(ValueType::new(operand.dtype, operand.without(&[*axis])));
        } else {
            if operand.has(*axis) && position < *carried {
                return Err(OpError::Twice {
                    op: OP,
                    axis: table.name(*axis).to_owned(),
                });
            }
            given.push((*operand).clone());
        }
    }
    takes(OP, table, body, &given)?;
    if body.results().len() < *carried {
        return Err(broken(OP, "a carried value has no next value".to_owned()));
    }
    let mut results = Vec::new();
    for (position, result) in body.results().iter().enumerate() {
        let ty = body.ty(*result);
        if let Some(start) = operands.get(position).filter(|_| position < *carried) {
            if !ty.is_permuted(start) {
                let (next, start) = (table.show(ty), table.show(start));
                return Err(broken(
                    OP,
                    format!("a carried value starts as `{start}` and continues as `{next}`"),
                ));
            }
            results.push((*start).clone());
        } else {
            let mut axes = vec![*axis];
            axes.extend_from_slice(&ty.axes);
            super::distinct(OP, table, &axes)?;
            results.push(ValueType::new(ty.dtype, axes));
        }
    }
    Ok(results)
}

pub(super) fn route(
    table: &AxisTable,
    route: &Route,
    operands: &[&ValueType],
) -> Result<ValueType, OpError> {
    const OP: &str = "route";
    let [weights, kept, inputs @ ..] = operands else {
        return Err(OpError::Operands {
            op: OP,
            wanted: 2,
            found: operands.len(),
        });
    };
    wants(OP, "real", weights.dtype.is_real(), weights.dtype)?;
    wants(OP, "bool", kept.dtype == DType::Bool, kept.dtype)?;
    has(OP, table, weights, route.branch)?;
    has(OP, table, kept, route.branch)?;
    let count = Extent::constant(route.branches.len() as i64);
    same_extent(OP, &count, table.extent(route.branch))?;
    if route.reads.len() != route.branches.len() {
        return Err(broken(OP, "not every branch says what it reads".to_owned()));
    }
    let mut result: Option<&ValueType> = None;
    for (branch, reads) in route.parts() {
        let mut given = Vec::with_capacity(reads.len());
        for input in reads {
            let ty = inputs.get(*input).ok_or_else(|| OpError::Operands {
                op: OP,
                wanted: input + 3,
                found: operands.len(),
            })?;
            given.push((*ty).clone());
        }
        takes(OP, table, branch, &given)?;
        let [value] = branch.results() else {
            return Err(broken(OP, "a branch has not exactly one result".to_owned()));
        };
        let ty = branch.ty(*value);
        if ty.dtype != weights.dtype {
            return Err(OpError::Mixed {
                op: OP,
                left: weights.dtype,
                right: ty.dtype,
            });
        }
        if result.is_some_and(|first| !first.is_permuted(ty)) {
            return Err(broken(OP, "branches have unlike results".to_owned()));
        }
        result.get_or_insert(ty);
    }
    let Some(result) = result else {
        return Err(broken(OP, "there is no branch".to_owned()));
    };
    let others: [&[_]; 3] = [
        &result.axes,
        &weights.without(&[route.branch]),
        &kept.without(&[route.branch]),
    ];
    Ok(ValueType::new(result.dtype, crate::axis::align(&others)))
}
