//! `girih run`: a model once, from inputs to results.

mod procedure;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use girih_dsl::model::{Model, Static};
use girih_runtime::backend::{Outputs, silent};
use girih_runtime::tensor::Tensor;
use girih_runtime::text::Tokenizer;
use girih_runtime::weights::{self, write_safetensors};
use serde_json::json;

use super::Streams;
use crate::checkpoint::Checkpoint;
use crate::failure::{Failure, Outcome};
use crate::session::{Session, Setup, Streaming, Times, choose_model};
use crate::speaker::text_error;
use crate::{backend, setting};

/// Run a model once.
///
/// Inputs are tensors of a safetensors, `.npz` or `.npy` file under the inputs' names; axes
/// beyond the declared ones are mapped over. An encoder with a tokenizer takes `--text`. Without weights the
/// parameters start as the model file says.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  girih run minilm --text \"That is a happy person\"
  girih run model.girih --set d=64 --input in.safetensors --output out.safetensors
  girih run model.girih --input in.safetensors --mode step --piece 16
  girih run model.girih --procedure answer --set ids=[1,2,3] --seed 7")]
pub(super) struct Args {
    /// A model file, or a short name.
    model: String,
    /// Run a procedure of the file instead of its model. What it emits is printed as it comes, what it
    /// waits for is read from standard input, a line such as `[4, 17]` for each event.
    #[arg(long, value_name = "NAME")]
    procedure: Option<String>,
    /// A file or a folder of weights, or a name for `girih pull`. For a procedure with several models
    /// `NAME=PATH`, as often as there are models with weights.
    #[arg(long)]
    weights: Vec<PathBuf>,
    /// `tokenizer.json`, a GGUF file, or a folder with one of them; by default that of the weights.
    #[arg(long)]
    tokenizer: Option<PathBuf>,
    /// A static argument, a procedure's input, or a size that nothing else tells; before what the weights say.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting::parse)]
    settings: Vec<(String, Static)>,
    /// A file with the inputs.
    #[arg(long)]
    input: Option<PathBuf>,
    /// Where the results go, as safetensors.
    #[arg(long)]
    output: Option<PathBuf>,
    /// A text for the model's tokens. May be given several times: one run for each.
    #[arg(long, conflicts_with = "input")]
    text: Vec<String>,
    /// The whole sequence at once, or piece by piece.
    #[arg(long, value_enum, default_value_t = Mode::Full, conflicts_with = "text")]
    mode: Mode,
    /// Most positions of a piece.
    #[arg(long, value_name = "N", default_value_t = 1)]
    piece: usize,
    /// Random starts and draws depend on it alone.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    backend: backend::Asked,
    /// Say on standard error where the time went.
    #[arg(long)]
    timings: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How a sequence is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// As a whole.
    Full,
    /// In pieces, each after the one before.
    Step,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    if let Some(name) = &args.procedure {
        return procedure::run(args, name, streams);
    }
    if let [_, second, ..] = args.weights.as_slice() {
        return Err(Failure::Misuse(format!(
            "a model has one checkpoint; `{}` is a second one",
            second.display()
        )));
    }
    let start = Instant::now();
    let backend = args.backend.make()?;
    let chosen = choose_model(
        &args.model,
        args.weights.first().map(PathBuf::as_path),
        args.tokenizer.as_deref(),
        streams.colors,
        streams.watched,
    )?;
    let checkpoint = chosen
        .weights
        .as_deref()
        .map(Checkpoint::open)
        .transpose()?;
    let setup = Setup {
        program: &chosen.program,
        checkpoint: checkpoint.as_ref(),
        backend: backend.as_ref(),
        set: &args.settings,
        seed: args.seed,
        colors: streams.colors,
        watched: streams.watched,
    };
    let mut timings = vec![("open", start.elapsed())];
    let mut shown: Vec<Shown> = Vec::new();
    if args.text.is_empty() {
        let inputs = match &args.input {
            Some(file) => read_inputs(file)?,
            None => BTreeMap::new(),
        };
        let ranks = inputs
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.rank()))
            .collect();
        match args.mode {
            Mode::Full => {
                let session = Session::open(&setup, Some(&ranks))?;
                require_inputs(&session.model, &inputs)?;
                timings.extend(made_ready(session.times));
                let outputs = timed(&mut timings, || session.run(inputs, args.seed))?;
                collect(&session.model, &outputs, "", &mut shown)?;
            }
            Mode::Step => {
                let streaming = Streaming::open(&setup, Some(&ranks))?;
                require_inputs(&streaming.model, &inputs)?;
                let (mut session, steps) = streaming.begin(inputs, args.seed)?;
                timings.extend(made_ready(streaming.times));
                let outputs = timed(&mut timings, || {
                    session.run_to_end(&steps, args.piece, &mut silent)
                });
                let outputs = outputs.map_err(|error| Failure::Refused(error.to_string()))?;
                collect(&streaming.model, &outputs, "", &mut shown)?;
            }
        }
    } else {
        let place = chosen.tokenizer.as_deref();
        let place = place.ok_or_else(|| {
            Failure::Misuse("which tokenizer? give it with `--tokenizer`".to_owned())
        })?;
        let tokenizer = Tokenizer::open(place).map_err(text_error)?;
        let session = Session::open(&setup, None)?;
        timings.extend(made_ready(session.times));
        for (position, text) in args.text.iter().enumerate() {
            let ids = tokenizer.encode(text).map_err(text_error)?;
            let inputs = text_inputs(&session.model, &ids)?;
            let outputs = timed(&mut timings, || session.run(inputs, args.seed))?;
            let suffix = if args.text.len() > 1 {
                format!(".{position}")
            } else {
                String::new()
            };
            collect(&session.model, &outputs, &suffix, &mut shown)?;
        }
    }
    if let Some(path) = &args.output {
        let tensors = shown
            .iter()
            .map(|result| (result.name.as_str(), &result.tensor));
        write_safetensors(path, tensors, &BTreeMap::new())?;
    }
    if args.json {
        let results: Vec<_> = shown.iter().map(Shown::json).collect();
        writeln!(streams.out, "{:#}", json!({"results": results}))?;
    } else {
        for result in &shown {
            writeln!(streams.out, "{}", result.line())?;
        }
    }
    if args.timings {
        timings.push(("in all", start.elapsed()));
        for (part, time) in timings {
            writeln!(
                streams.err,
                "{part:<8} {:10.3} ms",
                time.as_secs_f64() * 1e3
            )?;
        }
    }
    Ok(Outcome::Holds)
}

