//! `girih verify`: a model file against an independent implementation's numbers.

use std::path::PathBuf;

use super::Streams;
use crate::backend::{self, Compute, Options};
use crate::failure::{Failure, Outcome};
use crate::{source, verify};

/// Compare a model with the numbers of an independent implementation.
///
/// The model file's `golden` blocks say which tensor of the file is which input, parameter,
/// value or gradient; the file says how far they may be apart. A folder with `config.json`,
/// `model.safetensors` and `io.safetensors` also proves the `weights` block: every stored
/// tensor is used, every parameter found. Ends with status 1 if anything does not agree.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model file.
    file: PathBuf,
    /// A golden file, or a folder with a checkpoint and its answers.
    golden: PathBuf,
    /// What computes: `cpu`, `reference`, or a device of a plugin by its name.
    #[arg(long, default_value = "reference")]
    backend: String,
    /// What products of weights are computed with, on backends that have it. The bounds stay the
    /// file's: what misses them shows what rounding costs.
    #[arg(long, value_enum, default_value_t = Compute::F32)]
    compute: Compute,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let options = Options {
        compute: args.compute,
        ..Options::default()
    };
    let backend = backend::by_name(&args.backend, &options)?;
    let (program, sink) = source::load(&args.file)?;
    if sink.has_errors() {
        return Err(source::mistakes(&program.sources, &sink, streams.colors));
    }
    let report = verify::verify(&program, &args.golden, backend.as_ref(), streams.colors)?;
    if args.json {
        writeln!(streams.out, "{:#}", verify::to_json(&report))?;
    } else {
        write!(streams.out, "{}", verify::to_text(&report))?;
    }
    Ok(if report.misses() == 0 && !report.rows.is_empty() {
        Outcome::Holds
    } else {
        Outcome::DoesNotHold
    })
}
