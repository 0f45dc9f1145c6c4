//! How tensors of a file become inputs, parameters and states, and how results become
//! what the file has.

use std::collections::BTreeMap;

use girih_dsl::blocks::{Arrangement, LayoutProblem, Named, Source, arrange, factors};
use girih_dsl::model::Static;
use girih_graph::{AxisId, AxisTable, DType, Extent};
use girih_runtime::tensor::{Tensor, TensorError};

use super::{Tensors, refused};
use crate::failure::Failure;

/// The axes of one thing, as a file without a layout has them.
pub(super) struct Shape<'a> {
    pub(super) table: &'a AxisTable,
    /// Axes that the declaration does not mention; they come first.
    pub(super) lifted: &'a [AxisId],
    /// The declared axes, grouped as declared.
    pub(super) groups: &'a [Vec<AxisId>],
    /// Sizes that are known already.
    pub(super) sizes: &'a BTreeMap<String, i64>,
}

/// The tensor that a line names; stacked if it names several. `None` for a value that
/// stands in the model file.
pub(super) fn tensor_of(named: &Named, tensors: &Tensors<'_>) -> Result<Option<Tensor>, Failure> {
    Ok(match &named.source {
        Source::Tensor(name) => Some(tensors.get(name)?),
        Source::Stack(names) => {
            let mut parts = Vec::new();
            for name in names {
                let tensor = tensors.get(name)?;
                let mut shape = vec![1];
                shape.extend_from_slice(tensor.shape());
                parts.push(
                    tensor
                        .reshape(shape)
                        .map_err(|error| about(named, &error))?,
                );
            }
            let parts: Vec<&Tensor> = parts.iter().collect();
            Some(Tensor::concat(&parts, 0).map_err(|error| about(named, &error))?)
        }
        Source::Value(_) => None,
    })
}

pub(super) fn about(named: &Named, error: &impl std::fmt::Display) -> Failure {
    let names = named.source.names();
    match names {
        [] => refused(format!("`{}`: {error}", named.path)),
        names => refused(format!(
            "`{}`, which is `{}`: {error}",
            names.join("`, `"),
            named.path
        )),
    }
}

/// How a file's tensor holds these axes.
pub(super) fn arrangement_of(
    named: &Named,
    shape: &Shape<'_>,
    found: &[usize],
) -> Result<Arrangement, LayoutProblem> {
    let size = |extent: &Extent| {
        let value = extent
            .evaluate(&|name| shape.sizes.get(name).copied())
            .ok()?;
        usize::try_from(value).ok()
    };
    let lifted: Vec<Vec<AxisId>> = shape.lifted.iter().map(|axis| vec![*axis]).collect();
    let mut declared = factors(shape.table, &lifted, None, &size)?;
    let own = factors(shape.table, shape.groups, Some(&named.written), &size)?;
    let counts: Vec<(usize, usize)> = own
        .iter()
        .map(Vec::len)
        .zip(shape.groups.iter().map(Vec::len))
        .collect();
    declared.extend(own);
    let mut arrangement = arrange(&declared, named.layout.as_deref(), found, None)?;
    // Names after the path may split an axis of the graph; it is whole again in the end.
    let sizes = arrangement.declared();
    let mut next = sizes.iter().copied();
    let mut whole: Vec<usize> = next.by_ref().take(lifted.len()).collect();
    for (split, axes) in counts {
        let part: Vec<usize> = next.by_ref().take(split).collect();
        match axes {
            axes if axes == split => whole.extend(part),
            1 => whole.push(part.iter().product()),
            _ => return Err(LayoutProblem::Form),
        }
    }
    arrangement.shape = whole;
    Ok(arrangement)
}

/// A value of the model file as a tensor of this dtype: a number, or nested lists.
pub(super) fn tensor_of_value(value: &Static, dtype: DType) -> Result<Tensor, String> {
    let mut shape = Vec::new();
    let mut level = value;
    while let Static::List(parts) = level {
        shape.push(parts.len());
        match parts.first() {
            Some(first) => level = first,
            None => break,
        }
    }
    let mut numbers = Vec::new();
    collect(value, &shape, &mut numbers)?;
    let tensor = Tensor::new(shape, numbers).map_err(|error| error.to_string())?;
    Ok(tensor.to_dtype(dtype))
}

fn collect(value: &Static, shape: &[usize], numbers: &mut Vec<f64>) -> Result<(), String> {
    match (value, shape) {
        (Static::List(parts), [count, rest @ ..]) if parts.len() == *count => parts
            .iter()
            .try_for_each(|part| collect(part, rest, numbers)),
        (Static::List(_), _) => Err("lists of unequal lengths are no tensor".to_owned()),
        (_, [_, ..]) => Err("lists and numbers do not mix".to_owned()),
        (Static::Int(number), []) => {
            numbers.push(*number as f64);
            Ok(())
        }
        (Static::Real(number), []) => {
            numbers.push(*number);
            Ok(())
        }
        (Static::Bool(truth), []) => {
            numbers.push(f64::from(u8::from(*truth)));
            Ok(())
        }
        _ => Err("a number or a list of numbers is needed".to_owned()),
    }
}

/// One number at every position.
pub(super) fn spread(tensor: &Tensor, shape: &[usize]) -> Result<Tensor, TensorError> {
    let count = shape
        .iter()
        .try_fold(1usize, |all, &extent| all.checked_mul(extent));
    let too_large = || TensorError::TooLarge {
        dtype: tensor.dtype(),
        shape: shape.to_vec(),
    };
    // More than a golden file can sensibly have.
    let count = count
        .filter(|count| *count <= 1 << 28)
        .ok_or_else(too_large)?;
    let bytes = tensor.bytes().repeat(count);
    Tensor::from_bytes(tensor.dtype(), shape, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_model_file_become_tensors() {
        let list =
            |parts: &[i64]| Static::List(parts.iter().map(|part| Static::Int(*part)).collect());
        let matrix = Static::List(vec![list(&[1, 2]), list(&[3, 4])]);
        let tensor = tensor_of_value(&matrix, DType::I64).unwrap();
        assert_eq!(
            (tensor.shape(), tensor.to_i64_vec()),
            ([2, 2].as_slice(), vec![1, 2, 3, 4])
        );
        let number = tensor_of_value(&Static::Real(0.5), DType::F32).unwrap();
        assert_eq!(spread(&number, &[2, 1]).unwrap().to_f64_vec(), [0.5, 0.5]);
        for broken in [
            Static::List(vec![list(&[1]), list(&[1, 2])]),
            Static::List(vec![list(&[1]), Static::Int(1)]),
            Static::Text("x".to_owned()),
        ] {
            assert!(tensor_of_value(&broken, DType::F32).is_err(), "{broken:?}");
        }
        assert!(spread(&number, &[usize::MAX, 2]).is_err());
    }
}