/// A part of the work, and how long it took.
type Timing = (&'static str, Duration);

fn made_ready(times: Times) -> [Timing; 3] {
    [
        ("check", times.check),
        ("compile", times.compile),
        ("load", times.load),
    ]
}

fn timed<T>(timings: &mut Vec<Timing>, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    timings.push(("run", start.elapsed()));
    result
}

fn read_inputs(file: &std::path::Path) -> Result<BTreeMap<String, Tensor>, Failure> {
    let source = weights::open(file)?;
    let names = source.entries().iter().map(|entry| entry.name.clone());
    let read = |name: String| Ok((name.clone(), source.tensor(&name)?));
    names.map(read).collect()
}

/// Says which inputs are missing, with their types.
fn require_inputs(model: &Model, inputs: &BTreeMap<String, Tensor>) -> Result<(), Failure> {
    let missing: Vec<String> = (model.graph.inputs().into_iter())
        .filter(|(name, _)| !inputs.contains_key(*name))
        .map(|(name, value)| {
            format!(
                "`{name}: {}`",
                model.graph.axes.show(model.graph.root.ty(value))
            )
        })
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::Misuse(format!(
        "the model needs {}; give tensors of these names with `--input FILE`",
        missing.join(", ")
    )))
}

/// Inputs for one text: tokens, a mask of ones, kinds of zero, as far as the model has them.
fn text_inputs(model: &Model, ids: &[u32]) -> Result<BTreeMap<String, Tensor>, Failure> {
    let mut inputs = BTreeMap::new();
    let mut tokens = 0;
    for input in model.inputs.iter().filter(|input| input.given) {
        let fits = input.axes.len() == 1 && !input.dtype.is_real();
        let values = match input.name.as_str() {
            name if name.contains("mask") && input.axes.len() == 1 => vec![1; ids.len()],
            name if name.contains("type") && fits => vec![0; ids.len()],
            _ if fits && tokens == 0 => {
                tokens += 1;
                ids.iter().map(|&id| i64::from(id)).collect()
            }
            name => {
                return Err(Failure::Refused(format!(
                    "a text gives tokens, `ids: i64[t]`; where is the input `{name}` from? Use `--input`"
                )));
            }
        };
        inputs.insert(input.name.clone(), Tensor::new([ids.len()], values)?);
    }
    if tokens == 0 {
        return Err(Failure::Refused(
            "the model has no input for tokens, such as `ids: i64[t]`".to_owned(),
        ));
    }
    Ok(inputs)
}

/// A result as it is shown.
struct Shown {
    name: String,
    axes: Vec<String>,
    tensor: Tensor,
}

fn collect(
    model: &Model,
    outputs: &Outputs,
    suffix: &str,
    shown: &mut Vec<Shown>,
) -> Result<(), Failure> {
    for (name, axes) in &model.results {
        let tensor = outputs
            .tensor(name)
            .map_err(|error| Failure::Refused(error.to_string()))?;
        shown.push(Shown {
            name: format!("{name}{suffix}"),
            axes: axes
                .iter()
                .map(|axis| model.graph.axes.name(*axis).to_owned())
                .collect(),
            tensor,
        });
    }
    Ok(())
}

/// Values that are shown of each result.
const FIRST: usize = 6;

impl Shown {
    fn summary(&self) -> (Vec<f64>, f64, f64, f64) {
        let values = self.tensor.to_f64_vec();
        let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
        let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        (
            values.into_iter().take(FIRST).collect(),
            smallest,
            largest,
            mean,
        )
    }

    fn line(&self) -> String {
        let extents = self.axes.iter().zip(self.tensor.shape());
        let axes: Vec<String> = extents
            .map(|(axis, extent)| format!("{axis}={extent}"))
            .collect();
        let ty = format!("{}[{}]", self.tensor.dtype(), axes.join(", "));
        let (first, smallest, largest, mean) = self.summary();
        let more = if self.tensor.count() > first.len() {
            ", …"
        } else {
            ""
        };
        let first: Vec<String> = first.iter().map(|value| number(*value)).collect();
        format!(
            "{}: {ty}  from {} to {}, mean {}: {}{more}",
            self.name,
            number(smallest),
            number(largest),
            number(mean),
            first.join(", ")
        )
    }

    fn json(&self) -> serde_json::Value {
        let (first, smallest, largest, mean) = self.summary();
        json!({
            "name": self.name,
            "dtype": self.tensor.dtype().to_string(),
            "axes": self.axes,
            "shape": self.tensor.shape(),
            "min": smallest,
            "max": largest,
            "mean": mean,
            "first": first,
        })
    }
}

/// A number in few characters.
fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e9 {
        format!("{value}")
    } else {
        format!("{value:.5}")
    }
}
