//! `girih bench`: how fast a model runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use girih_dsl::model::{Model, Static};
use girih_graph::{AxisId, Extent};
use girih_runtime::backend::{Data, silent};
use girih_runtime::session;
use girih_runtime::tensor::Tensor;
use indicatif::ProgressBar;
use serde_json::json;

use super::Streams;
use super::cost::parse_extent;
use crate::backend::{self, Compute};
use crate::bench::asked::{Asked, BATCH, Range, parse_range};
use crate::bench::draw;
use crate::bench::measure::{Effort, Figures, measure, milliseconds};
use crate::checkpoint::Checkpoint;
use crate::failure::{Failure, Outcome};
use crate::session::{PIECE, Session, Setup, Streaming, choose_model};
use crate::setting;
use crate::source::counted;

/// Measure how fast a model runs.
///
/// Inputs are drawn: reals from the normal distribution, integers among the positions of the
/// tables that they index, truth values are all true. Without weights the parameters start as
/// the model file says. A file may say what is measured: `let bench = { t: 1024, gate: [0.0, 1.0] }`
/// gives a size and what an input is drawn from; the command line goes before it.
///
/// After one run to warm up, runs are measured for `--seconds`, and at least `--runs` of them
/// unless that takes eight times as long. Tokens are the positions of the axis that the model
/// file marks as `time`, or of its only free axis, times the batch.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  girih bench examples/bench/lstm.girih
  girih bench examples/bench/minilm.girih --extent t=32 --batch 32 --threads 2
  girih bench minilm --extent t=128 --json
  girih bench smollm2 --mode step --extent t=128 --lanes 8

With --json: median_ms, min_ms, iqr_ms (between the quartiles), cpu_ms (all threads, the middle
run), tokens_per_s, peak_bytes (of the measured runs), compile_ms (from the model file's tree to
code, without parameters), first_call_ms, runs, tokens; null where the system does not say.")]
pub(super) struct Args {
    /// A model file, or a short name.
    model: String,
    /// A file or a folder of weights, or a name for `girih pull`.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// A static argument, or a size. May be given several times.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting::parse)]
    settings: Vec<(String, Static)>,
    /// The size of a symbolic axis. May be given several times.
    #[arg(long = "extent", value_name = "AXIS=SIZE", value_parser = parse_extent)]
    extents: Vec<(String, i64)>,
    /// Map the model over so many elements.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=Extent::LIMIT))]
    batch: Option<i64>,
    /// What an input is drawn from, evenly; integers stay below the second number.
    #[arg(long = "range", value_name = "INPUT=LOW..HIGH", value_parser = parse_range)]
    ranges: Vec<(String, Range)>,
    /// A whole call, a sequence that is read for what comes after it, or one position after another.
    #[arg(long, value_enum, default_value_t = Mode::Full)]
    mode: Mode,
    /// Step so many sequences together.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    lanes: u16,
    #[command(flatten)]
    backend: backend::Asked,
    /// Measure for so long, in seconds.
    #[arg(long, default_value_t = 1.0, value_parser = parse_seconds)]
    seconds: f64,
    /// Measure at least so many runs.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Draws depend on it alone.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How the model is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Mode {
    /// A whole sequence in one call.
    Full,
    /// A whole sequence as a session reads it, in pieces: results at its last position alone.
    Read,
    /// One position in each call, behind a sequence of the sizes that are given.
    Step,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    if args.lanes > 1 && args.mode == Mode::Full {
        return Err(Failure::Misuse(
            "sequences step together with `--mode step`; whole ones are mapped over with `--batch`"
                .to_owned(),
        ));
    }
    let backend = args.backend.make()?;
    let chosen = choose_model(
        &args.model,
        args.weights.as_deref(),
        None,
        streams.colors,
        streams.watched,
    )?;
    let checkpoint = chosen
        .weights
        .as_deref()
        .map(Checkpoint::open)
        .transpose()?;
    let asked = asked(args).or_file(&chosen.program, streams.colors)?;
    let setup = Setup {
        program: &chosen.program,
        checkpoint: checkpoint.as_ref(),
        backend: backend.as_ref(),
        set: &asked.set,
        seed: args.seed,
        colors: streams.colors,
        watched: streams.watched,
    };
    let mut ranks = Session::needed(&setup, &|name| asked.ranges.contains_key(name))?;
    if asked.batch.is_some() {
        for rank in ranks.values_mut() {
            *rank += 1;
        }
    }
    let effort = Effort {
        time: Duration::from_secs_f64(args.seconds),
        runs: args.runs,
    };
    let bar = progress(streams.watched);
    let mut tell = |runs: usize| bar.set_position(runs as u64);
    let (figures, compile, tokens, model) = match args.mode {
        Mode::Full => {
            let session = Session::open(&setup, Some(&ranks))?;
            let inputs = draw::inputs(&session.model, &asked.sizes(), &asked.ranges, args.seed)?;
            let bindings = session.bind(inputs, args.seed);
            let mut once = || session.execute(&bindings).map(drop);
            let figures = measure(effort, &mut once, &mut tell)?;
            let tokens = tokens(&session.model, &asked)?;
            (
                figures,
                session.times.check + session.times.compile,
                tokens,
                session.model,
            )
        }
        Mode::Read => {
            let streaming = Streaming::open(&setup, Some(&ranks))?;
            let inputs = draw::inputs(&streaming.model, &asked.sizes(), &asked.ranges, args.seed)?;
            let mut read = || take(&streaming, inputs.clone(), args.seed).map(drop);
            let figures = measure(effort, &mut read, &mut tell)?;
            let tokens = tokens(&streaming.model, &asked)?;
            (
                figures,
                streaming.times.check + streaming.times.compile,
                tokens,
                streaming.model,
            )
        }
        Mode::Step => {
            let streaming = Streaming::open(&setup, Some(&ranks))?;
            let inputs = draw::inputs(&streaming.model, &asked.sizes(), &asked.ranges, args.seed)?;
            let mut steps = Steps::after(&streaming, inputs, args)?;
            let figures = measure(effort, &mut || steps.step(), &mut tell)?;
            let count = asked.batch.unwrap_or(1).saturating_mul(args.lanes.into());
            let mut along = format!("one position after {}", steps.length);
            if args.lanes > 1 {
                along = format!("{} sequences, {along}", args.lanes);
            }
            let tokens = Some((count, along));
            (
                figures,
                streaming.times.check + streaming.times.compile,
                tokens,
                streaming.model,
            )
        }
    };
    bar.finish_and_clear();
    let report = Report {
        figures,
        compile: milliseconds(compile),
        tokens,
        model: model.graph.name.clone(),
        backend: backend.name().to_owned(),
        threads: args.backend.threads.map(usize::from),
        compute: args.backend.compute,
        mode: args.mode,
    };
    if args.json {
        writeln!(streams.out, "{:#}", report.json())?;
    } else {
        for (name, value) in report.rows() {
            writeln!(streams.out, "{name:<12} {value}")?;
        }
    }
    Ok(Outcome::Holds)
}

