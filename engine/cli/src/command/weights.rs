//! `girih weights`: whether a checkpoint is a model's, and the checkpoint written back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use girih_dsl::blocks::{LoadStep, plan_export};
use girih_dsl::model::Static;
use girih_runtime::tensor::{Tensor, TensorError};
use girih_runtime::weights::{WeightError, WeightSource, write_safetensors};
use serde_json::json;

use super::Streams;
use super::select::Selection;
use crate::checkpoint::{Checkpoint, Fitted, ParameterError, fit, map_of, store};
use crate::failure::{Failure, Outcome};
use crate::source::{counted, load, mistakes};

/// Prove that a checkpoint fits a model, or write it back.
///
/// Names, shapes and settings decide: every parameter must be found, every stored tensor
/// used. Settings come from `config.json` beside the weights, or from a GGUF file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  girih weights check llama.girih checkpoint/
  girih weights export llama.girih checkpoint/ --output copy.safetensors")]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Prove that a checkpoint fits a model; no tensor is read.
    Check(Check),
    /// Read all parameters and write them back under their published names.
    Export(Export),
}

#[derive(Debug, clap::Args)]
struct Check {
    #[command(flatten)]
    selection: Selection,
    /// A file or a folder of weights.
    weights: PathBuf,
    /// Print JSON: where each parameter comes from.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct Export {
    #[command(flatten)]
    selection: Selection,
    /// A file or a folder of weights.
    weights: PathBuf,
    /// The safetensors file to write.
    #[arg(long, value_name = "OUT")]
    output: PathBuf,
}

/// Why a tensor cannot be made again.
#[derive(Debug, thiserror::Error)]
enum StoreError {
    #[error(transparent)]
    Parameter(#[from] ParameterError),
    #[error(transparent)]
    Tensor(#[from] TensorError),
    #[error("the parameter `{0}` comes from no stored tensor")]
    Unknown(String),
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    match &args.action {
        Action::Check(args) => check(args, streams),
        Action::Export(args) => export(args, streams),
    }
}

fn fitted(
    selection: &Selection,
    weights: &Path,
    streams: &Streams<'_>,
) -> Result<(Checkpoint, Fitted), Failure> {
    let (program, mut sink) = load(&selection.file)?;
    let broken = |sink: &_| mistakes(&program.sources, sink, streams.colors);
    if sink.has_errors() {
        return Err(broken(&sink));
    }
    let checkpoint = Checkpoint::open(weights)?;
    let request = selection.request();
    let fitted = fit(
        &program,
        &checkpoint,
        &request,
        &selection.settings,
        &mut sink,
    );
    match fitted {
        Some(fitted) if !sink.has_errors() => Ok((checkpoint, fitted)),
        _ => Err(broken(&sink)),
    }
}

fn check(args: &Check, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let (checkpoint, Fitted { plan, .. }) = fitted(&args.selection, &args.weights, streams)?;
    let entries = checkpoint.source.entries();
    if args.json {
        let steps = plan.loads.iter().map(|step| {
            let stored: Vec<&str> = step.parts.iter().map(|part| part.stored.as_str()).collect();
            json!({"parameter": step.param, "stored": stored})
        });
        let copies = plan.copies.iter().flat_map(|step| &step.parts);
        let report = json!({
            "tensors": entries.len(),
            "bytes": entries.iter().map(|entry| entry.bytes).sum::<usize>(),
            "parameters": steps.collect::<Vec<_>>(),
            "copies": copies.map(|part| part.stored.as_str()).collect::<Vec<_>>(),
            "ignored": plan.ignored,
        });
        writeln!(streams.out, "{report:#}")?;
        return Ok(Outcome::Holds);
    }
    let parameters = counted(plan.loads.len(), "parameter");
    let tensors = counted(entries.len(), "stored tensor");
    write!(
        streams.out,
        "{parameters} of {tensors}; every one is found, none is left over"
    )?;
    for (count, what) in [
        (plan.copies.len(), "tied"),
        (plan.ignored.len(), "ignored on purpose"),
    ] {
        if count > 0 {
            write!(streams.out, "; {count} {what}")?;
        }
    }
    writeln!(streams.out)?;
    Ok(Outcome::Holds)
}

fn export(args: &Export, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let (checkpoint, Fitted { plan, .. }) = fitted(&args.selection, &args.weights, streams)?;
    let loads: BTreeMap<&str, &LoadStep> = plan
        .loads
        .iter()
        .map(|step| (step.param.as_str(), step))
        .collect();
    let mut read = |path: &str| -> Result<Tensor, StoreError> {
        let step = loads
            .get(path)
            .ok_or_else(|| StoreError::Unknown(path.to_owned()))?;
        Ok(checkpoint.parameter(step)?)
    };
    let mut made: BTreeMap<String, Tensor> = BTreeMap::new();
    for step in plan_export(&plan) {
        let tensor =
            store(&step, &mut read).map_err(|error| Failure::Refused(error.to_string()))?;
        made.insert(step.stored.clone(), tensor);
    }
    // What no parameter says – ignored tensors – is written as it was read.
    let ignored: BTreeSet<&str> = plan.ignored.iter().map(String::as_str).collect();
    for entry in checkpoint.source.entries() {
        if ignored.contains(entry.name.as_str()) && !made.contains_key(&entry.name) {
            made.insert(entry.name.clone(), checkpoint.source.tensor(&entry.name)?);
        }
    }
    write_all(&args.output, checkpoint.source.as_ref(), &made)?;
    let tensors = counted(made.len(), "tensor");
    writeln!(streams.out, "{}: {tensors}", args.output.display())?;
    Ok(Outcome::Holds)
}

/// Writes tensors in the order of their source, with its metadata.
fn write_all(
    output: &Path,
    source: &dyn WeightSource,
    made: &BTreeMap<String, Tensor>,
) -> Result<(), WeightError> {
    let ordered = source.entries().iter().filter_map(|entry| {
        let (name, tensor) = made.get_key_value(&entry.name)?;
        Some((name.as_str(), tensor))
    });
    let texts = map_of(source.metadata())
        .into_iter()
        .filter_map(|(name, value)| match value {
            Static::Text(text) => Some((name, text)),
            _ => None,
        });
    write_safetensors(output, ordered, &texts.collect())
}
