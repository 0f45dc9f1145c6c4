//! What a folder with a checkpoint and answers asks beyond its golden blocks.
//!
//! Static parameters and parameters come from `config.json` and `model.safetensors` through
//! the model file's `weights` block, every key accounted for. Positions where
//! `attention_mask` is 0 are not compared. A block that has both the tokens and `logits`
//! continues: `cont_logits` and `full_logits_last4` are its logits for the prompt followed
//! by `cont_ids`, `greedy_ids` what it chooses itself. A block with an objective gives the
//! norms of all gradients, by the names of the stored tensors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use girih_dsl::blocks::{Named, plan_export};
use girih_dsl::diag::Colors;
use girih_dsl::program::Program;
use girih_runtime::backend::{Backend, Outputs};
use girih_runtime::config::ConfigValue;
use girih_runtime::session::StreamModel;
use girih_runtime::tensor::{Tensor, TensorError};
use girih_runtime::weights;

use super::block::Block;
use super::compare::{Row, compare};
use super::{Case, Report, Tensors, refused, tolerance_of};
use crate::checkpoint::{Checkpoint, store, stored_of};
use crate::failure::Failure;
use crate::tolerance::Bound;

/// What norms of gradients may differ by.
const NORM: Bound = Bound::Mixed {
    abs: 1e-5,
    rel: 1e-3,
};

/// Tokens that a model goes on from.
const TOKENS: [&str; 2] = ["decoder_input_ids", "input_ids"];

pub(super) fn verify_kit(
    program: &Program,
    folder: &Path,
    backend: &dyn Backend,
    colors: Colors,
) -> Result<Report, Failure> {
    let checkpoint = Checkpoint::open(&folder.join("model.safetensors"))?;
    let io = weights::open(&folder.join("io.safetensors"))?;
    let mut report = Report::default();
    let case = Case {
        program,
        backend,
        colors,
        stored: stored_of(io.as_ref()),
        config: checkpoint.config.clone(),
        tolerance: tolerance_of(io.as_ref(), &mut report),
        tensors: Tensors {
            source: io.as_ref(),
            replaced: BTreeMap::new(),
        },
        checkpoint: Some(&checkpoint),
        mask: Some("attention_mask"),
    };
    let mut claimed = BTreeSet::new();
    let norms = io.metadata().lookup_json("grad_norms").and_then(Result::ok);
    let mut has_norms = false;
    for block in case.blocks(&mut report)? {
        claimed.extend(block.claimed());
        report.rows.extend(case.run_block(&block)?);
        if let Some((tokens, logits)) = continued(&block) {
            case.continuation(&block, tokens, logits, &mut claimed, &mut report)?;
        }
        let objective = !block.lines.objectives.is_empty() || !block.lines.cotangents.is_empty();
        if let Some(norms) = norms.as_ref().filter(|_| objective) {
            has_norms = true;
            case.norms(&block, norms, &mut report)?;
        }
    }
    if norms.is_some() && !has_norms {
        let row = Row::miss(
            "",
            "grad_norms",
            "norm",
            &[],
            "no golden block declares an objective",
        );
        report.rows.push(row);
    }
    case.add_unclaimed(&claimed, &mut report);
    Ok(report)
}

/// The lines for the tokens and the logits of a block that has both.
fn continued(block: &Block) -> Option<(&Named, &Named)> {
    let from = |lines: &'_ [Named], name: &str| -> Option<usize> {
        lines
            .iter()
            .position(|named| named.source.names() == [name])
    };
    let logits = from(&block.lines.values, "logits")?;
    let tokens = TOKENS
        .iter()
        .find_map(|name| from(&block.lines.inputs, name))?;
    Some((&block.lines.inputs[tokens], &block.lines.values[logits]))
}