/// One position after another, behind a sequence that has been taken.
struct Steps {
    /// Behind the sequence.
    start: session::Session,
    /// Those that step together.
    now: Vec<session::Session>,
    input: BTreeMap<String, Data>,
    length: u64,
}

impl Steps {
    fn after(
        streaming: &Streaming,
        inputs: BTreeMap<String, Tensor>,
        args: &Args,
    ) -> Result<Self, Failure> {
        let (start, steps) = take(streaming, inputs, args.seed)?;
        let mut input = BTreeMap::new();
        for (name, place) in &streaming.shared.stream().inputs {
            if let Some(Data::Host(tensor)) = steps.get(name) {
                input.insert(name.clone(), Data::Host(tensor.slice(*place, 0..1)?));
            }
        }
        Ok(Self {
            now: vec![start.fork(); args.lanes.into()],
            length: start.position(),
            start,
            input,
        })
    }

    fn step(&mut self) -> Result<(), Failure> {
        for now in &mut self.now {
            if now.position() >= self.length.saturating_mul(2) {
                *now = self.start.fork();
            }
        }
        let steps = self.now.iter_mut();
        let mut steps: Vec<_> = steps.map(|now| (now, &self.input)).collect();
        let stepped = session::Session::step_together(&mut steps, &mut silent);
        stepped
            .map(drop)
            .map_err(|error| Failure::Refused(error.to_string()))
    }
}

/// A session that has taken a sequence, and the inputs that it took.
fn take(
    streaming: &Streaming,
    inputs: BTreeMap<String, Tensor>,
    seed: u64,
) -> Result<(session::Session, BTreeMap<String, Data>), Failure> {
    let (mut session, steps) = streaming.begin(inputs, seed)?;
    match session.prefill(&steps, PIECE, &mut silent) {
        Ok(_) => Ok((session, steps)),
        Err(error) => Err(Failure::Refused(error.to_string())),
    }
}

/// What the command line asks.
fn asked(args: &Args) -> Asked {
    let extents = (args.extents.iter()).map(|(name, size)| (name.clone(), Static::Int(*size)));
    let mut set = args.settings.clone();
    for (name, size) in extents {
        set.retain(|(own, _)| *own != name);
        set.push((name, size));
    }
    Asked {
        set,
        batch: args.batch,
        ranges: args.ranges.iter().cloned().collect(),
    }
}

