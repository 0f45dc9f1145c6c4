//! A published checkpoint beside a model file: its settings become static parameters, its
//! tensors become parameters.
//!
//! [`fit`] proves from names and shapes that model and checkpoint belong together, before
//! any tensor is read; [`Checkpoint::parameter`] then reads one parameter. A tensor that
//! lies in the file as the model wants it is never copied. [`Checkpoint::param`] leaves it
//! quantized where `rows` can.

mod rows;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use girih_dsl::ast::WeightsBlock;
use girih_dsl::blocks::{
    Arrangement, LoadStep, StoreStep, Stored, WeightPlan, nested, plan_weights, read_settings,
    weights_blocks, weights_blocks_for,
};
use girih_dsl::diag::{Code, Diagnostic, Sink};
use girih_dsl::elaborate::{Request, elaborate};
use girih_dsl::model::{Model, Static};
use girih_dsl::program::Program;
use girih_runtime::backend::{BoxError, ParamData, ParamSource};
use girih_runtime::config::ConfigValue;
use girih_runtime::tensor::{Tensor, TensorError};
use girih_runtime::weights::{self, BlocksError, WeightError, WeightSource};

use crate::failure::Failure;

/// Stored tensors with the settings that lie beside them.
#[derive(Debug)]
pub struct Checkpoint {
    /// The tensors.
    pub source: Box<dyn WeightSource>,
    /// `config.json`, or the metadata of a GGUF file with its dotted keys nested.
    pub config: BTreeMap<String, Static>,
}

/// Why one parameter cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ParameterError {
    /// The file is damaged.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// Quantized rows do not make a tensor.
    #[error(transparent)]
    Blocks(#[from] BlocksError),
    /// Pieces do not fit together.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The tensor cannot be arranged as planned.
    #[error("the parameter `{param}` cannot be made of the file's tensors: {source}")]
    Arrange {
        /// Its path.
        param: String,
        /// Why.
        source: TensorError,
    },
}

/// A model whose parameters a checkpoint has.
#[derive(Debug)]
pub struct Fitted {
    /// The model, with static parameters from the checkpoint.
    pub model: Model,
    /// How its parameters are made.
    pub plan: WeightPlan,
    /// The static parameters that were given.
    pub statics: Vec<(String, Static)>,
}

impl Checkpoint {
    /// Opens a file or a folder of weights and the settings beside it.
    ///
    /// # Errors
    ///
    /// No or damaged weights, settings that are no JSON.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let source = weights::open(path)?;
        let config = match config_beside(source.file()) {
            Some(file) => {
                let config = ConfigValue::read(&file)
                    .map_err(|error| Failure::Refused(error.to_string()))?;
                map_of(&config)
            }
            None => nested(map_of(source.metadata())),
        };
        Ok(Self { source, config })
    }

    /// The file that [`Checkpoint::config`] was read from.
    pub fn settings_file(&self) -> PathBuf {
        let weights = self.source.file();
        config_beside(weights).unwrap_or_else(|| weights.to_owned())
    }

    /// Names and shapes of the tensors.
    pub fn stored(&self) -> Vec<Stored> {
        stored_of(self.source.as_ref())
    }

    /// Reads one parameter.
    ///
    /// # Errors
    ///
    /// Damaged data.
    pub fn parameter(&self, step: &LoadStep) -> Result<Tensor, ParameterError> {
        let mut parts = Vec::new();
        for part in &step.parts {
            let tensor = self.source.tensor(&part.stored)?;
            let piece = cut(&tensor, &part.view, step.axis, &part.range);
            parts.push(piece.map_err(|source| arrange_error(step, source))?);
        }
        load_parts(step, &parts).map_err(|source| arrange_error(step, source))
    }
}

impl Checkpoint {
    /// Reads one parameter; quantized as it is stored if that can be.
    ///
    /// # Errors
    ///
    /// Damaged data.
    pub fn param(&self, step: &LoadStep) -> Result<ParamData, ParameterError> {
        match rows::blocks(self.source.as_ref(), step)? {
            Some(blocks) => Ok(ParamData::Blocks(blocks)),
            None => Ok(ParamData::Tensor(self.parameter(step)?)),
        }
    }
}

/// The parameters of a model as [`Executable::load`](girih_runtime::backend::Executable::load) asks
/// for them.
#[derive(Debug)]
pub struct CheckpointParams<'a> {
    checkpoint: &'a Checkpoint,
    steps: BTreeMap<&'a str, &'a LoadStep>,
}

