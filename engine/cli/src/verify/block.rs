//! What one golden block computes.

use std::collections::{BTreeMap, BTreeSet};

use girih_dsl::ast::GoldenBlock;
use girih_dsl::blocks::{Arrangement, Golden, Lines, Named, Source, WeightPlan, read_golden};
use girih_dsl::diag::Sink;
use girih_dsl::elaborate::elaborate;
use girih_dsl::model::Model;
use girih_graph::{AxisId, DType, Graph, ValueId};
use girih_runtime::backend::{Executable, Outputs, Params};
use girih_runtime::tensor::Tensor;
use girih_transform::{Objective, grad};

use super::leaf::{Shape, about, arrangement_of, spread, tensor_of_value};
use super::{Case, refused};
use crate::checkpoint::{fit, to_declared};
use crate::failure::Failure;

/// A golden block, elaborated and compiled.
pub(super) struct Block {
    pub(super) golden: Golden,
    pub(super) lines: Lines,
    pub(super) model: Model,
    /// With gradients, in the reference's precision.
    pub(super) graph: Graph,
    pub(super) plan: Option<WeightPlan>,
    pub(super) executable: Box<dyn Executable>,
    pub(super) params: Params,
}

/// Makes a block ready to run. `None` after mistakes in the model file, which are in the
/// sink; the inner error says why the block does not apply.
pub(super) fn prepare(
    case: &Case<'_>,
    block: &GoldenBlock,
    sink: &mut Sink,
) -> Result<Option<Result<Block, String>>, Failure> {
    let Some(golden) = read_golden(case.program, block, &case.config, &case.stored, sink) else {
        return Ok(None);
    };
    if let Some(reason) = golden.elsewhere {
        return Ok(Some(Err(reason)));
    }
    let (model, plan) = match case.checkpoint {
        Some(checkpoint) => match fit(case.program, checkpoint, &golden.request, &[], sink) {
            Some(fitted) => (fitted.model, Some(fitted.plan)),
            None => return Ok(None),
        },
        None => match elaborate(case.program, &golden.request, sink) {
            Some(model) => (model, None),
            None => return Ok(None),
        },
    };
    let Some(lines) = golden.lines(&model, &case.stored, sink) else {
        return Ok(None);
    };
    let graph = model.graph.with_real(precision(case, &lines));
    let objective = Objective {
        scalars: lines.objectives.clone(),
        paired: lines
            .cotangents
            .iter()
            .map(|named| named.path.clone())
            .collect(),
    };
    let wanted = gradients(case, &graph, &lines, &objective);
    let graph = if wanted.is_empty() {
        graph
    } else {
        grad(&graph, &objective, &wanted)
            .map_err(|error| refused(format!("golden block `{}`: {error}", golden.name)))?
    };
    let executable = case.backend.compile(&graph).map_err(refused)?;
    let mut block = Block {
        golden,
        lines,
        model,
        graph,
        plan,
        executable,
        params: Params::default(),
    };
    block.params = case.load_params(&block)?;
    Ok(Some(Ok(block)))
}

/// `f64` where any of the reference's tensors is, or where the file says that its source ran in it:
/// what hangs on a sign or a choice may need more digits than the stored numbers have.
fn precision(case: &Case<'_>, lines: &Lines) -> DType {
    let compared = lines
        .inputs
        .iter()
        .chain(&lines.params)
        .chain(&lines.values)
        .chain(&lines.grads);
    let mut names = compared.flat_map(|named| named.source.names());
    let is_wide = |name: &String| {
        case.tensors
            .source
            .entry(name)
            .is_ok_and(|entry| entry.dtype() == DType::F64)
    };
    let source = case.tensors.source.metadata().lookup("source");
    let said = source.and_then(|text| text.as_str()).is_some_and(|text| {
        text.split(|letter: char| !letter.is_alphanumeric())
            .any(|word| word == "f64" || word == "float64")
    });
    if said || names.any(is_wide) {
        DType::F64
    } else {
        DType::F32
    }
}

/// What the objective is differentiated by: what is compared, and for the norms of a kit
/// every parameter.
fn gradients(case: &Case<'_>, graph: &Graph, lines: &Lines, objective: &Objective) -> Vec<String> {
    let mut wanted: Vec<String> = lines.grads.iter().map(|named| named.path.clone()).collect();
    let has_objective = !objective.scalars.is_empty() || !objective.paired.is_empty();
    if case.checkpoint.is_some() && has_objective {
        let real = graph
            .params()
            .into_iter()
            .filter(|(_, value)| graph.root.ty(*value).dtype.is_real());
        wanted.extend(real.map(|(path, _)| path.to_owned()));
    }
    let mut seen = BTreeSet::new();
    wanted.retain(|path| seen.insert(path.clone()));
    wanted
}

impl Block {
    /// Tensors of the file that the block speaks of.
    pub(super) fn claimed(&self) -> BTreeSet<String> {
        let lines = &self.lines;
        let groups = [
            &lines.inputs,
            &lines.params,
            &lines.states,
            &lines.values,
            &lines.cotangents,
            &lines.grads,
        ];
        let named = groups
            .into_iter()
            .flatten()
            .flat_map(|named| named.source.names());
        named.chain(&lines.ignored).cloned().collect()
    }

