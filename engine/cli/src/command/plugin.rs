//! `girih plugin`: libraries that bring operations.

mod add;
mod check;
mod list;
mod new;

use super::Streams;
use crate::failure::{Failure, Outcome};

/// Make, check, add and list plugins: libraries that bring operations with kernels of their own.
///
/// A model names a plugin and never brings one; a library is run only after you have agreed to its bytes with `add`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  girih plugin new --lang c smooth             a plugin that builds and passes
  girih plugin check smooth/libsmooth.so       does it keep what it promises?
  girih plugin add smooth/libsmooth.so         run it from now on
  girih plugin list                            what there is, and why something is not")]
pub(super) struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    New(new::Args),
    Add(add::Args),
    List(list::Args),
    Check(check::Args),
    /// One probe, in this process.
    #[command(hide = true)]
    Probe(check::ProbeArgs),
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    match &args.task {
        Task::New(args) => new::run(args, streams),
        Task::Add(args) => add::run(args, streams),
        Task::List(args) => list::run(args, streams),
        Task::Check(args) => check::run(args, streams),
        Task::Probe(args) => check::probe(args, streams),
    }
}
