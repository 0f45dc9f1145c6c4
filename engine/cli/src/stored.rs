//! Parameters in the storage that the model file asks for: `stored int4 group 64`.
//!
//! Whatever gives the numbers, they are rounded when they are loaded, and every backend computes with the rounded ones.
//! What a file has in blocks stays as it is.

use girih_dsl::model::{Model, ParamInfo};
use girih_graph::DType;
use girih_runtime::backend::{BoxError, ParamData, ParamSource};
use girih_runtime::tensor::{Tensor, element_count};
use girih_runtime::weights::{Blocks, Rounding};

/// Neighbors that share a scale unless the model file says otherwise.
const GROUP: i64 = 32;

/// Gives a model's parameters as they are to be stored.
pub(crate) struct StoredParams<'a> {
    model: &'a Model,
    numbers: &'a mut dyn ParamSource,
}

impl<'a> StoredParams<'a> {
    /// Those of `model`, whose numbers another source gives.
    pub(crate) fn new(model: &'a Model, numbers: &'a mut dyn ParamSource) -> Self {
        Self { model, numbers }
    }
}

impl ParamSource for StoredParams<'_> {
    fn param(&mut self, path: &str) -> Result<ParamData, BoxError> {
        let data = self.numbers.param(path)?;
        let info = self.model.params.iter().find(|info| info.path == path);
        match (data, info) {
            (ParamData::Tensor(tensor), Some(info)) => stored(tensor, info),
            (data, _) => Ok(data),
        }
    }
}

fn stored(tensor: Tensor, info: &ParamInfo) -> Result<ParamData, BoxError> {
    let Some((kind, group)) = &info.storage else {
        return Ok(ParamData::Tensor(tensor));
    };
    if !tensor.dtype().is_real() {
        return Ok(ParamData::Tensor(tensor));
    }
    let rounding = match kind.as_str() {
        "int8" => Rounding::Int8,
        "int4" => Rounding::Int4,
        "bit" => Rounding::Bit,
        // Numbers of their own; they are widened where the graph wants them wider.
        "f16" => return Ok(ParamData::Tensor(tensor.to_dtype(DType::F16))),
        "bf16" => return Ok(ParamData::Tensor(tensor.to_dtype(DType::BF16))),
        _ => return Ok(ParamData::Tensor(tensor)),
    };
    // A row is the last axis that is stored, which may be several of the tensor.
    let axes = info.stored.last().map_or(0, Vec::len).min(tensor.rank());
    let row = element_count(&tensor.shape()[tensor.rank() - axes..]).unwrap_or(0);
    let group = usize::try_from(group.unwrap_or(GROUP)).unwrap_or(0);
    Ok(ParamData::Blocks(Blocks::rounded(
        &tensor, rounding, row, group,
    )?))
}