impl<'a> CheckpointParams<'a> {
    /// Those that `plan` makes of a checkpoint's tensors.
    pub fn new(checkpoint: &'a Checkpoint, plan: &'a WeightPlan) -> Self {
        let steps = plan.loads.iter();
        Self {
            checkpoint,
            steps: steps.map(|step| (step.param.as_str(), step)).collect(),
        }
    }
}

impl ParamSource for CheckpointParams<'_> {
    fn param(&mut self, path: &str) -> Result<ParamData, BoxError> {
        let step = (self.steps.get(path))
            .ok_or_else(|| format!("the parameter `{path}` has no tensor"))?;
        Ok(self.checkpoint.param(step)?)
    }
}

fn arrange_error(step: &LoadStep, source: TensorError) -> ParameterError {
    ParameterError::Arrange {
        param: step.param.clone(),
        source,
    }
}

fn load_parts(step: &LoadStep, parts: &[Tensor]) -> Result<Tensor, TensorError> {
    let joined = match parts {
        [one] => one.clone(),
        several => Tensor::concat(&several.iter().collect::<Vec<_>>(), step.axis)?,
    };
    to_declared(&joined, &step.arrangement)
}

fn cut(
    tensor: &Tensor,
    view: &[usize],
    axis: usize,
    range: &std::ops::Range<usize>,
) -> Result<Tensor, TensorError> {
    let tensor = tensor.reshape(view)?;
    match view.get(axis) {
        Some(extent) if *range != (0..*extent) => tensor.slice(axis, range.clone()),
        _ => Ok(tensor),
    }
}

/// A file's tensor as the declaration has it.
///
/// # Errors
///
/// A tensor of another size than the arrangement's.
pub fn to_declared(tensor: &Tensor, arrangement: &Arrangement) -> Result<Tensor, TensorError> {
    let order = &arrangement.order;
    if order.iter().copied().eq(0..order.len()) {
        return tensor.reshape(arrangement.shape.as_slice());
    }
    let apart = tensor.reshape(arrangement.file.as_slice())?;
    apart.permute(order)?.reshape(arrangement.shape.as_slice())
}

/// A declared tensor as the file has it.
///
/// # Errors
///
/// A tensor of another size than the arrangement's.
pub fn to_stored(tensor: &Tensor, arrangement: &Arrangement) -> Result<Tensor, TensorError> {
    let apart = tensor.reshape(arrangement.declared())?;
    apart
        .permute(&arrangement.inverse())?
        .reshape(arrangement.stored.as_slice())
}

/// One stored tensor of the parameters it is made of, which `param` gives by path.
///
/// # Errors
///
/// What `param` says, tensors of other sizes than planned.
pub fn store<E: From<TensorError>>(
    step: &StoreStep,
    param: &mut dyn FnMut(&str) -> Result<Tensor, E>,
) -> Result<Tensor, E> {
    let mut pieces = Vec::new();
    for piece in &step.pieces {
        let whole = to_stored(&param(&piece.param)?, &piece.arrangement)?;
        pieces.push(cut(&whole, &piece.view, step.axis, &piece.range)?);
    }
    let joined = match pieces.as_slice() {
        [one] => one.clone(),
        several => Tensor::concat(&several.iter().collect::<Vec<_>>(), step.axis)?,
    };
    Ok(joined.reshape(step.shape.as_slice())?)
}

/// Names and shapes of stored tensors.
pub fn stored_of(source: &dyn WeightSource) -> Vec<Stored> {
    let stored = source.entries().iter().map(|entry| Stored {
        name: entry.name.clone(),
        shape: entry.shape.clone(),
    });
    stored.collect()
}

