//! `girih pull`: a published checkpoint into the local cache.

use std::time::Duration;

use girih_runtime::pull::{KNOWN, Progress, Sources, Step, pull};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::Streams;
use crate::failure::{Failure, Outcome};

/// Fetch a published checkpoint into the local cache, once.
///
/// A name is one that is known here, a hub's `organization/model`, or one file of such a
/// model: `organization/model/file.gguf`. Prints where the checkpoint lies. The cache is
/// the system's folder for caches, or what `GIRIH_CACHE` names; the hub
/// is the usual one, or what `HF_ENDPOINT` names.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  girih pull smollm2
  girih pull HuggingFaceTB/SmolLM2-135M
  girih pull                  names that are known here")]
pub(super) struct Args {
    /// Which checkpoint; without it, the known names are listed.
    name: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> Result<Outcome, Failure> {
    let Some(name) = &args.name else {
        list(args.json, streams)?;
        return Ok(Outcome::Holds);
    };
    let sources = Sources::from_env()?;
    let bar = Bar::new(streams.watched);
    let path = pull(name, &sources, &mut |progress| bar.show(progress))?;
    bar.clear();
    if args.json {
        writeln!(streams.out, "{:#}", json!({"name": name, "path": path}))?;
    } else {
        writeln!(streams.out, "{}", path.display())?;
    }
    Ok(Outcome::Holds)
}

fn list(as_json: bool, streams: &mut Streams<'_>) -> Result<(), Failure> {
    if as_json {
        let known = KNOWN.map(|known| json!({"name": known.name, "what": known.what}));
        writeln!(streams.out, "{:#}", json!(known))?;
        return Ok(());
    }
    for known in KNOWN {
        writeln!(streams.out, "{:10} {}", known.name, known.what)?;
    }
    Ok(())
}

/// Progress of a pull on a terminal; nothing where nobody watches.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar that is not drawn before there is progress.
    pub(crate) fn new(watched: bool) -> Self {
        Self(crate::progress::bar(watched, 12))
    }

    /// Draws how far a step has come.
    pub(crate) fn show(&self, progress: Progress<'_>) {
        let verb = match progress.step {
            Step::Fetch => "fetching",
            Step::Unpack => "unpacking",
        };
        let message = format!("{verb} {}", progress.what);
        if self.0.message() != message {
            self.0.set_style(style(progress.total.is_some()));
            self.0.set_message(message);
            self.0.reset_eta();
            self.0.enable_steady_tick(Duration::from_millis(120));
        }
        if let Some(total) = progress.total {
            self.0.set_length(total);
        }
        self.0.set_position(progress.done);
    }

    /// Takes the bar off the terminal.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// With a known length a bar and the time that is left, else a spinner.
fn style(measured: bool) -> ProgressStyle {
    let template = if measured {
        "{msg} {bar:28.cyan/dim} {bytes}/{total_bytes} {eta}"
    } else {
        "{spinner} {msg} {bytes}"
    };
    crate::progress::style(template)
}
