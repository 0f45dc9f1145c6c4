//! `girih graph`: what a model file becomes, as text and as a picture.

mod typed;

use std::path::PathBuf;

use clap::ValueEnum;
use girih_dsl::format::format_tree;

use super::Streams;
use super::select::Selection;
use crate::failure::{Failure, Outcome};
use crate::legend::ModelLegend;
use crate::source::{load, mistakes};
use crate::streaming::stream_of;
use crate::svg::picture;

/// Show what a model becomes: the graph as text, or as a picture.
///
/// The text of a graph is complete: it can be read back and run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  girih graph model.girih
  girih graph model.girih --module Block --set d=64 --set heads=4
  girih graph model.girih --svg model.svg
  girih graph model.girih --mode step          a step of a stream
  girih graph model.girih --stage model        instances, parameters, named values
  girih graph model.girih --stage plan         kernels and launches of the compiled backend")]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// What the graph computes.
    #[arg(long, value_enum, default_value_t = Mode::Full)]
    mode: Mode,
    /// The axis whose positions come one after another, with `--mode step`.
    #[arg(long)]
    axis: Option<String>,
    /// Which form of the model to print.
    #[arg(long, value_enum, default_value_t = Stage::Graph)]
    stage: Stage,
    /// Write a picture to this file instead of text; `-` is standard output.
    #[arg(long, value_name = "OUT")]
    svg: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Results for a whole sequence.
    Full,
    /// Results for the next positions of a sequence: what is computed once, then the step.
    Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stage {
    /// The file as parsed, in canonical form.
    Syntax,
    /// Every instance with its parameters, and every value that has a name.
    Model,
    /// The graph of primitives.
    Graph,
    /// What the compiled backend runs: launches with buffers, and every kernel.
    Plan,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    if args.svg.is_some() && args.stage != Stage::Graph {
        return Err(Failure::Misuse(
            "`--svg` shows the graph; leave out `--stage`".to_owned(),
        ));
    }
    if args.mode == Mode::Step && (args.svg.is_some() || args.stage != Stage::Graph) {
        return Err(Failure::Misuse(
            "`--mode step` shows graphs as text; leave out `--svg` and `--stage`".to_owned(),
        ));
    }
    if args.stage == Stage::Syntax {
        let (program, sink) = load(&args.selection.file)?;
        if sink.has_errors() {
            return Err(mistakes(&program.sources, &sink, streams.colors));
        }
        let text = format_tree(&program.ast(program.entry()));
        streams.out.write_all(text.as_bytes())?;
        return Ok(Outcome::Holds);
    }
    let (program, model) = args.selection.compile(streams.colors)?;
    if args.mode == Mode::Step {
        let stream = stream_of(&program, &model, args.axis.as_deref(), streams.colors)?;
        for graph in [&stream.once, &stream.step]
            .into_iter()
            .chain(&stream.flush)
        {
            streams
                .out
                .write_all(girih_graph::text::print(graph).as_bytes())?;
        }
        return Ok(Outcome::Holds);
    }
    let text = match (&args.svg, args.stage) {
        (Some(_), _) => picture(&model.graph, &ModelLegend::new(&program, &model)),
        (None, Stage::Model) => typed::print(&model),
        (None, Stage::Plan) => crate::planned::planned(&model.graph).to_string(),
        (None, Stage::Graph | Stage::Syntax) => girih_graph::text::print(&model.graph),
    };
    match args.svg.as_deref().filter(|path| path.as_os_str() != "-") {
        Some(path) => std::fs::write(path, text).map_err(|source| Failure::Write {
            path: path.to_owned(),
            source,
        })?,
        None => streams.out.write_all(text.as_bytes())?,
    }
    Ok(Outcome::Holds)
}