/// Positions that one run takes in, and what they are counted along: the time axis, or the
/// only free axis of the inputs, and the batch.
fn tokens(model: &Model, asked: &Asked) -> Result<Option<(i64, String)>, Failure> {
    let table = &model.graph.axes;
    let mut free: Vec<AxisId> = Vec::new();
    for axis in model.inputs.iter().flat_map(|input| &input.axes) {
        let root = table.root(*axis);
        let symbolic = table.extent(root).as_constant().is_none() && table.name(root) != BATCH;
        if (symbolic || is_time(model, root)) && !free.contains(&root) {
            free.push(root);
        }
    }
    let timed: Vec<AxisId> = (free.iter().copied())
        .filter(|axis| is_time(model, *axis))
        .collect();
    let (([axis], _) | (_, [axis])) = (timed.as_slice(), free.as_slice()) else {
        return Ok(None);
    };
    let length = draw::evaluate(table.extent(*axis), &asked.sizes())?;
    let batch = asked.batch.unwrap_or(1);
    let mut along = format!("{}={length}", table.name(*axis));
    if batch > 1 {
        along = format!("batch {batch}, {along}");
    }
    Ok(Some((length.saturating_mul(batch), along)))
}

fn is_time(model: &Model, axis: AxisId) -> bool {
    let mut axes = model.graph.axes.iter();
    axes.any(|(own, found)| own == axis && found.time)
}

fn progress(watched: bool) -> ProgressBar {
    let bar = crate::progress::bar(watched, 4);
    bar.set_style(crate::progress::style(
        "{spinner:.cyan} measuring, {pos} runs",
    ));
    bar
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("`{text}` is no number"))?;
    if (0.0..=1e6).contains(&seconds) {
        Ok(seconds)
    } else {
        Err("seconds lie between 0 and 1000000".to_owned())
    }
}

/// What is told of a measurement.
struct Report {
    figures: Figures,
    /// Milliseconds.
    compile: f64,
    tokens: Option<(i64, String)>,
    model: String,
    backend: String,
    threads: Option<usize>,
    compute: Compute,
    mode: Mode,
}

impl Report {
    fn tokens_per_second(&self) -> Option<f64> {
        let (count, _) = self.tokens.as_ref()?;
        Some(*count as f64 / (self.figures.median / 1e3))
    }

    fn json(&self) -> serde_json::Value {
        let figures = &self.figures;
        json!({
            "model": self.model,
            "backend": self.backend,
            "threads": self.threads,
            "compute": self.compute.to_string(),
            "mode": match self.mode {
                Mode::Full => "full",
                Mode::Read => "read",
                Mode::Step => "step",
            },
            "median_ms": figures.median,
            "min_ms": figures.min,
            "iqr_ms": figures.quartile_range,
            "cpu_ms": figures.processor,
            "tokens": self.tokens.as_ref().map(|(count, _)| count),
            "tokens_per_s": self.tokens_per_second(),
            "peak_bytes": figures.peak_bytes,
            "compile_ms": self.compile,
            "first_call_ms": figures.first,
            "runs": figures.runs,
        })
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let figures = &self.figures;
        let threads = match self.threads {
            Some(1) => "1 thread".to_owned(),
            Some(threads) => format!("{threads} threads"),
            None => "threads by default".to_owned(),
        };
        let spread = 100.0 * figures.quartile_range / figures.median;
        let mut rows = vec![
            ("model", self.model.clone()),
            (
                "backend",
                format!("{}, {threads}, {}", self.backend, self.compute),
            ),
            (
                "median",
                format!(
                    "{} ({})",
                    time(figures.median),
                    counted(figures.runs, "run")
                ),
            ),
            ("fastest", time(figures.min)),
            (
                "spread",
                format!("{spread:.1} % of the median between the quartiles"),
            ),
        ];
        if let Some(processor) = figures.processor {
            rows.push((
                "processor",
                format!("{} of all threads, a run", time(processor)),
            ));
        }
        if let (Some(rate), Some((count, along))) = (self.tokens_per_second(), &self.tokens) {
            rows.push((
                "tokens/s",
                format!("{} ({count} a run: {along})", rounded(rate)),
            ));
        }
        if let Some(bytes) = figures.peak_bytes {
            let mebibytes = bytes as f64 / f64::from(1 << 20);
            rows.push(("peak memory", format!("{} MiB", rounded(mebibytes))));
        }
        rows.push(("compile", time(self.compile)));
        rows.push(("first call", time(figures.first)));
        rows
    }
}

/// Milliseconds in three digits and a unit.
fn time(milliseconds: f64) -> String {
    if milliseconds < 1.0 {
        format!("{} µs", rounded(milliseconds * 1e3))
    } else if milliseconds < 1e4 {
        format!("{} ms", rounded(milliseconds))
    } else {
        format!("{} s", rounded(milliseconds / 1e3))
    }
}

/// Three digits, more where they stand before the point.
fn rounded(number: f64) -> String {
    let places = match number {
        ..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{number:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit() {
        for (milliseconds, text) in [
            (0.0125, "12.5 µs"),
            (1.5, "1.50 ms"),
            (345.6, "346 ms"),
            (12_345.0, "12.3 s"),
        ] {
            assert_eq!(time(milliseconds), text);
        }
    }
}
