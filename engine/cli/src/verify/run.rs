//! How a golden block is run, and how its results meet the reference.

use std::collections::BTreeMap;

use girih_dsl::blocks::Named;
use girih_graph::{AxisId, ValueId};
use girih_runtime::backend::{Bindings, BoxError, Outputs, Params, silent};
use girih_runtime::tensor::Tensor;

use super::block::Block;
use super::compare::{Row, compare};
use super::leaf::{about, tensor_of};
use super::{Case, refused};
use crate::checkpoint::to_declared;
use crate::failure::Failure;

impl Case<'_> {
    /// Parameters from the golden file, else from the checkpoint.
    pub(super) fn load_params(&self, block: &Block) -> Result<Params, Failure> {
        let wanted = block.graph.params();
        let lines: BTreeMap<&str, &Named> = block
            .lines
            .params
            .iter()
            .map(|named| (named.path.as_str(), named))
            .collect();
        let missing: Vec<&str> = (wanted.keys().copied())
            .filter(|path| !lines.contains_key(path) && block.plan.is_none())
            .collect();
        if !missing.is_empty() {
            return Err(refused(format!(
                "golden block `{}` gives no tensor for the parameters `{}`; write `param path = \"tensor\"`",
                block.golden.name,
                missing.join("`, `")
            )));
        }
        let mut source = |path: &str| -> Result<Tensor, BoxError> {
            if let (Some(named), Some(value)) = (lines.get(path), wanted.get(path)) {
                let tensor = tensor_of(named, &self.tensors)?;
                let tensor =
                    tensor.ok_or_else(|| format!("the parameter `{path}` has no tensor"))?;
                return Ok(block.leaf(named, *value, &tensor)?);
            }
            let loads = block.plan.iter().flat_map(|plan| &plan.loads);
            let step = loads.into_iter().find(|step| step.param == path);
            match (self.checkpoint, step) {
                (Some(checkpoint), Some(step)) => Ok(checkpoint.parameter(step)?),
                _ => Err(format!("the parameter `{path}` has no tensor").into()),
            }
        };
        block
            .executable
            .load(&mut source, &mut silent)
            .map_err(refused)
    }

    /// Inputs, states and cotangents of one run.
    pub(super) fn bindings(&self, block: &Block) -> Result<Bindings, Failure> {
        let mut bindings = Bindings::new();
        bindings.params = block.params.clone();
        for (name, size) in &block.golden.sizes {
            bindings = bindings.symbol(name, *size);
        }
        let mut sizes = block.golden.sizes.clone();
        let mut later: Vec<(&Named, ValueId)> = Vec::new();
        let inputs = block.graph.inputs();
        for named in &block.lines.inputs {
            let Some(value) = inputs.get(named.path.as_str()) else {
                // Nothing that is compared depends on it.
                continue;
            };
            match tensor_of(named, &self.tensors)? {
                Some(tensor) => {
                    let tensor = block.leaf(named, *value, &tensor)?;
                    for (axis, &extent) in
                        block.graph.root.ty(*value).axes.iter().zip(tensor.shape())
                    {
                        if let (Some(symbol), Ok(extent)) = (
                            block.graph.axes.extent(*axis).as_symbol(),
                            i64::try_from(extent),
                        ) {
                            sizes.entry(symbol.to_owned()).or_insert(extent);
                        }
                    }
                    bindings = bindings.input(&named.path, tensor);
                }
                None => later.push((named, *value)),
            }
        }
        for (named, value) in later {
            let tensor = block.written(named, value, &sizes)?;
            bindings = bindings.input(&named.path, tensor);
        }
        let states = block.graph.states();
        for named in &block.lines.states {
            if let (Some(value), Some(tensor)) = (
                states.get(named.path.as_str()),
                tensor_of(named, &self.tensors)?,
            ) {
                bindings = bindings.state(&named.path, block.leaf(named, *value, &tensor)?);
            }
        }
        for named in &block.lines.cotangents {
            let name = format!("cotangent.{}", named.path);
            let Some(value) = block
                .graph
                .result(&named.path)
                .filter(|_| inputs.contains_key(name.as_str()))
            else {
                continue;
            };
            if let Some(tensor) = tensor_of(named, &self.tensors)? {
                bindings = bindings.input(&name, block.leaf(named, value, &tensor)?);
            }
        }
        Ok(bindings)
    }

    /// Runs a block with the file's tensors.
    pub(super) fn outputs(&self, block: &Block) -> Result<Outputs, Failure> {
        let bindings = self.bindings(block)?;
        let failed = |error| refused(format!("golden block `{}`: {error}", block.golden.name));
        block.executable.run(&bindings, &mut silent).map_err(failed)
    }

    /// Runs a block and compares all it names.
    pub(super) fn run_block(&self, block: &Block) -> Result<Vec<Row>, Failure> {
        let outputs = self.outputs(block)?;
        let mask = self.mask_of(block)?;
        let mut rows = Vec::new();
        for named in &block.lines.values {
            rows.push(self.compare_line(
                block,
                &outputs,
                named,
                &named.path,
                "value",
                mask.as_ref(),
            )?);
        }
        for named in &block.lines.grads {
            let result = format!("grad.{}", named.path);
            rows.push(self.compare_line(block, &outputs, named, &result, "grad", None)?);
        }
        // A gradient needs the whole.
        if block.lines.grads.is_empty()
            && let Some(model) = self.streaming(block)?
        {
            rows.extend(self.stream_rows(block, &model)?);
        }
        Ok(rows)
    }

    pub(super) fn compare_line(
        &self,
        block: &Block,
        outputs: &Outputs,
        named: &Named,
        result: &str,
        kind: &'static str,
        mask: Option<&Mask>,
    ) -> Result<Row, Failure> {
        let label = named.source.names().join(", ");
        let name = &block.golden.name;
        let Some(reference) = tensor_of(named, &self.tensors)? else {
            return Err(about(named, &"a value is compared with a tensor"));
        };
        let Some(value) = block.graph.result(result) else {
            return Ok(Row::miss(
                name,
                &label,
                kind,
                reference.shape(),
                "the model has no such result",
            ));
        };
        let (arrangement, order) = match block.arrange(named, value, reference.shape()) {
            Ok(found) => found,
            Err(failure) => {
                return Ok(Row::miss(
                    name,
                    &label,
                    kind,
                    reference.shape(),
                    failure.to_string(),
                ));
            }
        };
        let theirs = to_declared(&reference, &arrangement).map_err(|error| about(named, &error))?;
        let ours = outputs.tensor(result).map_err(refused)?;
        let ours = ours
            .permute(&block.positions(value, &order))
            .map_err(|error| about(named, &error))?;
        let bound = self.tolerance.of(&label, kind == "grad");
        let kept = mask.and_then(|mask| mask.kept(block, &order, ours.shape()));
        let mut row = compare((name, &label, kind), &ours, &theirs, bound, kept.as_deref());
        row.shape = reference.shape().to_vec();
        Ok(row)
    }

    pub(super) fn mask_of(&self, block: &Block) -> Result<Option<Mask>, Failure> {
        let Some(name) = self.mask else {
            return Ok(None);
        };
        let is_mask = |named: &&Named| named.source.names().iter().any(|own| own == name);
        let Some(named) = block.lines.inputs.iter().find(is_mask) else {
            return Ok(None);
        };
        let (Some(value), Some(tensor)) = (
            block.graph.inputs().get(named.path.as_str()).copied(),
            tensor_of(named, &self.tensors)?,
        ) else {
            return Ok(None);
        };
        let tensor = block.leaf(named, value, &tensor)?;
        Ok(Some(Mask {
            axes: block.graph.root.ty(value).axes.clone(),
            kept: tensor
                .to_f64_vec()
                .into_iter()
                .map(|value| value != 0.0)
                .collect(),
            shape: tensor.shape().to_vec(),
        }))
    }
}

/// Which positions of some axes count.
pub(super) struct Mask {
    axes: Vec<AxisId>,
    shape: Vec<usize>,
    kept: Vec<bool>,
}

impl Mask {
    /// For each element of a tensor over `order`, whether it counts; `None` where the tensor
    /// does not run over the mask's axes.
    fn kept(&self, block: &Block, order: &[AxisId], shape: &[usize]) -> Option<Vec<bool>> {
        let table = &block.graph.axes;
        let places: Vec<usize> = (self.axes.iter())
            .map(|axis| {
                order
                    .iter()
                    .position(|own| table.root(*own) == table.root(*axis))
            })
            .collect::<Option<_>>()?;
        if places
            .iter()
            .zip(&self.shape)
            .any(|(place, extent)| shape[*place] != *extent)
        {
            return None;
        }
        let count: usize = shape.iter().product();
        let mut index = vec![0usize; shape.len()];
        let mut kept = Vec::with_capacity(count);
        for _ in 0..count {
            let at = places
                .iter()
                .zip(&self.shape)
                .fold(0, |at, (place, extent)| at * extent + index[*place]);
            kept.push(self.kept.get(at).copied().unwrap_or(true));
            for axis in (0..shape.len()).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Some(kept)
    }
}