    /// The axes of a leaf or a result: lifted ones, then the others in groups.
    fn axes(&self, path: &str, value: ValueId) -> (Vec<AxisId>, Vec<Vec<AxisId>>) {
        let axes = &self.graph.root.ty(value).axes;
        if let Some(param) = self.model.params.iter().find(|param| param.path == path) {
            return (Vec::new(), param.stored.clone());
        }
        let singles = |axes: &[AxisId]| axes.iter().map(|axis| vec![*axis]).collect();
        if let Some(input) = self.model.inputs.iter().find(|input| input.name == path) {
            let lifted = self.golden.request.lifted.get(path).map_or(0, Vec::len);
            let (lifted, own) = input.axes.split_at(lifted.min(input.axes.len()));
            let lens = self.golden.groups.get(path);
            let lens = lens.filter(|lens| lens.iter().sum::<usize>() == own.len());
            let groups = match lens {
                Some(lens) => {
                    let mut rest = own;
                    let mut groups = Vec::new();
                    for &len in lens {
                        let (group, after) = rest.split_at(len);
                        groups.push(group.to_vec());
                        rest = after;
                    }
                    groups
                }
                None => singles(own),
            };
            return (lifted.to_vec(), groups);
        }
        // Lifted axes come first in files, wherever they stand in the graph.
        let mut known: Vec<AxisId> = Vec::new();
        for input in &self.model.inputs {
            let count = self
                .golden
                .request
                .lifted
                .get(&input.name)
                .map_or(0, Vec::len);
            known.extend(input.axes.iter().take(count));
        }
        let is_lifted = |axis: &&AxisId| known.contains(axis);
        let mut lifted: Vec<AxisId> = axes.iter().filter(is_lifted).copied().collect();
        lifted.sort_by_key(|axis| known.iter().position(|own| own == axis));
        let own: Vec<AxisId> = axes
            .iter()
            .filter(|axis| !is_lifted(axis))
            .copied()
            .collect();
        (lifted, singles(&own))
    }

    /// How the file has a leaf or a result.
    pub(super) fn arrange(
        &self,
        named: &Named,
        value: ValueId,
        found: &[usize],
    ) -> Result<(Arrangement, Vec<AxisId>), Failure> {
        let (lifted, groups) = self.axes(&named.path, value);
        let shape = Shape {
            table: &self.graph.axes,
            lifted: &lifted,
            groups: &groups,
            sizes: &self.golden.sizes,
        };
        let arrangement =
            arrangement_of(named, &shape, found).map_err(|error| about(named, &error))?;
        let order = lifted
            .into_iter()
            .chain(groups.into_iter().flatten())
            .collect();
        Ok((arrangement, order))
    }

    /// Where the axes of the graph's value stand in `order`.
    pub(super) fn positions(&self, value: ValueId, order: &[AxisId]) -> Vec<usize> {
        let axes = &self.graph.root.ty(value).axes;
        let place = |axis: &AxisId| axes.iter().position(|own| own == axis).unwrap_or(0);
        order.iter().map(place).collect()
    }

    /// A file's tensor as the graph's leaf wants it.
    pub(super) fn leaf(
        &self,
        named: &Named,
        value: ValueId,
        tensor: &Tensor,
    ) -> Result<Tensor, Failure> {
        let (arrangement, order) = self.arrange(named, value, tensor.shape())?;
        let tensor = to_declared(tensor, &arrangement).map_err(|error| about(named, &error))?;
        let positions = self.positions(value, &order);
        let mut back = vec![0; positions.len()];
        for (declared, &at) in positions.iter().enumerate() {
            back[at] = declared;
        }
        let tensor = tensor
            .permute(&back)
            .map_err(|error| about(named, &error))?;
        Ok(tensor.to_dtype(self.graph.root.ty(value).dtype))
    }

    /// A value of the model file as an input.
    pub(super) fn written(
        &self,
        named: &Named,
        value: ValueId,
        sizes: &BTreeMap<String, i64>,
    ) -> Result<Tensor, Failure> {
        let Source::Value(written) = &named.source else {
            return Err(about(named, &"it has no tensor"));
        };
        let ty = self.graph.root.ty(value);
        let tensor = tensor_of_value(written, ty.dtype).map_err(|error| about(named, &error))?;
        if tensor.rank() > 0 || ty.axes.is_empty() {
            return Ok(tensor);
        }
        let extents = ty.axes.iter().map(|axis| {
            let extent = self.graph.axes.extent(*axis);
            let value = extent.evaluate(&|name| sizes.get(name).copied());
            value
                .map_err(|error| about(named, &error))
                .map(|value| usize::try_from(value).unwrap_or(0))
        });
        spread(&tensor, &extents.collect::<Result<Vec<_>, _>>()?)
            .map_err(|error| about(named, &error))
    }

    /// What a run gave, with its axes as the file has them; `found` is the shape of the file's
    /// tensor, whose sizes may be others.
    pub(super) fn as_stored(
        &self,
        named: &Named,
        outputs: &Outputs,
        found: &[usize],
    ) -> Result<Tensor, Failure> {
        let no_result = || refused(format!("there is no result `{}`", named.path));
        let value = self.graph.result(&named.path).ok_or_else(no_result)?;
        let (arrangement, order) = self.arrange(named, value, found)?;
        if arrangement.stored.len() != arrangement.file.len() {
            return Err(about(
                named,
                &"a continuation needs a layout without groups",
            ));
        }
        let tensor = outputs.tensor(&named.path).map_err(refused)?;
        let ordered = tensor
            .permute(&self.positions(value, &order))
            .map_err(refused)?;
        ordered.permute(&arrangement.inverse()).map_err(refused)
    }
}
