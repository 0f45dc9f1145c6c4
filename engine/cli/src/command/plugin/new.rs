//! `girih plugin new`: a plugin that builds and passes.

use std::path::Path;

use super::Streams;
use crate::failure::{Failure, Outcome};
use crate::plugin::skeleton::{self, Lang};

/// Write a plugin to begin with into a new folder.
///
/// It has one operation with its gradient and its stream. It needs no network to build: the header, or the Rust SDK, comes
/// along.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Language of its kernels.
    #[arg(long, value_enum, default_value_t = Lang::Rust)]
    lang: Lang,
    /// Its name, and that of the folder.
    name: String,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let next = skeleton::write(Path::new(""), &args.name, args.lang)?;
    writeln!(
        streams.out,
        "wrote the plugin `{}`; build it, check it, add it:\n",
        args.name
    )?;
    for command in next {
        writeln!(streams.out, "  {command}")?;
    }
    Ok(Outcome::Holds)
}
