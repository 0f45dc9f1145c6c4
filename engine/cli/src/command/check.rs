//! `girih check`: what is wrong with a model file.

use std::path::PathBuf;

use girih_dsl::elaborate::check;
use serde_json::json;

use super::Streams;
use crate::failure::{Failure, Outcome};
use crate::procedure::check_sessions;
use crate::promise::check_all_promises;
use crate::source::{counted, load, mistakes, render_all, tally};

/// Check a model file: syntax, names, axes, sizes; every module with its defaults.
///
/// Nothing is run and no weights are read. Status 1 if there are mistakes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  girih check model.girih
  girih check --json model.girih     diagnostics for an editor")]
pub(super) struct Args {
    /// The model file.
    file: PathBuf,
    /// Print the diagnostics as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let (program, mut sink) = load(&args.file)?;
    check(&program, &mut sink);
    check_all_promises(&program, &mut sink);
    if !sink.has_errors() {
        check_sessions(&program, &mut sink);
    }
    if args.json {
        let report = json!({
            "file": args.file,
            "modules": program.entry_modules().len(),
            "errors": sink.error_count(),
            "diagnostics": crate::json::diagnostics(&program.sources, &sink),
        });
        writeln!(streams.out, "{report:#}")?;
        return Ok(if sink.has_errors() {
            Outcome::DoesNotHold
        } else {
            Outcome::Holds
        });
    }
    if sink.has_errors() {
        return Err(mistakes(&program.sources, &sink, streams.colors));
    }
    if !sink.is_empty() {
        writeln!(
            streams.err,
            "{}",
            render_all(&program.sources, &sink, streams.colors)
        )?;
    }
    let modules = counted(program.entry_modules().len(), "module");
    writeln!(
        streams.out,
        "{}: {modules}, {}",
        args.file.display(),
        tally(&sink)
    )?;
    Ok(Outcome::Holds)
}