/// Elaborates the model that a checkpoint's settings describe and plans how its parameters
/// are read. `given` are static parameters that go before the settings. A model file with
/// several `weights` blocks takes the first that fits. Mistakes go to the sink.
pub fn fit(
    program: &Program,
    checkpoint: &Checkpoint,
    request: &Request,
    given: &[(String, Static)],
    sink: &mut Sink,
) -> Option<Fitted> {
    let mut blocks = weights_blocks(program);
    let wanted = |block: &&WeightsBlock| {
        request
            .module
            .as_ref()
            .is_none_or(|module| *module == block.model.text)
    };
    if let Some(module) = &request.module
        && !blocks.iter().any(|block| wanted(&block))
    {
        // A file that is used says how its own models are stored.
        blocks.extend(weights_blocks_for(program, module));
    }
    let mut best: Option<Sink> = None;
    let mut tried = false;
    for block in blocks.iter().filter(wanted) {
        tried = true;
        let mut told = Sink::new();
        if let Some(fitted) = fit_block(program, checkpoint, request, given, Some(block), &mut told)
        {
            return Some(fitted);
        }
        let notes = |sink: &Sink| {
            sink.diagnostics()
                .iter()
                .map(|found| 1 + found.notes.len())
                .sum::<usize>()
        };
        if best.as_ref().is_none_or(|best| notes(&told) < notes(best)) {
            best = Some(told);
        }
    }
    if !tried {
        return fit_block(program, checkpoint, request, given, None, sink);
    }
    for diagnostic in best.iter().flat_map(Sink::diagnostics) {
        sink.report(diagnostic.clone());
    }
    None
}

fn fit_block(
    program: &Program,
    checkpoint: &Checkpoint,
    request: &Request,
    given: &[(String, Static)],
    block: Option<&WeightsBlock>,
    sink: &mut Sink,
) -> Option<Fitted> {
    let mut statics = match block {
        Some(block) => {
            let origin = checkpoint.settings_file().display().to_string();
            read_settings(program, block, &checkpoint.config, &origin, given, sink)?
        }
        None => given.to_vec(),
    };
    for (name, value) in &request.statics {
        statics.retain(|(own, _)| own != name);
        statics.push((name.clone(), value.clone()));
    }
    let request = Request {
        module: request
            .module
            .clone()
            .or_else(|| Some(block?.model.text.clone())),
        statics: statics.clone(),
        ..request.clone()
    };
    let model = elaborate(program, &request, sink)?;
    let plan = plan_weights(
        block,
        &model.graph.axes,
        &model.params,
        &statics,
        &checkpoint.stored(),
        sink,
    )?;
    check_copies(checkpoint, &plan, block, sink)?;
    Some(Fitted {
        model,
        plan,
        statics,
    })
}

/// Tensors that a line calls copies must say what the parameter says: a head that is not tied
/// must not be dropped in silence.
fn check_copies(
    checkpoint: &Checkpoint,
    plan: &WeightPlan,
    block: Option<&WeightsBlock>,
    sink: &mut Sink,
) -> Option<()> {
    let mut equal = Some(());
    for copy in &plan.copies {
        let Some(load) = plan.loads.iter().find(|load| load.param == copy.param) else {
            continue;
        };
        let (Ok(own), Ok(other)) = (checkpoint.parameter(load), checkpoint.parameter(copy)) else {
            // Damaged data is reported where it is used.
            continue;
        };
        if own != other {
            let names = |step: &LoadStep| {
                let names: Vec<_> = step
                    .parts
                    .iter()
                    .map(|part| format!("`{}`", part.stored))
                    .collect();
                names.join(", ")
            };
            let mut diagnostic = Diagnostic::error(
                Code::new(613),
                format!(
                    "{} is no copy of {}: their numbers differ",
                    names(copy),
                    names(load)
                ),
            )
            .note(format!("both would be the parameter `{}`", copy.param))
            .help("the checkpoint is not tied: give the model a parameter of its own for it");
            if let Some(block) = block {
                diagnostic = diagnostic.at(block.name.span, "this mapping ties them");
            }
            sink.report(diagnostic);
            equal = None;
        }
    }
    equal
}

/// `config.json` in the folder of the weights.
fn config_beside(weights: &Path) -> Option<PathBuf> {
    let file = weights.parent()?.join("config.json");
    file.is_file().then_some(file)
}

/// The entries of a map of settings; nothing else has any.
pub fn map_of(config: &ConfigValue) -> BTreeMap<String, Static> {
    let entries = config.as_map().into_iter().flatten();
    entries
        .map(|(name, value)| (name.clone(), static_of(value)))
        .collect()
}

/// A setting as a static value.
pub fn static_of(value: &ConfigValue) -> Static {
    match value {
        ConfigValue::Null => Static::None,
        ConfigValue::Bool(truth) => Static::Bool(*truth),
        ConfigValue::Int(number) => Static::Int(*number),
        ConfigValue::Float(number) => Static::Real(*number),
        ConfigValue::Str(text) => Static::Text(text.clone()),
        ConfigValue::List(parts) => Static::List(parts.iter().map(static_of).collect()),
        ConfigValue::Map(fields) => Static::Map(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), static_of(value)))
                .collect(),
        ),
    }
}