impl Case<'_> {
    /// The same case with other tokens.
    fn with_tokens(&self, tokens: &Named, ids: &Tensor) -> Self {
        let name = tokens.source.names().first().cloned().unwrap_or_default();
        Case {
            tensors: Tensors {
                source: self.tensors.source,
                replaced: BTreeMap::from([(name, ids.clone())]),
            },
            stored: Vec::new(),
            config: BTreeMap::new(),
            tolerance: self.tolerance.clone(),
            ..*self
        }
    }

    /// The logits of a block for other tokens, `[batch, positions, vocabulary]`; one token
    /// after another, if `model` is its stream.
    fn logits_for(
        &self,
        block: &Block,
        (tokens, logits): (&Named, &Named),
        ids: &Tensor,
        model: Option<&Arc<StreamModel>>,
    ) -> Result<Tensor, Failure> {
        let case = self.with_tokens(tokens, ids);
        let outputs: Outputs = match model {
            Some(model) => case.outputs_in_pieces(block, model, 1)?,
            None => case.outputs(block)?,
        };
        self.stored_logits(block, logits, &outputs)
    }

    fn stored_logits(
        &self,
        block: &Block,
        logits: &Named,
        outputs: &Outputs,
    ) -> Result<Tensor, Failure> {
        let reference = self
            .tensors
            .get(logits.source.names().first().map_or("", String::as_str))?;
        block.as_stored(logits, outputs, reference.shape())
    }

    /// What a block chooses itself after a prompt: as a stream, if it is one.
    fn greedy_ids(
        &self,
        block: &Block,
        (tokens, logits): (&Named, &Named),
        model: Option<&Arc<StreamModel>>,
        prompt: &Tensor,
        count: usize,
    ) -> Result<Tensor, Failure> {
        let next = |logits: &Tensor| {
            let next = largest(&last(logits, 1)?).map_err(refused)?;
            Ok::<_, Failure>(next.to_dtype(prompt.dtype()))
        };
        if let Some(model) = model {
            let case = self.with_tokens(tokens, prompt);
            let choose = |outputs: &Outputs| next(&self.stored_logits(block, logits, outputs)?);
            if let Some(ids) = case.greedy(block, model, (tokens, count), &choose)? {
                let ids: Vec<&Tensor> = ids.iter().collect();
                return Tensor::concat(&ids, 1).map_err(refused);
            }
        }
        let mut ids = prompt.clone();
        for _ in 0..count {
            let next = next(&self.logits_for(block, (tokens, logits), &ids, None)?)?;
            ids = Tensor::concat(&[&ids, &next], 1).map_err(refused)?;
        }
        let start = prompt.shape().get(1).copied().unwrap_or(0);
        ids.slice(1, start..ids.shape()[1]).map_err(refused)
    }

    fn continuation(
        &self,
        block: &Block,
        tokens: &Named,
        logits: &Named,
        claimed: &mut BTreeSet<String>,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let has = |name: &str| self.stored.iter().any(|stored| stored.name == name);
        let name = tokens.source.names().first().cloned().unwrap_or_default();
        let prompt = self.tensors.get(&name)?;
        let label = &block.golden.name;
        let model = self.streaming(block)?;
        if has("cont_ids") {
            let more = self.tensors.get("cont_ids")?;
            let ids = Tensor::concat(&[&prompt, &more], 1).map_err(refused)?;
            let count = more.shape().get(1).copied().unwrap_or(0);
            let ours = last(
                &self.logits_for(block, (tokens, logits), &ids, None)?,
                count,
            )?;
            let streamed = match &model {
                Some(model) => {
                    let all = self.logits_for(block, (tokens, logits), &ids, Some(model))?;
                    Some(last(&all, count)?)
                }
                None => None,
            };
            claimed.insert("cont_ids".to_owned());
            for name in ["cont_logits", "full_logits_last4"] {
                if has(name) {
                    let theirs = self.tensors.get(name)?;
                    let bound = self.tolerance.of(name, false);
                    report.rows.push(compare(
                        (label, name, "continuation"),
                        &ours,
                        &theirs,
                        bound,
                        None,
                    ));
                    if let Some(streamed) = &streamed {
                        report.rows.push(compare(
                            (label, name, "stream"),
                            streamed,
                            &theirs,
                            bound,
                            None,
                        ));
                    }
                    claimed.insert(name.to_owned());
                }
            }
        }
        if has("greedy_ids") {
            let theirs = self.tensors.get("greedy_ids")?;
            let count = theirs.shape().get(1).copied().unwrap_or(0);
            let ours = self.greedy_ids(block, (tokens, logits), model.as_ref(), &prompt, count)?;
            report.rows.push(compare(
                (label, "greedy_ids", "greedy"),
                &ours,
                &theirs,
                Bound::Exact,
                None,
            ));
            claimed.insert("greedy_ids".to_owned());
        }
        Ok(())
    }

    /// 2-norms of the gradients of all stored tensors.
    fn norms(
        &self,
        block: &Block,
        norms: &ConfigValue,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let Some(plan) = &block.plan else {
            return Ok(());
        };
        let outputs = self.outputs(block)?;
        let steps = plan_export(plan);
        for (name, norm) in norms.as_map().into_iter().flatten() {
            let Some(norm) = norm.as_float() else {
                continue;
            };
            let label = format!("|grad {name}|");
            let block_name = &block.golden.name;
            let Some(step) = steps.iter().find(|step| step.stored == *name) else {
                report.rows.push(Row::miss(
                    block_name,
                    &label,
                    "norm",
                    &[],
                    "no parameter is stored in it",
                ));
                continue;
            };
            let mut gradient = |path: &str| -> Result<Tensor, Failure> {
                match outputs.results.get(&format!("grad.{path}")) {
                    Some(output) => output.data.to_host().map_err(refused),
                    // The objective does not read it.
                    None => self.zeros(block, path),
                }
            };
            let gradient = store(step, &mut gradient)?;
            let square: f64 = gradient
                .to_f64_vec()
                .iter()
                .map(|value| value * value)
                .sum();
            let scalar = |value: f64| Tensor::scalar(value);
            let names = (block_name.as_str(), label.as_str(), "norm");
            report.rows.push(compare(
                names,
                &scalar(square.sqrt()),
                &scalar(norm),
                NORM,
                None,
            ));
        }
        Ok(())
    }

    fn zeros(&self, block: &Block, path: &str) -> Result<Tensor, Failure> {
        let loads = block.plan.iter().flat_map(|plan| &plan.loads);
        let step = loads.into_iter().find(|step| step.param == path);
        let (Some(checkpoint), Some(step)) = (self.checkpoint, step) else {
            return Err(refused(format!("there is no parameter `{path}`")));
        };
        let tensor = checkpoint.parameter(step).map_err(refused)?;
        Tensor::zeros(tensor.dtype(), tensor.shape()).map_err(refused)
    }
}

/// The last positions of `[batch, positions, …]`.
fn last(tensor: &Tensor, count: usize) -> Result<Tensor, Failure> {
    let Some(&extent) = tensor.shape().get(1) else {
        return Err(refused(format!(
            "logits of shape {:?} have no positions",
            tensor.shape()
        )));
    };
    tensor
        .slice(1, extent.saturating_sub(count)..extent)
        .map_err(refused)
}

/// Position of the largest along the last axis, which is left out; ties to the lower.
fn largest(logits: &Tensor) -> Result<Tensor, TensorError> {
    let shape = logits.shape();
    let (outer, width) = (
        &shape[..shape.len().saturating_sub(1)],
        shape.last().copied().unwrap_or(1),
    );
    let values = logits.to_f64_vec();
    let rows = values.chunks(width.max(1)).map(|row| {
        let best = row
            .iter()
            .enumerate()
            .fold((0, f64::NEG_INFINITY), |best, (at, &value)| {
                if value > best.1 { (at, value) } else { best }
            });
        best.0 as i64
    });
    Tensor::new(outer, rows.collect())
}

impl From<TensorError> for Failure {
    fn from(error: TensorError) -> Self {
        Self::Refused(error.to_string())
    }
}
